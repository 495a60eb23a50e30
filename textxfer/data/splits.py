"""Cutting validation and test rows from the training rows, and reserved rows from validation, reproducibly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from textxfer.errors import DataError
from textxfer.records import Splits

if TYPE_CHECKING:
    import numpy as np

LEAST_VALIDATION = 300
"""Rows of validation from which on some are reserved."""
RESERVED_SHARE = 3
"""One row of so many is reserved."""
MOST_RESERVED = 2000


def cut(
    splits: Splits,
    strata: Sequence[Hashable] | None,
    groups: Sequence[Hashable] | None,
    *,
    validation_fraction: float,
    test_fraction: float,
    seed: int,
) -> Splits:
    """Cuts the splits that are missing from `train`; the test rows first, so that they never depend on validation.

    Args:
        splits: With columns selected.
        strata: The label of each training row, or its labels as a tuple: each label gives its share, and its last row
            stays in train.
        groups: The context of each training row: rows of one group go to one split. Used where there are no strata.
        validation_fraction: Share of the training rows for validation; used where there is no validation split.
        test_fraction: Share of the rows for the test; 0 cuts none.
        seed: Of the cuts.

    Returns:
        Splits; those that were there are as they were.

    Raises:
        DataError: There are too few rows to cut.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    keys = strata if strata is not None else groups
    assert keys is not None
    rest = np.arange(len(splits.train))
    made = {"validation": splits.validation, "test": splits.test}
    for name, fraction in (("test", test_fraction), ("validation", validation_fraction)):
        if made[name] is not None or fraction == 0:
            continue
        own_keys = [keys[index] for index in rest.tolist()]
        taken = _by_label(own_keys, fraction, rng) if strata is not None else _by_group(own_keys, fraction, rng)
        if not taken.any() or taken.all():
            count = f"{len(rest)} rows" if strata is not None else f"{len(set(own_keys))} contexts"
            raise DataError(
                f"{splits.train.origin}: {count} are too few to cut {fraction:.0%} for {name}; give a {name} split, or "
                f"say `dataset.{name}_fraction`"
            )
        made[name] = splits.train.select(rest[taken])
        rest = rest[~taken]
    train = splits.train if len(rest) == len(splits.train) else splits.train.select(rest)
    return Splits(train, made["validation"], made["test"])


def reserve(splits: Splits, strata: Sequence[str], *, seed: int) -> Splits:
    """Takes a third of the validation rows, 2,000 at most, out as `reserved`: rows that choose nothing.

    Whatever is promised of new rows (see `evaluation.conformal`) must be measured on rows that are like them: so every
    row has the same chance to be taken, a label's last one too. Each label gives its share within one row, because
    the rows are taken at even distances from validation sorted by label.

    Args:
        splits: With a validation split.
        strata: The label of each validation row.
        seed: Of the draw.

    Returns:
        The splits; as they were where validation has fewer than 300 rows.
    """
    import numpy as np

    assert splits.validation is not None
    count = len(splits.validation)
    if count < LEAST_VALIDATION:
        return splits
    rng = np.random.default_rng([seed, 1])  # not the numbers that cut validation
    wanted = min(count // RESERVED_SHARE, MOST_RESERVED)
    by_label = np.lexsort((rng.random(count), np.unique(strata, return_inverse=True)[1]))
    places = ((np.arange(wanted) + rng.random()) * count / wanted).astype(int)
    taken = np.zeros(count, dtype=bool)
    taken[by_label[places]] = True
    return replace(
        splits,
        validation=splits.validation.select(np.flatnonzero(~taken)),
        reserved=splits.validation.select(np.flatnonzero(taken)),
    )


def _by_label(labels: Sequence[Hashable], fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Marks `fraction` of each label's rows (by largest remainders also `fraction` of all), but never a label's last.

    A row with several labels counts for the rarest of them.
    """
    import numpy as np

    sets = [label if isinstance(label, tuple) else (label,) for label in labels]
    count_of = Counter(chain.from_iterable(sets))
    strata = [each[0] if len(each) == 1 else min(each, key=count_of.__getitem__, default=None) for each in sets]
    size_of = Counter(strata)
    free: dict[Hashable, list[int]] = {stratum: [] for stratum in size_of}
    unkept = set(count_of)
    for row in rng.permutation(len(sets)).tolist():
        if unkept and not unkept.isdisjoint(sets[row]):
            unkept.difference_update(sets[row])
        else:
            free[strata[row]].append(row)
    share = np.array([size * fraction for size in size_of.values()])
    most = np.array([len(rows) for rows in free.values()])
    counts = np.minimum(np.floor(share).astype(int), most)
    remainder = np.where(counts < most, share - counts, 0.0)
    wanted = max(round(len(labels) * fraction), 1)
    for place in np.argsort(-remainder, kind="stable")[: max(wanted - counts.sum(), 0)]:
        counts[place] += remainder[place] > 0
    taken = np.zeros(len(labels), dtype=bool)
    for rows, count in zip(free.values(), counts, strict=True):
        taken[rows[:count]] = True
    return taken


def _by_group(groups: Sequence[Hashable], fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Marks whole groups, in random order, that fit into `fraction` of the rows; the smallest one if none fits."""
    import numpy as np

    rows_of: dict[Hashable, list[int]] = {}
    for index, group in enumerate(groups):
        rows_of.setdefault(group, []).append(index)
    order = list(rows_of.values())
    room = round(fraction * len(groups))
    taken = np.zeros(len(groups), dtype=bool)
    for place in rng.permutation(len(order)):
        if len(order[place]) <= room:
            taken[order[place]] = True
            room -= len(order[place])
    if not taken.any():
        taken[min(order, key=len)] = True
    return taken
