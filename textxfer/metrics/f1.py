"""F1, the harmonic mean of precision and recall, over labels in four ways.

The macro mean runs over the labels that occur in the predictions or the references; for label sets, over all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from textxfer.metrics._metric import LABEL_SETS, LABELS, Counts, Metric, share

if TYPE_CHECKING:
    import numpy as np


def _averaged(average: str) -> Callable[[Any, Any], float]:
    def compute(predictions: Any, references: Any) -> float:
        from sklearn.metrics import f1_score

        sets_of_one = getattr(references, "ndim", 1) == 2 and references.shape[1] == 1
        kind = "binary" if sets_of_one else average  # a lone column is labels to scikit-learn, of rows with and without
        return float(f1_score(references, predictions, average=kind, zero_division=0))

    return compute


def _each_label(counts: Counts) -> np.ndarray:
    return share(2 * counts.right, counts.predicted + counts.actual)


def _second_label(counts: Counts) -> np.ndarray:
    return _each_label(counts)[:, 1]


def _macro(counts: Counts) -> np.ndarray:
    number = counts.actual.shape[1] if counts.label_sets else (counts.predicted + counts.actual > 0).sum(axis=1)
    return _each_label(counts).sum(axis=1) / number


def _micro(counts: Counts) -> np.ndarray:
    return share(2 * counts.right.sum(axis=1), (counts.predicted + counts.actual).sum(axis=1))


def _weighted(counts: Counts) -> np.ndarray:
    return share((_each_label(counts) * counts.actual).sum(axis=1), counts.actual.sum(axis=1))


f1 = Metric(
    _averaged("binary"),
    judges=(LABELS,),
    needs="two labels",
    of_counts=_second_label,
    between_labels=True,
    summary="F1 of the second label (id 1), where there are two.",
)
macro_f1 = Metric(
    _averaged("macro"),
    judges=(LABELS, LABEL_SETS),
    of_counts=_macro,
    between_labels=True,
    summary="The mean of the labels' F1, each label counting the same.",
)
micro_f1 = Metric(
    _averaged("micro"),
    judges=(LABELS, LABEL_SETS),
    of_counts=_micro,
    summary="F1 over all decisions taken together.",
)
weighted_f1 = Metric(
    _averaged("weighted"),
    judges=(LABELS, LABEL_SETS),
    of_counts=_weighted,
    between_labels=True,
    summary="The mean of the labels' F1, each label counting by its rows.",
)
