"""`textxfer evaluate MODEL --data FILE`: scores of a saved model on any labelled rows."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textxfer.commands._model import add_model_arguments, model_options
from textxfer.errors import DataError, OutputError

SUMMARY = "judge a saved model on labelled rows, and write a report"
COLUMNS = ("text", "text_pair", "label", "question", "context", "answers")
PLACES = ("path", "train", "validation", "test")
"""Fields of `dataset` that say where rows are."""
FIELD = re.compile(r"`dataset\.(\w+)`|\(dataset\.path\)")
MOST_SLICES = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("model", help="a run, a model's folder, or a Hub id (id@revision)")
    parser.add_argument("--data", required=True, type=Path, help="a file, or a folder with a file for each split")
    parser.add_argument("--split", choices=("train", "validation", "test"), help="of a folder; default: test")
    for name in COLUMNS:
        option = "--" + name.replace("_", "-")
        parser.add_argument(option, metavar="COLUMN", help=f"column of the {name}; default: {name}")
    parser.add_argument("--label-delimiter", metavar="TEXT", help="what separates the labels of a row")
    parser.add_argument("--metrics", metavar="A,B", help="names; default: the task's")
    parser.add_argument("--slice", action="append", default=[], metavar="COLUMN", help="score each of its values too")
    add_model_arguments(parser)
    parser.add_argument("-o", "--output", type=Path, default=Path("evaluation"), help="folder (default: evaluation)")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier evaluation there")
    parser.add_argument("--quiet", action="store_true", help="show mistakes only; the folder has the scores")


def execute(arguments: argparse.Namespace) -> int:
    """Judges, writes the folder, and prints the scores."""
    folder = arguments.output
    _check_folder(folder, arguments.overwrite)
    options = model_options(arguments)
    columns = {name: given for name in COLUMNS if (given := getattr(arguments, name)) is not None}
    from textxfer.disk import whole_folder, write_plainly
    from textxfer.report.html import REPORT, render
    from textxfer.serving.assess import assess

    metrics = [name.strip() for name in arguments.metrics.split(",")] if arguments.metrics else None
    try:
        found = assess(
            arguments.model,
            arguments.data,
            split=arguments.split,
            columns=columns,
            label_delimiter=arguments.label_delimiter,
            metrics=metrics,
            slices=arguments.slice,
            **options,
        )
    except DataError as error:  # told in the words of a recipe
        raise DataError(*(FIELD.sub(_flag, line) for line in error.lines)) from error
    with whole_folder(folder) as made:
        lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in found.records)
        write_plainly(made / "predictions.jsonl", lines)
        write_plainly(made / "metrics.json", [json.dumps(found.metrics, indent=2, ensure_ascii=False) + "\n"])
        write_plainly(made / REPORT, [render(made)])
    if not arguments.quiet:
        print(_table(found.metrics), f"report: {folder / REPORT}", sep="\n")
    return 0


def _flag(field: re.Match[str]) -> str:
    """Gives the flag for a field of `dataset`; those that say where rows are have one for all."""
    if field[1] in (*COLUMNS, "label_delimiter"):
        return f"`--{field[1].replace('_', '-')}`"
    return "(--data)" if field[1] is None else "`--data`" if field[1] in PLACES else field[0]


def _check_folder(folder: Path, overwrite: bool) -> None:
    from textxfer.disk import check_place

    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        if not folder.is_dir() or not (folder / "metrics.json").exists() or (folder / "model").exists():
            raise OutputError(
                f"{folder}: is there, but is no evaluation; nothing of it is touched: name another with -o"
            )
        if not overwrite:
            raise OutputError(f"{folder}: holds an evaluation; --overwrite replaces it, or name another with -o")
    check_place(folder)


def _table(metrics: Mapping[str, Any]) -> str:
    scores, sure = metrics["test"], metrics["intervals"]["test"]
    width = max(map(len, scores))
    lines = [f"{metrics['num_examples']['test']} rows"]
    for name, value in scores.items():
        ends = "   {:.4f} to {:.4f}".format(*sure[name]) if name in sure else ""
        lines.append(f"{name:<{width}}{value:>10.4f}{ends}")
    of_slices = {key for parts in metrics["slices"].values() for part in parts.values() for key in part}
    for kind, parts in metrics["slices"].items():
        lines.append(f"\nby {kind}")
        shown = list(parts.items())[:MOST_SLICES]
        width = max(len(name) for name, _ in shown)
        for name, part in shown:
            cells = "  ".join(
                f"{key} {part[key]:.4f}" if key in part else f"{key} -" for key in scores if key in of_slices
            )
            lines.append(f"{name:<{width}}  {part['rows']:>6} rows  {cells}")
        if len(parts) > len(shown):
            lines.append(f"and {len(parts) - len(shown)} more, in metrics.json")
    return "\n".join(lines)
