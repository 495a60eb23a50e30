"""What is said of predictions beside their scores: how sure the scores are, and how far confidence can be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textxfer.data.columns import TEXT_COLUMNS
from textxfer.evaluation.evaluate import Evaluation
from textxfer.evaluation.intervals import Intervals, intervals
from textxfer.evaluation.selective import Selective, risk_coverage
from textxfer.labels import LabelSet
from textxfer.records import Predictions, Scores

if TYPE_CHECKING:
    import datasets
    import numpy as np


@dataclass(frozen=True)
class Verdict:
    """What is known of a model from one split.

    Attributes:
        intervals: Of every score.
        selective: Accuracy on the rows it is surest of; None for label sets.
    """

    intervals: Intervals
    selective: Selective | None

    def to_metrics(self, split: str) -> dict[str, Any]:
        """Gives the keys of metrics.json that hold it."""
        found = {
            "intervals": {split: {name: list(ends) for name, ends in self.intervals.low_high.items()}},
            "detectable": {split: dict(self.intervals.detectable)},
        }
        return found if self.selective is None else found | {"selective": {split: self.selective.to_dict()}}


def verdict(
    evaluation: Evaluation, metrics: Iterable[str], labels: LabelSet | None, groups: Sequence[Any] | None = None
) -> Verdict:
    """Says how sure scores are and how far confidence can be trusted.

    Args:
        evaluation: Of one split, with references.
        metrics: Names of its scores.
        labels: In the order of their ids; None for answers.
        groups: What each row belongs to, where rows are not independent: see `contexts`.
    """
    predictions = evaluation.predictions
    return Verdict(intervals(predictions, metrics, labels, groups), _selective(predictions))


def scores_by_split(evaluations: Mapping[str, Evaluation]) -> dict[str, Any]:
    """Gives the keys of metrics.json that hold scores: of each split, by label and as confusion too."""
    scores = {split: evaluation.scores for split, evaluation in evaluations.items()}
    metrics: dict[str, Any] = {split: _values(each) for split, each in scores.items()}
    if any(each.per_label for each in scores.values()):
        metrics["per_label"] = {split: each.per_label for split, each in scores.items()}
    if any(each.confusion for each in scores.values()):
        metrics["confusion"] = {split: each.confusion for split, each in scores.items() if each.confusion}
    return metrics


def _values(scores: Scores) -> dict[str, float]:
    error = {} if scores.calibration_error is None else {"calibration_error": scores.calibration_error}
    return dict(scores.values) | error


def with_texts(records: Iterable[Mapping[str, Any]], rows: datasets.Dataset) -> Iterator[dict[str, Any]]:
    """Gives records of predictions with what was read for each: the row's texts."""
    names = [name for name in TEXT_COLUMNS if name in rows.column_names]
    for record, row in zip(records, rows.select_columns(names), strict=True):
        yield {**record, **row}


def contexts(rows: datasets.Dataset) -> list[str] | None:
    """Gives the context of each question; None for rows that are no questions."""
    return rows["context"][:] if "context" in rows.column_names else None


def _selective(predictions: Predictions) -> Selective | None:
    import numpy as np

    if predictions.probabilities is None:
        return risk_coverage(np.asarray(predictions.scores), _right_answers(predictions))
    if predictions.probabilities.ndim == 2 and np.ndim(predictions.references) == 2:
        return None
    confidence = predictions.probabilities.max(axis=1)
    return risk_coverage(confidence, np.asarray(predictions.predicted) == np.asarray(predictions.references))


def _right_answers(predictions: Predictions) -> np.ndarray:
    import numpy as np

    from textxfer import registry

    metric = registry.load("metrics", "exact_match")
    return np.asarray(metric.each(predictions.predicted, predictions.references)) == 1
