"""How far off a prediction is, where labels have an order (one star to five)."""

from __future__ import annotations

from typing import Any

from textxfer.metrics._metric import LABELS, Metric


def _distances(predictions: Any, references: Any) -> Any:
    return abs(predictions - references).astype(float)


def _near(predictions: Any, references: Any) -> Any:
    return (abs(predictions - references) <= 1).astype(float)


mean_distance = Metric(
    lambda predictions, references: float(_distances(predictions, references).mean()),
    judges=(LABELS,),
    needs="ordered labels",
    greater_is_better=False,
    each=_distances,
    summary="The mean number of labels between prediction and reference; 0 is best.",
)
within_one = Metric(
    lambda predictions, references: float(_near(predictions, references).mean()),
    judges=(LABELS,),
    needs="ordered labels",
    each=_near,
    summary="The share of rows that are right or one label off.",
)
