"""F1, the harmonic mean of precision and recall, over labels in four ways.

The macro mean runs over the labels that occur in the predictions or the references; for label sets, over all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textxfer.metrics._metric import LABEL_SETS, LABELS, Metric


def _averaged(average: str) -> Callable[[Any, Any], float]:
    def compute(predictions: Any, references: Any) -> float:
        from sklearn.metrics import f1_score

        return float(f1_score(references, predictions, average=average, zero_division=0))

    return compute


f1 = Metric(
    _averaged("binary"),
    judges=(LABELS,),
    needs="two labels",
    summary="F1 of the second label (id 1), where there are two.",
)
macro_f1 = Metric(
    _averaged("macro"),
    judges=(LABELS, LABEL_SETS),
    summary="The mean of the labels' F1, each label counting the same.",
)
micro_f1 = Metric(
    _averaged("micro"),
    judges=(LABELS, LABEL_SETS),
    summary="F1 over all decisions taken together.",
)
weighted_f1 = Metric(
    _averaged("weighted"),
    judges=(LABELS, LABEL_SETS),
    summary="The mean of the labels' F1, each label counting by its rows.",
)
