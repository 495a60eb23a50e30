"""The bootstrap (Efron 1979): scores of rows drawn with replacement, without ever copying a row.

What is drawn is a *unit*: a kind of row (rows with the same reference and the same predictions are one kind), or a
group of rows that belong together. A draw is how often each unit came, and the scores of a draw follow from sums over
units.

Letters in shapes: R rows, K units, M rows that describe units, C labels, G runs, S draws.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from textxfer import registry
from textxfer.metrics import ANSWERS, LABEL_SETS, LABELS, Counts, Metric
from textxfer.records import Predictions

if TYPE_CHECKING:
    import numpy as np

SLOW_DRAWS = 500
"""Draws at most for a metric that has neither `each` nor `of_counts` and is computed anew for every draw."""
CELLS_AT_A_TIME = 1 << 22
FEW_KINDS = 0.1
"""Units a row up to which counting each unit's draws at once is faster than drawing row by row."""
POWER = 0.8
NO_SPREAD = 1e-12


@dataclass(frozen=True)
class Drawn:
    """One metric's scores.

    Attributes:
        scores: On the rows themselves (G,).
        draws: On each draw (G, S); NaN where no row of the draw counts.
        units: Units that count.
    """

    scores: np.ndarray
    draws: np.ndarray
    units: int


@dataclass(frozen=True)
class _Units:
    """What is drawn.

    Attributes:
        rows: Places of the rows that describe the units (M,): one of each kind, or all rows of each group.
        unit: The unit of each of these (M,).
        shares: How often the data hold each unit (K,): the rows of a kind; 1 for a group.
    """

    rows: np.ndarray
    unit: np.ndarray
    shares: np.ndarray

    def draw(self, times: int, seed: int, at_a_time: int) -> Iterator[np.ndarray]:
        """Gives how often each unit came in each draw, some draws at a time: (K, at most `at_a_time`)."""
        import numpy as np

        rng, number, total = np.random.default_rng(seed), len(self.shares), int(self.shares.sum())
        owners = np.repeat(np.arange(number), self.shares)
        for start in range(0, times, at_a_time):
            here = min(at_a_time, times - start)
            if number <= FEW_KINDS * total:
                yield rng.multinomial(total, self.shares / total, size=here).T.astype(float)
                continue
            weights = np.empty((number, here))
            for draw in range(here):
                drawn = rng.integers(0, total, total, dtype=np.uint32)
                weights[:, draw] = np.bincount(owners[drawn], minlength=number)
            yield weights


def resample(
    runs: Sequence[Predictions],
    metrics: Iterable[str],
    num_labels: int | None,
    groups: Sequence[Any] | None = None,
    *,
    resamples: int,
    seed: int,
) -> dict[str, Drawn]:
    """Draws the same rows for all runs, many times, and gives each metric's scores.

    Args:
        runs: Predictions for the same R rows, one at least, with references.
        metrics: Names. Those that are no metric of these predictions, or not on the shelf, or undefined on the rows
            or on most draws, are left out.
        num_labels: C; None for answers.
        groups: What each row belongs to (R,); rows of one group are drawn together. Default: every row for itself.
        resamples: S; `SLOW_DRAWS` at most for metrics with `compute` alone.
        seed: Of the draws.
    """
    import numpy as np

    kind = _kind(runs[0], num_labels)
    chosen = _judging(kind, metrics)
    units = _units(runs, kind, groups)
    sums = [_Sums(run, units, kind, num_labels, chosen) for run in runs]
    own = [each.scores(units.shares[:, None].astype(float)) for each in sums]
    cells = max(len(units.shares), num_labels or 1)
    drawn = [
        [each.scores(weights) for each in sums] for weights in units.draw(resamples, seed, CELLS_AT_A_TIME // cells + 1)
    ]
    found = {}
    for name, metric in chosen.items():
        if metric.each is None and metric.of_counts is None:
            scores, draws = _computed(metric, runs, units, min(resamples, SLOW_DRAWS), seed)
            found[name] = Drawn(scores, draws, int(units.shares.sum()))
        else:
            draws = np.concatenate([np.stack([run[name] for run in part]) for part in drawn], axis=1)
            found[name] = Drawn(np.array([run[name][0] for run in own]), draws, sums[0].units_of(name))
    return {name: each for name, each in found.items() if _is_defined(each)}


def centred(score: float, draws: np.ndarray) -> np.ndarray:
    """Gives the draws around the score itself where their mean is off by more than a quarter of their deviation.

    So it is for the mean F1 of labels with a handful of rows, which falls with every row that is drawn twice. Smaller
    biases do not matter (Efron & Tibshirani 1993, chapter 10). Draws without a score (NaN) are left out.
    """
    import numpy as np

    defined = draws[~np.isnan(draws)]
    bias = defined.mean() - score
    centre: np.ndarray = defined - bias if abs(bias) > defined.std() / 4 else defined
    return centre


def interval(score: float, draws: np.ndarray, units: int, level: float) -> tuple[float, float, float]:
    """Gives the percentile interval of a score or of a difference, and the draws' standard deviation.

    Where both ends fall together (no row is wrong, say), nothing was learnt from the draws. Then the ends are as far
    off as the exact bound of something never seen in so many units (Clopper & Pearson 1934), and the deviation is that
    of a normal distribution with this bound.

    Args:
        score: On the rows themselves; the interval holds it.
        draws: On each draw (S,).
        units: That were drawn each time.
        level: Share of intervals that are to hold the true score.

    Returns:
        Lower end, upper end, standard deviation.
    """
    import numpy as np

    defined = centred(score, draws)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    if high - low < NO_SPREAD:
        unseen = 1 - ((1 - level) / 2) ** (1 / units)
        return score - unseen, score + unseen, unseen / quantile((1 + level) / 2)
    return min(float(low), score), max(float(high), score), float(defined.std())


def within_draws(low: float, high: float, draws: np.ndarray) -> tuple[float, float]:
    """Gives the ends of a score's interval, kept within 0..1 where no draw of rows leaves it."""
    return (low, high) if ((draws < 0) | (draws > 1)).any() else (max(low, 0.0), min(high, 1.0))


def smallest_seen(deviation: float, level: float) -> float:
    """Gives the true difference that a test at 1 - `level` finds with 80 % power, by the deviation of a difference."""
    return (quantile((1 + level) / 2) + quantile(POWER)) * deviation


def quantile(share: float) -> float:
    """Gives the standard normal distribution's quantile."""
    return NormalDist().inv_cdf(share)


class _Sums:
    """One run's rows, summed over units."""

    def __init__(
        self, run: Predictions, units: _Units, kind: str, num_labels: int | None, metrics: dict[str, Metric]
    ) -> None:
        import numpy as np

        self.units, self.kind = units, kind
        number = len(units.shares)
        predicted, references = _taken(run.predicted, units.rows), _taken(run.references, units.rows)
        self.counted = {name: metric.of_counts for name, metric in metrics.items() if metric.of_counts}
        self.tables = _tables(predicted, references, units, num_labels) if num_labels and self.counted else ()
        self.means: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for name, metric in metrics.items():
            if metric.each is not None and name not in self.counted:
                each = np.asarray(metric.each(predicted, references), float)
                counts = ~np.isnan(each)
                total = np.bincount(units.unit, np.where(counts, each, 0), number)
                self.means[name] = (total, np.bincount(units.unit, counts, number))

    def scores(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Gives each metric's scores (S,) where unit k came weights[k, s] times."""
        import numpy as np

        found: dict[str, np.ndarray] = {}
        if self.counted:
            right, predicted, actual = ((table @ weights).T for table in self.tables)
            counts = Counts(right, predicted, actual, label_sets=self.kind == LABEL_SETS)
            found |= {name: of_counts(counts) for name, of_counts in self.counted.items()}
        for name, (total, rows) in self.means.items():
            drawn = rows @ weights
            nothing = np.full(drawn.shape, math.nan)
            found[name] = np.divide(total @ weights, drawn, out=nothing, where=drawn > 0)
        return found

    def units_of(self, name: str) -> int:
        """Gives how many units count for a metric."""
        counts = self.means[name][1] > 0 if name in self.means else slice(None)
        return int(self.units.shares[counts].sum())


def _is_defined(drawn: Drawn) -> bool:
    import numpy as np

    return not np.isnan(drawn.scores).any() and bool((np.isnan(drawn.draws).mean(axis=1) < 0.5).all())


def _kind(run: Predictions, num_labels: int | None) -> str:
    assert run.references is not None, "predictions without references cannot be judged"
    if num_labels is None:
        return ANSWERS
    return LABELS if run.references.ndim == 1 else LABEL_SETS


def _judging(kind: str, metrics: Iterable[str]) -> dict[str, Metric]:
    known = registry.names("metrics")
    loaded = {name: registry.load("metrics", name) for name in dict.fromkeys(metrics) if name in known}
    return {name: metric for name, metric in loaded.items() if kind in metric.judges}


def _units(runs: Sequence[Predictions], kind: str, groups: Sequence[Any] | None) -> _Units:
    import numpy as np

    number = len(runs[0])
    if groups is not None or kind == ANSWERS:
        numbers: dict[Any, int] = {}
        unit = [numbers.setdefault(group, len(numbers)) for group in (range(number) if groups is None else groups)]
        ones = np.ones(len(numbers), np.int64)
        return _Units(np.arange(number), np.array(unit), ones)
    sides = [runs[0].references, *(run.predicted for run in runs)]
    table = np.column_stack([np.asarray(side, np.int32 if kind == LABELS else np.int8) for side in sides])
    _, rows, shares = np.unique(table, axis=0, return_index=True, return_counts=True)
    return _Units(rows, np.arange(len(rows)), shares)


def _tables(predicted: Any, references: Any, units: _Units, num_labels: int) -> tuple[Any, ...]:
    """Gives how often a unit has each label right, predicted and as its reference: three sparse matrices (C, K)."""
    import numpy as np
    from scipy import sparse

    def table(labels: np.ndarray, keep: np.ndarray) -> Any:
        if labels.ndim == 1:
            places, columns = np.flatnonzero(keep), labels[keep]
        else:
            places, columns = np.nonzero(labels & keep)
        ones = np.ones(len(places))
        return sparse.csr_matrix((ones, (columns, units.unit[places])), shape=(num_labels, len(units.shares)))

    everywhere = np.ones(references.shape, bool)
    return table(references, references == predicted), table(predicted, everywhere), table(references, everywhere)


def _computed(
    metric: Metric, runs: Sequence[Predictions], units: _Units, times: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Gives the scores of a metric that is computed anew for every draw; NaN where it cannot be."""
    import numpy as np

    def compute(run: Predictions, rows: np.ndarray) -> float:
        try:
            return float(metric.compute(_taken(run.predicted, rows), _taken(run.references, rows)))
        except (ValueError, ArithmeticError):  # a label is missing from the draw, say
            return math.nan

    scores = np.array([metric.compute(run.predicted, run.references) for run in runs], float)
    draws = []
    for weights in units.draw(times, seed, CELLS_AT_A_TIME // len(units.shares) + 1):
        for column in weights[units.unit].T.astype(np.int64):
            rows = np.repeat(units.rows, column)
            draws.append([compute(run, rows) for run in runs])
    return scores, np.array(draws).T


def _taken(values: Any, rows: np.ndarray) -> Any:
    return [values[row] for row in rows] if isinstance(values, (list, tuple)) else values[rows]
