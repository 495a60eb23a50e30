"""Cutting validation and test rows from the training rows, reproducibly."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from textxfer.errors import DataError
from textxfer.records import Splits

if TYPE_CHECKING:
    import numpy as np


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
        strata: The label of each training row: each label gives its share, and its last row stays in train.
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
        own_keys = [keys[index] for index in rest]
        taken = _by_label(own_keys, fraction, rng) if strata is not None else _by_group(own_keys, fraction, rng)
        if not taken.any() or taken.all():
            raise DataError(
                f"{splits.train.origin}: {len(rest)} rows are too few to cut {fraction:.0%} for {name}; give a {name} "
                f"split, or say `dataset.{name}_fraction`"
            )
        made[name] = splits.train.select(rest[taken])
        rest = rest[~taken]
    train = splits.train if len(rest) == len(splits.train) else splits.train.select(rest)
    return Splits(train, made["validation"], made["test"])


def _by_label(labels: Sequence[Hashable], fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Marks about `fraction` of each label's rows, `fraction` of all in sum (largest remainders), never a label's last."""
    import numpy as np

    rows_of: dict[Hashable, list[int]] = {}
    for index, label in enumerate(labels):
        rows_of.setdefault(label, []).append(index)
    share = np.array([len(rows) * fraction for rows in rows_of.values()])
    most = np.array([len(rows) - 1 for rows in rows_of.values()])
    counts = np.minimum(np.floor(share).astype(int), most)
    remainder = np.where(counts < most, share - counts, -1.0)
    wanted = max(round(len(labels) * fraction), 1)
    for place in np.argsort(-remainder, kind="stable")[: max(wanted - counts.sum(), 0)]:
        counts[place] += remainder[place] > 0
    taken = np.zeros(len(labels), dtype=bool)
    for rows, count in zip(rows_of.values(), counts, strict=True):
        taken[rng.permutation(rows)[:count]] = True
    return taken


def _by_group(groups: Sequence[Hashable], fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Marks whole groups, in random order, until `fraction` of the rows is reached; the last group is never taken."""
    import numpy as np

    rows_of: dict[Hashable, list[int]] = {}
    for index, group in enumerate(groups):
        rows_of.setdefault(group, []).append(index)
    order = list(rows_of.values())
    taken = np.zeros(len(groups), dtype=bool)
    for place in rng.permutation(len(order))[:-1]:
        if taken.sum() >= fraction * len(groups):
            break
        taken[order[place]] = True
    return taken
