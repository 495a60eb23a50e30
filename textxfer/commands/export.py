"""`textxfer export MODEL --onnx`: a model for ONNX Runtime; `--benchmark`: which backend is the fastest here."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from textxfer.errors import DataError, OutputError

SUMMARY = "export a model to ONNX, checked against torch; or measure which backend is the fastest here"

COLUMNS = ("text", "text_pair", "question", "context")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("model", help="a run, a model's folder, or a Hub id (id@revision)")
    parser.add_argument("--onnx", action="store_true", help="write it for ONNX Runtime")
    parser.add_argument("--int8", action="store_true", help="with 8-bit weights; says how many predictions change")
    parser.add_argument("-o", "--output", metavar="FOLDER", type=Path, help="default: onnx (onnx-int8) in MODEL")
    parser.add_argument("--benchmark", action="store_true", help="measure torch and ONNX Runtime on this machine")
    parser.add_argument("--data", metavar="FILE", type=Path, help="to check on; default: the run's validation rows")
    for name in COLUMNS:
        parser.add_argument("--" + name.replace("_", "-"), metavar="COLUMN", help=f"of FILE; default: {name}")
    parser.add_argument("--overwrite", action="store_true", help="replace an exported model in FOLDER")


def execute(arguments: argparse.Namespace) -> int:
    """Exports, measures, or both; says what was checked."""
    _check(arguments)
    columns = {name: given for name in COLUMNS if (given := getattr(arguments, name)) is not None}
    chosen = {"data": arguments.data, "columns": columns}
    try:
        if arguments.onnx:
            from textxfer.serving.export import export_onnx

            where = {"int8": arguments.int8, "overwrite": arguments.overwrite}
            _tell_export(export_onnx(arguments.model, arguments.output, **where, **chosen))
        if arguments.benchmark:
            from textxfer.serving.benchmark import benchmark

            _tell_benchmark(benchmark(arguments.model, tell=_progress(), **chosen))
    except DataError as error:  # told in the words of a recipe
        raise DataError(*(re.sub(r"`dataset\.(\w+)`", _flag, line) for line in error.lines)) from error
    return 0


def _check(arguments: argparse.Namespace) -> None:
    if not arguments.onnx and not arguments.benchmark:
        raise OutputError("say --onnx to write a model for ONNX Runtime, or --benchmark to measure")
    if not arguments.onnx:
        for flag, given in (("--int8", arguments.int8), ("-o", arguments.output), ("--overwrite", arguments.overwrite)):
            if given:
                raise OutputError(f"{flag} goes with --onnx; --benchmark alone writes nothing")
    named = [name for name in COLUMNS if getattr(arguments, name) is not None]
    if named and arguments.data is None:
        raise OutputError(f"--{named[0].replace('_', '-')} names a column of --data FILE; name that too")


def _flag(field: re.Match[str]) -> str:
    return "`--" + field[1].replace("_", "-") + " COLUMN`"


def _progress() -> Any:
    """Gives what tells what is done next, on a terminal alone."""
    if not sys.stderr.isatty():
        return None
    return lambda what: print(f"measuring: {what}", file=sys.stderr)


def _tell_export(result: Any) -> None:
    for note in result.notes:
        print(note, file=sys.stderr)
    print(
        f"wrote {result.folder} ({result.size / 1e6:.1f} MB)\n"
        f"checked on {result.checked_on}: logits differ by {result.difference:.1e} at most before any rounding to "
        f"8 bits; {result.agreement:.1%} predicted as in torch\n"
        f'use it: textxfer.pipeline("{result.folder}", backend="onnx")'
    )


def _tell_benchmark(found: Any) -> None:
    for note in found.notes:
        print(note, file=sys.stderr)
    base = found.ways[0].texts_per_second
    print(f"{found.measured_on}; torch on {found.device}, ONNX Runtime on cpu")
    print(f"{'':<12}{'texts/s':>10}{'x torch':>9}{'agreement':>11}{'MB':>9}")
    for way in found.ways:
        speed = way.texts_per_second
        print(f"{way.name:<12}{speed:>10,.0f}{speed / base:>9.2f}{way.agreement:>11.2%}{way.size / 1e6:>9.1f}")
    best = found.fastest
    print(f"fastest here: {best.name} ({best.texts_per_second:,.0f} texts/s)")
    beaten = [way for way in found.ways if way.texts_per_second > best.texts_per_second]
    for way in beaten:
        print(f"{way.name} is faster, but agrees with torch fp32 on {way.agreement:.2%} only")
