"""Scores of predictions."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from textxfer import registry
from textxfer.evaluation.calibrate import calibration_error
from textxfer.labels import LabelSet
from textxfer.records import Predictions, Scores

VARIANTS = ("has_answer_", "no_answer_")


def score(
    predictions: Predictions, metrics: Iterable[str], labels: LabelSet | None, loss: float | None = None
) -> Scores:
    """Gives the scores of predictions that have references.

    Args:
        predictions: With references.
        metrics: Names of metrics. Where some questions have no answer, a metric of answers that has variants for
            questions with and without one is given with them.
        labels: In the order of their ids; None for answers.
        loss: Mean loss, where it is known.
    """
    values = {}
    for name in metrics:
        values[name] = float(registry.load("metrics", name).compute(predictions.predicted, predictions.references))
    if labels is None and any(not gold for gold in predictions.references):
        known = registry.names("metrics")
        for name in list(values):
            for variant in (prefix + name for prefix in VARIANTS):
                if variant in known and variant not in values:
                    metric = registry.load("metrics", variant)
                    values[variant] = float(metric.compute(predictions.predicted, predictions.references))
    values = {name: value for name, value in values.items() if not math.isnan(value)}
    if labels is None:
        return Scores(values, len(predictions), {}, loss=loss)
    several = getattr(predictions.references, "ndim", 1) == 2
    confusion = None if several else _confusion(predictions, labels)
    error = None
    if predictions.probabilities is not None:
        error = calibration_error(predictions.probabilities, predictions.references)
    return Scores(values, len(predictions), _per_label(predictions, labels, several), confusion, loss, error)


def _per_label(predictions: Predictions, labels: LabelSet, several: bool) -> dict[str, dict[str, float]]:
    from sklearn.metrics import precision_recall_fscore_support

    ids = list(range(len(labels)))
    if several and len(labels) == 1:  # scikit-learn takes a lone column for label ids: 0 without the label, 1 with it
        ids = [1]
    columns = precision_recall_fscore_support(
        predictions.references, predictions.predicted, labels=ids, average=None, zero_division=0
    )
    names = ("precision", "recall", "f1", "support")
    table: dict[str, dict[str, float]] = {}
    for number, label in enumerate(labels.names):
        row = {name: float(column[number]) for name, column in zip(names, columns, strict=True)}
        table[label] = row | {"support": int(row["support"])}
    return table


def _confusion(predictions: Predictions, labels: LabelSet) -> dict[str, Any]:
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(predictions.references, predictions.predicted, labels=list(range(len(labels))))
    return {"labels": list(labels.names), "counts": counts.tolist()}
