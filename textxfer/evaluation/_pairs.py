"""Two sides of a comparison: their difference, how likely it is by chance, and the rows that make it."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING

from textxfer import registry
from textxfer.evaluation._resampling import Drawn, centred, interval, smallest_seen
from textxfer.evaluation._same_rows import JudgedRun

if TYPE_CHECKING:
    import numpy as np

Members = tuple[int, ...]
"""Places of a side's runs."""

EQUAL = 1e-12


@dataclass(frozen=True)
class Difference:
    """The second side's score less the first's.

    Attributes:
        value: The difference.
        low: Lower end of its paired interval.
        high: Upper end.
        p: Two-sided p-value of the paired bootstrap: twice the share of draws on the other side of no difference.
        holm_p: The same, corrected by Holm for the number of pairs.
        detectable: The smallest true difference that would be found with 80 % power (Card et al. 2020), before Holm.
    """

    value: float
    low: float
    high: float
    p: float
    holm_p: float
    detectable: float


@dataclass(frozen=True)
class McNemar:
    """Rows that one side alone has right, and the exact two-sided p-value that this is chance."""

    only_first: int
    only_second: int
    p: float
    holm_p: float


@dataclass(frozen=True)
class OneRow:
    """A row on which two sides differ.

    Attributes:
        id: Of the row.
        reference: In words.
        first: The first side's prediction, or its predictions by how many seeds made them.
        second: The second side's.
        gain: How much more right the second is, -1..1.
        text: Where it is known.
    """

    id: str
    reference: str
    first: str
    second: str
    gain: float
    text: str | None


@dataclass(frozen=True)
class Pair:
    """Two sides.

    Attributes:
        first: Name of the first.
        second: Name of the second.
        verdict: In words.
        differences: By metric.
        mcnemar: For two runs that predict labels.
        num_differing: Rows on which their predictions differ.
        rows: Some of these, those first where one is right and the other wrong.
    """

    first: str
    second: str
    verdict: str
    differences: Mapping[str, Difference]
    mcnemar: McNemar | None
    num_differing: int
    rows: tuple[OneRow, ...]


class Table:
    """Scores, draws and predictions of sides; a side is the places of its runs."""

    def __init__(self, runs: Sequence[JudgedRun], drawn: Mapping[str, Drawn], level: float, seed: int) -> None:
        import numpy as np

        self.runs, self.drawn, self.level, self.seed = runs, drawn, level, seed
        self.right = np.stack([_right(run) for run in runs])  # (G, R)

    def name(self, members: Members) -> str:
        """Gives a run's name; for seeds, the folder that they share alone, or the first and how many more."""
        names = [self.runs[place].name for place in members]
        if len(names) == 1:
            return names[0]
        folders = {PurePath(name).parent for name in names}
        if len(folders) == 1 and PurePath(names[0]).name.startswith("seed-") and folders != {PurePath()}:
            return str(folders.pop())
        return f"{names[0]} and {len(names) - 1} more seed{'s' if len(names) > 2 else ''}"

    def draws(self, metric: str, members: Members) -> np.ndarray:
        """Gives a side's score in each draw (S,): the mean of its seeds, moved as other seeds would have moved it.

        The variance between seeds, less what the draws of rows explain of it, is that of the seeds themselves; a mean
        of n seeds moves by Student's t with n - 1 degrees of freedom times its standard error.
        """
        import numpy as np

        draws, scores = self.drawn[metric].draws[list(members)], self.drawn[metric].scores[list(members)]
        number, times = draws.shape
        mean = draws.mean(axis=0)
        if number == 1:
            return mean
        explained = np.nanvar(draws - mean, axis=1).sum() / (number - 1)
        own = max(0.0, float(scores.var(ddof=1) - explained))
        rng = np.random.default_rng([self.seed, *members])
        moved: np.ndarray = mean + math.sqrt(own / number) * rng.standard_t(number - 1, times)
        return moved

    def said(self, members: Members, row: int) -> str:
        """Gives a side's prediction for a row; where its seeds differ, how many made which."""
        counts = Counter(self.runs[place].prediction(row) for place in members)
        if len(counts) == 1:
            return next(iter(counts))
        return ", ".join(f"{words} ({count} of {len(members)})" for words, count in counts.most_common())


def _right(run: JudgedRun) -> np.ndarray:
    """Gives how right each row is (R,): 0 or 1, for answers the overlap with the reference."""
    metric = registry.load("metrics", "answer_f1" if run.labels is None else "accuracy")
    right: np.ndarray = metric.each(run.predictions.predicted, run.predictions.references)
    return right


def pairs(table: Table, sides: Sequence[Members], metric: str, rows: int) -> Iterator[Pair]:
    """Gives every two sides in the order of the sides, their p-values corrected for the number of pairs."""
    both = list(itertools.combinations(sides, 2))
    found = {name: _differences(table, name, both) for name in table.drawn}
    tests = {pair: _mcnemar(table, *pair) for pair in both if _can_be_tested(table, *pair)}
    corrected = dict(zip(tests, holm([test.p for test in tests.values()]), strict=True))
    for number, pair in enumerate(both):
        first, second = pair
        differing = _differing(table, first, second)
        names = table.name(first), table.name(second)
        differences = {name: each[number] for name, each in found.items()}
        yield Pair(
            *names,
            verdict=_verdict(names, metric, differences[metric], table, differing),
            differences=differences,
            mcnemar=replace(tests[pair], holm_p=corrected[pair]) if pair in tests else None,
            num_differing=len(differing),
            rows=tuple(_one_rows(table, first, second, differing[:rows])),
        )


def _differences(table: Table, metric: str, pairs: Sequence[tuple[Members, Members]]) -> list[Difference]:
    drawn, found = table.drawn[metric], []
    for first, second in pairs:
        value = float(drawn.scores[list(second)].mean() - drawn.scores[list(first)].mean())
        draws = centred(value, table.draws(metric, second) - table.draws(metric, first))
        low, high, deviation = interval(value, draws, drawn.units, table.level)
        beyond = min((draws <= EQUAL).sum(), (draws >= -EQUAL).sum())
        p = min(1.0, float(2 * (beyond + 1) / (len(draws) + 1)))
        found.append(Difference(value, low, high, p, p, smallest_seen(deviation, table.level)))
    corrected = holm([difference.p for difference in found])
    return [replace(difference, holm_p=p) for difference, p in zip(found, corrected, strict=True)]


def _can_be_tested(table: Table, first: Members, second: Members) -> bool:
    return table.runs[0].labels is not None and len(first) == len(second) == 1


def _mcnemar(table: Table, first: Members, second: Members) -> McNemar:
    """Tests two runs of labels: of the rows that one alone has right, each falls to either with the chance 1/2."""
    from scipy.special import bdtr

    one, other = table.right[first[0]], table.right[second[0]]
    only = int((one > other).sum()), int((one < other).sum())
    p = min(1.0, 2 * float(bdtr(min(only), sum(only), 0.5))) if sum(only) else 1.0
    return McNemar(*only, p, p)


def holm(ps: Sequence[float]) -> list[float]:
    """Gives p-values corrected for their number (Holm 1979): the k-th smallest of m is multiplied by m - k + 1."""
    corrected, highest = [0.0] * len(ps), 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=lambda place: ps[place])):
        highest = max(highest, min(1.0, ps[place] * (len(ps) - rank)))
        corrected[place] = highest
    return corrected


def _differing(table: Table, first: Members, second: Members) -> list[int]:
    """Gives the rows on which two sides differ, those first where one is the most right and the other the least."""
    number = table.right.shape[1]
    gains = _gain(table, first, second)
    rows = [row for row in range(number) if table.said(first, row) != table.said(second, row)]
    return sorted(rows, key=lambda row: (-abs(gains[row]), row))


def _gain(table: Table, first: Members, second: Members) -> np.ndarray:
    """Gives how much more right the second side is on each row (R,), its seeds averaged."""
    gain: np.ndarray = table.right[list(second)].mean(axis=0) - table.right[list(first)].mean(axis=0)
    return gain


def _one_rows(table: Table, first: Members, second: Members, rows: Sequence[int]) -> Iterator[OneRow]:
    gains, run = _gain(table, first, second), table.runs[0]
    texts = next((run.texts for run in table.runs if run.texts is not None), None)
    for row in rows:
        yield OneRow(
            run.predictions.ids[row],
            run.reference(row),
            table.said(first, row),
            table.said(second, row),
            float(gains[row]),
            texts[row] if texts is not None else None,
        )


def _verdict(
    names: tuple[str, str], metric: str, difference: Difference, table: Table, differing: Sequence[int]
) -> str:
    number = table.right.shape[1]
    if not differing:
        return f"{names[0]} and {names[1]} predict the same on all {number} rows"
    if difference.holm_p >= 1 - table.level:
        return (
            f"{names[1]} and {names[0]}: not distinguishable at this test size; differences under "
            f"{difference.detectable:.2g} {metric} cannot be seen with {number} rows"
        )
    second_is_better = (difference.value > 0) == registry.load("metrics", metric).greater_is_better
    value, low, high = difference.value, difference.low, difference.high
    if not second_is_better:
        value, low, high = -value, -high, -low
    worse, better = names if second_is_better else names[::-1]
    p = "p < 0.001" if difference.holm_p < 0.001 else f"p = {difference.holm_p:.3f}"
    return f"{better} is better than {worse}: {value:+.3f} {metric} [{low:.3f}, {high:.3f}], {p}"
