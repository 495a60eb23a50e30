"""Whether runs differ by more than chance, judged on the same test rows.

The method: paired bootstrap (Efron & Tibshirani 1993; for text: Berg-Kirkpatrick et al. 2012), exact McNemar test
(McNemar 1947), Holm's correction where there are more pairs than one (Holm 1979), as Dror et al. 2018 advise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from textxfer import registry
from textxfer.errors import DataError
from textxfer.evaluation._pairs import Difference, McNemar, OneRow, Pair, Table, pairs
from textxfer.evaluation._resampling import interval, resample, within_draws
from textxfer.evaluation._same_rows import JudgedRun, aligned

__all__ = ["Comparison", "Difference", "JudgedRun", "McNemar", "OneRow", "Pair", "Side", "compare"]

FEW_SEEDS = 3


@dataclass(frozen=True)
class Side:
    """A run, or the runs of one recipe that differ in their seed.

    Attributes:
        name: Of the run; of the folder that the seeds share.
        runs: Names of its runs.
        scores: Each metric's score; with several runs their mean.
        low_high: Ends of its interval: over rows, and over seeds where there are several.
        deviations: Standard deviation between seeds; empty for one run.
    """

    name: str
    runs: tuple[str, ...]
    scores: Mapping[str, float]
    low_high: Mapping[str, tuple[float, float]]
    deviations: Mapping[str, float]


@dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    Attributes:
        metric: The one that the verdicts are about.
        metrics: Those that were compared.
        num_rows: Test rows.
        runs: Each run's scores.
        recipes: Each recipe's scores over its seeds, where a recipe has several.
        pairs: Every two runs; every two recipes where there are several of which one has several seeds.
        notes: Cautions.
        resamples: Draws of the bootstrap.
        level: Of the intervals; a difference counts from p < 1 - level.
    """

    metric: str
    metrics: tuple[str, ...]
    num_rows: int
    runs: tuple[Side, ...]
    recipes: tuple[Side, ...]
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]
    resamples: int
    level: float


def compare(
    runs: Sequence[JudgedRun],
    metric: str | None = None,
    *,
    resamples: int = 5000,
    level: float = 0.95,
    seed: int = 0,
    rows: int = 20,
) -> Comparison:
    """Compares every two runs, or every two recipes where some runs differ in their seed alone.

    Rows are drawn as for `intervals`, the same ones for all runs. With several seeds a recipe's score is the mean over
    its runs, and each draw moves it as other seeds would: by Student's t with n - 1 degrees of freedom times its
    standard error, from the variance between seeds less what rows explain of it (the two-sample form is Behrens' and
    Fisher's). The spread between seeds of a recipe that has one is unknown and left out.

    Args:
        runs: Two or more, judged on the same rows in any order.
        metric: What the verdicts are about. Default: the first run's `select_by`, else the first metric they share.
        resamples: Draws.
        level: Of the intervals.
        seed: Of the draws.
        rows: Most rows to give for each pair.

    Raises:
        DataError: There is one run, they were not judged on the same rows, or the metric is not one they share.
    """
    if len(runs) < 2:
        raise DataError("one run alone cannot be compared: name two or more")
    names, notes = _shared_metrics(runs)
    runs = aligned(runs)
    num_labels = None if runs[0].labels is None else len(runs[0].labels)
    groups = next((run.groups for run in runs if run.groups is not None), None)
    said = [run.predictions for run in runs]
    drawn = resample(said, names, num_labels, groups, resamples=resamples, seed=seed)
    metric = _chosen(metric, runs[0].select_by, list(drawn))
    alone = [(place,) for place in range(len(runs))]
    recipes = _recipes(runs)
    table = Table(runs, drawn, level, seed)
    notes += _cautions(table, recipes)
    if num_labels is None and groups is None:
        notes.append("the runs do not hold their contexts: questions on one context are taken as independent")
    return Comparison(
        metric,
        tuple(drawn),
        len(said[0]),
        runs=tuple(_side(table, members) for members in alone),
        recipes=tuple(_side(table, members) for members in recipes if len(recipes) < len(runs)),
        pairs=tuple(pairs(table, recipes if len(recipes) > 1 else alone, metric, rows)),
        notes=tuple(notes),
        resamples=resamples,
        level=level,
    )


def _shared_metrics(runs: Sequence[JudgedRun]) -> tuple[list[str], list[str]]:
    """Gives the metrics that all runs were judged by, and a note where their labels' order forbids some of them."""
    shared = [name for name in runs[0].metrics if all(name in run.metrics for run in runs)]
    if all(run.labels == runs[0].labels for run in runs):
        return shared, []
    known = registry.names("metrics")
    kept = [name for name in shared if name not in known or registry.load("metrics", name).needs is None]
    left_out = [name for name in shared if name not in kept]
    note = f"the runs do not have the same labels in the same order: {', '.join(left_out)} cannot be compared"
    return kept, [note] if left_out else []


def _chosen(metric: str | None, usual: str | None, names: Sequence[str]) -> str:
    if not names:
        raise DataError("the runs share no metric that can be compared")
    if metric is not None and metric not in names:
        raise DataError(registry.unknown(metric, names, what="metric of these runs"))
    return metric or (usual if usual in names else names[0])  # type: ignore[return-value]


def _recipes(runs: Sequence[JudgedRun]) -> list[tuple[int, ...]]:
    """Gives the places of the runs of each recipe; runs with the same recipe and the same seed stay apart."""
    places: dict[Any, list[int]] = {}
    for place, run in enumerate(runs):
        places.setdefault(run.recipe if run.recipe is not None else place, []).append(place)
    found: list[tuple[int, ...]] = []
    for members in places.values():
        seeds = {runs[place].seed for place in members}
        found += [tuple(members)] if len(seeds) == len(members) else [(place,) for place in members]
    return sorted(found)


def _cautions(table: Table, recipes: Sequence[tuple[int, ...]]) -> list[str]:
    """Says what a reader must know of the seeds."""
    if len(recipes) == 1:
        return ["the runs are seeds of one recipe: they differ by chance, whatever a test of two of them says"]
    few = [f"{table.name(members)} ({len(members)})" for members in recipes if len(members) < FEW_SEEDS]
    if not few or len(recipes) == len(table.runs):
        return []
    return [
        f"fewer than {FEW_SEEDS} seeds of {', '.join(few)}: with 1 the spread between seeds is unknown and left out of "
        "the intervals, with 2 it is hardly known and they are wide"
    ]


def _side(table: Table, members: tuple[int, ...]) -> Side:
    scores, low_high, deviations = {}, {}, {}
    for name, drawn in table.drawn.items():
        each = drawn.scores[list(members)]
        scores[name] = float(each.mean())
        low, high, _ = interval(scores[name], table.draws(name, members), drawn.units, table.level)
        low_high[name] = within_draws(low, high, drawn.draws[list(members)])
        if len(members) > 1:
            deviations[name] = float(each.std(ddof=1))
    runs = tuple(table.runs[place].name for place in members)
    return Side(table.name(members), runs, scores, low_high, deviations)
