"""Accuracy."""

from __future__ import annotations

from typing import Any

from textxfer.metrics._metric import LABEL_SETS, LABELS, Metric


def _accuracy(predictions: Any, references: Any) -> float:
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(references, predictions))


def _right(predictions: Any, references: Any) -> Any:
    same = predictions == references
    return (same if same.ndim == 1 else same.all(axis=1)).astype(float)


accuracy = Metric(
    _accuracy,
    judges=(LABELS, LABEL_SETS),
    each=_right,
    summary="The share of rows that are right; for label sets, of rows whose whole set is right.",
)
