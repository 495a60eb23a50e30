"""`textxfer report RUN`: renders the report of a run or of several seeds anew, and the card of a model without one."""

from __future__ import annotations

import argparse
from pathlib import Path

SUMMARY = "write the report of a finished run anew, and the model card where there is none"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("run", help="the folder of a finished run, or of several seeds: runs/NAME")


def execute(arguments: argparse.Namespace) -> int:
    """Writes into the folder and prints the paths of what was written."""
    from textxfer.disk import write_pieces
    from textxfer.publishing.model_card import README, model_card
    from textxfer.report.html import write_report

    run = Path(arguments.run)
    print(write_report(run))
    card = run / "model" / README
    if card.parent.is_dir() and not card.exists():  # one that is there may have been edited by hand
        write_pieces(card, [model_card(run)])
        print(card)
    return 0
