"""How sure a score is: its bootstrap interval, and the smallest difference that so many rows can show."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from textxfer.evaluation._resampling import interval, resample, smallest_seen, within_draws
from textxfer.labels import LabelSet
from textxfer.records import Predictions


@dataclass(frozen=True)
class Intervals:
    """How sure scores are.

    Attributes:
        low_high: The ends of each metric's interval.
        detectable: For each metric, the smallest true difference between two models that would be found significant at
            5 % (1 - `level`) with 80 % power (Card et al. 2020, arXiv:2010.06595), if each were judged on as many rows
            of its own. `compare` judges two models on the same rows and can see smaller differences, the more the
            models agree.
        resamples: How many draws the ends are from.
        level: Share of intervals that are to hold the true score.
    """

    low_high: Mapping[str, tuple[float, float]]
    detectable: Mapping[str, float]
    resamples: int
    level: float


def intervals(
    predictions: Predictions,
    metrics: Iterable[str],
    labels: LabelSet | None,
    groups: Sequence[Any] | None = None,
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Intervals:
    """Gives percentile bootstrap intervals of scores (Efron 1979).

    Rows with one label each are drawn label by label: the shares of the labels are taken as given, and only what the
    model makes of each label is uncertain (labels with fewer than 10 rows are drawn together). Label sets and answers
    are drawn row by row, and where `groups` are given, group by group. A metric that has neither `each` nor `of_counts`
    is computed anew for each draw, with 500 draws at most. Draws that are clearly off the score are centred on it.

    Args:
        predictions: Of R rows, with references.
        metrics: Names. One that cannot be judged from predictions and references alone, as the error of
            probabilities, gets no interval; nor one that is undefined in most draws.
        labels: In the order of their ids; None for answers.
        groups: What each row belongs to (R,), as the contexts of questions: rows of one context are not independent.
        resamples: Number of draws.
        level: Share of intervals that are to hold the true score.
        seed: Of the draws.
    """
    if len(predictions) == 0:
        return Intervals({}, {}, resamples, level)
    num_labels = None if labels is None else len(labels)
    drawn = resample([predictions], metrics, num_labels, groups, resamples=resamples, seed=seed)
    low_high, detectable = {}, {}
    for name, scores in drawn.items():
        low, high, deviation = interval(float(scores.scores[0]), scores.draws[0], scores.units, level)
        low_high[name] = within_draws(low, high, scores.draws)
        detectable[name] = smallest_seen(math.sqrt(2) * deviation, level)
    return Intervals(low_high, detectable, resamples, level)
