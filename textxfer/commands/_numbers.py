"""Numbers that options take."""

from __future__ import annotations


def count(text: str) -> int:
    """Gives a whole number from 1 on.

    Raises:
        ValueError: It is none.
    """
    number = int(text)
    if number < 1:
        raise ValueError
    return number


count.__name__ = "whole number from 1 on"  # argparse's messages name it
