"""What a metric is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

LABELS = "labels"
LABEL_SETS = "label sets"
ANSWERS = "answers"


@dataclass(frozen=True)
class Counts:
    """How often each of C labels was right, predicted and true, in each of S sets of rows.

    Attributes:
        right: Rows that have the label and got it (S, C).
        predicted: Rows that got the label (S, C).
        actual: Rows that have the label (S, C).
        label_sets: Whether a row can have any number of labels; else it has one, and got one.
    """

    right: np.ndarray
    predicted: np.ndarray
    actual: np.ndarray
    label_sets: bool = False


@dataclass(frozen=True)
class Metric:
    """A function of predictions and references, with what a recipe must know before it runs.

    `compute` alone is enough. A metric that is a mean over rows or a function of counts may say so by `each` or
    `of_counts`: its intervals then take no time. They must agree with `compute`.

    Attributes:
        compute: Called with predictions and references: label ids (R,), label sets (R, C) of 0 and 1, or R answer
            texts and R lists of right texts (an empty list: the question has no answer). Gives a number, NaN where
            no row counts.
        judges: The kinds of prediction it can judge: "labels", "label sets", "answers".
        summary: One line on what the score says.
        greater_is_better: Whether a higher score is a better one.
        needs: What else must hold: "two labels", "ordered labels" or None.
        each: Called like `compute`; gives each row's own score (R,), NaN for rows that do not count. The metric is
            their mean.
        of_counts: Gives the scores (S,) of S sets of rows from their `Counts`.
        between_labels: Whether it weighs how labels are told apart, and so says nothing of rows that all have one.
    """

    compute: Callable[[Any, Any], float]
    judges: tuple[str, ...]
    summary: str
    greater_is_better: bool = True
    needs: str | None = None
    each: Callable[[Any, Any], np.ndarray] | None = None
    of_counts: Callable[[Counts], np.ndarray] | None = None
    between_labels: bool = False

    def misfit(self, predicts: str, *, ordered: bool, labels: int | None) -> str | None:
        """Says why it cannot judge the predictions of a task, after its name; None where it can.

        Args:
            predicts: Their kind.
            ordered: Whether the labels have an order.
            labels: How many there are; None where that is not known, or there are none.
        """
        if predicts not in self.judges:
            return f"judges {' or '.join(self.judges)}, but the task gives {predicts}"
        if self.needs == "ordered labels" and not ordered:
            return "needs labels with an order (`task.ordered: true`)"
        if self.needs == "two labels" and labels not in (None, 2):
            return f"needs two labels, and there are {labels}; try `macro_f1`"
        return None


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divides, and gives 0 where the whole is 0."""
    import numpy as np

    part, whole = np.broadcast_arrays(np.asarray(part, float), np.asarray(whole, float))
    return np.divide(part, whole, out=np.zeros(part.shape), where=whole != 0)
