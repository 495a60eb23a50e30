"""How far off a prediction is, where labels have an order (one star to five)."""

from __future__ import annotations

from typing import Any

from textxfer.metrics._metric import LABELS, Metric


def _mean_distance(predictions: Any, references: Any) -> float:
    return float(abs(predictions - references).mean())


def _within_one(predictions: Any, references: Any) -> float:
    return float((abs(predictions - references) <= 1).mean())


mean_distance = Metric(
    _mean_distance,
    judges=(LABELS,),
    needs="ordered labels",
    greater_is_better=False,
    summary="The mean number of labels between prediction and reference; 0 is best.",
)
within_one = Metric(
    _within_one,
    judges=(LABELS,),
    needs="ordered labels",
    summary="The share of rows that are right or one label off.",
)
