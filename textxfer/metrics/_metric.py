"""What a metric is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LABELS = "labels"
LABEL_SETS = "label sets"
ANSWERS = "answers"


@dataclass(frozen=True)
class Metric:
    """A function of predictions and references, with what a recipe must know before it runs.

    Attributes:
        compute: Called with predictions and references: label ids (R,), label sets (R, C) of 0 and 1, or R answer
            texts and R lists of right texts (an empty list: the question has no answer). Gives a number, NaN where
            no row counts.
        judges: The kinds of prediction it can judge: "labels", "label sets", "answers".
        summary: One line on what the score says.
        greater_is_better: Whether a higher score is a better one.
        needs: What else must hold: "two labels", "ordered labels" or None.
    """

    compute: Callable[[Any, Any], float]
    judges: tuple[str, ...]
    summary: str
    greater_is_better: bool = True
    needs: str | None = None
