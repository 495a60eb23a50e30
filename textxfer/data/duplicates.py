"""Rows that say the same: equal and nearly equal texts, within a split and across splits."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from textxfer.data._near import Pairs, near_pairs
from textxfer.records import Splits

if TYPE_CHECKING:
    import numpy as np

BETWEEN_TEXTS = "\x1f"
"""Stands between the texts of a row that has two."""


class Place(NamedTuple):
    """Where a row is: its split, and its place there, from 0."""

    split: str
    row: int


@dataclass(frozen=True)
class Twin:
    """A row whose text stands in another split, too.

    Attributes:
        split: The row's split.
        row: Its place there, from 0.
        other: Where the first row with the most similar text is.
        similarity: Jaccard similarity of the two texts' pieces, 0.8 to 1.
        exact: Whether the texts are equal, but for case, white space and Unicode form.
    """

    split: str
    row: int
    other: Place
    similarity: float
    exact: bool


@dataclass(frozen=True)
class Duplicates:
    """Which rows say the same.

    Attributes:
        repeated: By split: places of rows whose text is equal to an earlier row's of that split, from 0.
        nearly_repeated: By split: places of rows whose text is only nearly equal to an earlier row's.
        groups: Rows of all splits that are equal or nearly so, two at least, in the order of their first rows; nearly
            equal texts are joined in chains.
        twins: Rows beside train (of validation, test or the reserved) that have a twin in it.
        twins_in_validation: Test rows that have none there, but one in validation, of which reserved rows are a part.
        near: Whether nearly equal texts were looked for.
        of: What was compared across splits: "text" or "context".
    """

    repeated: Mapping[str, np.ndarray]
    nearly_repeated: Mapping[str, np.ndarray]
    groups: tuple[tuple[Place, ...], ...]
    twins: tuple[Twin, ...]
    twins_in_validation: tuple[Twin, ...]
    near: bool
    of: str

    def leaked(self, split: str) -> np.ndarray:
        """Gives the places of a split's rows that have a twin in train, ascending, from 0."""
        import numpy as np

        return np.array([twin.row for twin in self.twins if twin.split == split], dtype=np.int64)


def find_duplicates(splits: Splits, *, near: bool = True, between: Callable[[float], None] | None = None) -> Duplicates:
    """Finds rows that say the same, the reserved ones among them.

    Texts are equal where they are so after Unicode NFKC, case folding and folding of white space; nearly equal, where
    the Jaccard similarity of their five-character pieces is 0.8 or more (see `_near`). A row's two texts count as
    one. Of questions, equal ones on equal contexts repeat each other, and a context that train has too is a leak,
    whatever is asked of it. Empty texts are equal to none.

    Args:
        splits: With columns selected.
        near: Whether to look for nearly equal texts too, which takes most of the time.
        between: Called often with the share that is done, 0 to 1; may raise to stop.
    """
    import numpy as np

    asked = "context" in splits.train.rows.column_names
    rows = numbered(splits, ("question", "context") if asked else ("text", "text_pair"))
    subjects = numbered(splits, ("context",)) if asked else rows
    pairs = near_pairs(subjects.texts if near else [], between)
    alike = rows if asked else _joined(rows, pairs)
    repeated = {name: _repeats(numbers) for name, numbers in rows.numbers.items()}
    beside = tuple(name for name in rows.numbers if name != "train")
    twins = tuple(_twins(subjects, pairs, beside, ("train",)))
    leaked = {(twin.split, twin.row) for twin in twins}
    judged = tuple(name for name in ("validation", "reserved") if name in rows.numbers)
    tested = ("test",) if judged and "test" in rows.numbers else ()
    return Duplicates(
        repeated=repeated,
        nearly_repeated={
            name: np.setdiff1d(_repeats(numbers), repeated[name]) for name, numbers in alike.numbers.items()
        },
        groups=tuple(_groups(alike.numbers)),
        twins=twins,
        twins_in_validation=tuple(
            twin for twin in _twins(subjects, pairs, tested, judged) if (twin.split, twin.row) not in leaked
        ),
        near=near,
        of="context" if asked else "text",
    )


def plain(text: str) -> str:
    """Gives a text as it is compared: Unicode NFKC, case folded, white space folded."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


@dataclass(frozen=True)
class Numbered:
    """Rows as numbers: those with the same number say the same.

    Attributes:
        texts: What rows of each number say.
        numbers: Of each split's rows; -1 where there is no text.
    """

    texts: list[str]
    numbers: dict[str, np.ndarray]


def numbered(splits: Splits, columns: Sequence[str]) -> Numbered:
    """Gives rows that are equal in these columns, or in those of them that there are, the same number."""
    import numpy as np

    number_of: dict[str, int] = {}
    numbers = {}
    for name, split in splits.present(reserved=True):
        texts = [split.rows[column][:] for column in columns if column in split.rows.column_names]
        keys = (BETWEEN_TEXTS.join(map(plain, each)) for each in zip(*texts, strict=True))
        own = (number_of.setdefault(key, len(number_of)) if key.strip() else -1 for key in keys)
        numbers[name] = np.fromiter(own, dtype=np.int64, count=len(split))
    return Numbered(list(number_of), numbers)


def _joined(rows: Numbered, pairs: Pairs) -> Numbered:
    """Gives nearly equal rows the same number."""
    import numpy as np
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    links = (np.ones(len(pairs.first), bool), (pairs.first, pairs.second))
    _, group_of = connected_components(coo_matrix(links, shape=(len(rows.texts),) * 2), directed=False)
    with_none = np.append(group_of, -1)  # where -1 points to
    return Numbered(rows.texts, {name: with_none[numbers] for name, numbers in rows.numbers.items()})


def _repeats(numbers: np.ndarray) -> np.ndarray:
    """Gives the places of numbers that stand earlier too."""
    import numpy as np

    again = numbers >= 0
    again[np.unique(numbers, return_index=True)[1]] = False
    return np.flatnonzero(again)


def _groups(numbers: Mapping[str, np.ndarray]) -> Iterator[tuple[Place, ...]]:
    """Gives the rows of each number that two rows have."""
    import numpy as np

    every = np.concatenate(list(numbers.values()))
    shared = (np.bincount(every[every >= 0], minlength=1) > 1)[every] & (every >= 0)
    members: dict[int, list[Place]] = {}
    start = 0
    for name, own in numbers.items():
        for row in np.flatnonzero(shared[start : start + len(own)]).tolist():
            members.setdefault(int(own[row]), []).append(Place(name, row))
        start += len(own)
    yield from map(tuple, members.values())


def _twins(rows: Numbered, pairs: Pairs, splits: Sequence[str], others: Sequence[str]) -> Iterator[Twin]:
    """Gives the rows of some splits whose number, or one nearly equal to it, stands in others.

    Args:
        rows: Of all splits.
        pairs: Of nearly equal numbers.
        splits: Whose rows are looked at.
        others: Where their twins are looked for; one at least where there are splits.
    """
    import numpy as np

    if not splits:
        return
    count, every = len(rows.texts), np.concatenate([rows.numbers[name] for name in others])
    ends = np.cumsum([len(rows.numbers[name]) for name in others])
    known, first = np.unique(every, return_index=True)
    row_of = np.full(count + 1, -1)  # of number -1 too
    row_of[known] = first
    row_of[-1] = -1
    near_row, similarity = np.full(count + 1, -1), np.zeros(count + 1)
    here, there = np.concatenate([[pairs.first, pairs.second], [pairs.second, pairs.first]], axis=1)
    likeness = np.concatenate([pairs.similarity, pairs.similarity])
    among_others = row_of[there] >= 0
    here, there, likeness = here[among_others], there[among_others], likeness[among_others]
    order = np.lexsort((-row_of[there], likeness))  # the most similar is written last, of those the first row
    near_row[here[order]], similarity[here[order]] = row_of[there[order]], likeness[order]
    for name in splits:
        own = rows.numbers[name]
        for row in np.flatnonzero((row_of[own] >= 0) | (near_row[own] >= 0)).tolist():
            exact = row_of[own[row]] >= 0
            found = int((row_of if exact else near_row)[own[row]])
            split = int(np.searchsorted(ends, found, side="right"))
            other = Place(others[split], found - int(ends[split]) + len(rows.numbers[others[split]]))
            yield Twin(name, row, other, 1.0 if exact else float(similarity[own[row]]), bool(exact))
