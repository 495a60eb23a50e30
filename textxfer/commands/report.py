"""`textxfer report RUN`: renders the report of a finished run anew."""

from __future__ import annotations

import argparse
from pathlib import Path

SUMMARY = "write the report of a finished run anew"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("run", help="the folder of a finished run: runs/NAME")


def execute(arguments: argparse.Namespace) -> int:
    """Writes report.html into the folder and prints its path."""
    from textxfer.report.html import write_report

    print(write_report(Path(arguments.run)))
    return 0
