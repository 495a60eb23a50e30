"""`textxfer predict MODEL FILE -o OUT`: predictions for every row of a file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from textxfer.commands._model import add_model_arguments, model_options
from textxfer.commands._numbers import count

SUMMARY = "predict every row of a file (csv, tsv, jsonl, txt, parquet), however large"

STREAM = "-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("model", help="a run, a model's folder, or a Hub id (id@revision)")
    parser.add_argument("file", help="csv, tsv, jsonl, txt (a text a line; these .gz too), json, parquet; - is stdin")
    parser.add_argument("-o", "--output", metavar="OUT", default=STREAM, help=".jsonl, .csv, .parquet; default: stdout")
    parser.add_argument("--text", metavar="COLUMN", help="column of the text; default: text")
    parser.add_argument("--text-pair", metavar="COLUMN", help="column of a second text; default: text_pair, for pairs")
    parser.add_argument("--question", metavar="COLUMN", help="column of the question; default: question")
    parser.add_argument("--context", metavar="COLUMN", help="column of the passage; default: context")
    parser.add_argument("--top-k", metavar="K", type=count, help="labels a row, best first; default: 1")
    parser.add_argument("--columns", metavar="A,B", default="all", help="columns to copy; default: all; or none")
    parser.add_argument("--format", metavar="KIND", help="of FILE; default: by its ending, for stdin jsonl")
    add_model_arguments(parser)
    parser.add_argument("--skip-bad", action="store_true", help="give rows that cannot be used no prediction; go on")
    parser.add_argument("--harmless", action="store_true", help="csv: an apostrophe before texts like =1+1")
    parser.add_argument("--resume", action="store_true", help="go on with an unfinished OUT")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT")
    parser.add_argument("--quiet", action="store_true", help="show mistakes only")


def execute(arguments: argparse.Namespace) -> int:
    """Predicts; shows progress and what was done on standard error."""
    from textxfer.serving.bulk import predict_file

    columns, options = arguments.columns, model_options(arguments)
    bar = _Bar()
    try:
        result = predict_file(
            arguments.model,
            sys.stdin.buffer if arguments.file == STREAM else Path(arguments.file),
            sys.stdout.buffer if arguments.output == STREAM else Path(arguments.output),
            text=arguments.text,
            text_pair=arguments.text_pair,
            question=arguments.question,
            context=arguments.context,
            top_k=arguments.top_k,
            columns=columns if columns in ("all", "none") else columns.split(","),
            file_format=arguments.format,
            **options,
            skip_bad=arguments.skip_bad,
            harmless=arguments.harmless,
            resume=arguments.resume,
            overwrite=arguments.overwrite,
            on_rows=bar if sys.stderr.isatty() and not arguments.quiet else None,
        )
    finally:
        bar.close()
    if not arguments.quiet:
        print(_summary(result), file=sys.stderr)
    return 0


class _Bar:
    """A progress bar, once it is called."""

    def __init__(self) -> None:
        self.bar: Any = None

    def __call__(self, rows: int, share: float | None) -> None:
        from tqdm import tqdm

        if self.bar is None:
            options = {"desc": "predicting", "unit": " rows", "mininterval": 0, "leave": False}
            self.bar = tqdm(initial=rows, file=sys.stderr, **options)
        if share:
            self.bar.total = max(rows, round(rows / share))
        self.bar.update(rows - self.bar.n)

    def close(self) -> None:
        """Takes it away."""
        if self.bar is not None:
            self.bar.close()


def _summary(result: Any) -> str:
    new = result.rows - result.resumed_at
    speed = f"{new / max(result.predict_seconds, 1e-9):,.0f} rows/s"
    place = f"; wrote {result.path}" if result.path is not None else ""
    before = f" ({result.resumed_at:,} were there)" if result.resumed_at else ""
    bad = f"; {result.bad_rows:,} without a prediction" if result.bad_rows else ""
    return f"{result.rows:,} rows{before}{bad}; {speed}{place}"
