"""Objects (JSON's, or Python's dicts) to a `datasets.Dataset`, with the place of a value that does not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

from textxfer.errors import DataError

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

Place = Callable[[int], str]

_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "true/false"),
    (Real, "numbers"),
    (str, "texts"),
    (list, "lists"),
    (tuple, "lists"),
    (dict, "objects"),
)


def from_objects(rows: Sequence[Mapping[str, Any]], origin: str, place: Place | None = None) -> datasets.Dataset:
    """Gives rows as a table with every key that any of them has; what a row lacks is None.

    Args:
        rows: The objects.
        origin: A file's name or the like; messages open with it.
        place: Says where in it object `index` (from 0) stands. Default: its row, counted from 1.

    Raises:
        DataError: One line for each column whose values do not fit each other or fit no column at all.
    """
    import pyarrow as pa

    place = place or (lambda index: f"row {index + 1}")
    arrays, problems = {}, []
    for name in dict.fromkeys(key for row in rows for key in row):
        values = [row.get(name) for row in rows]
        problem = _mixed(values, name, place)
        if problem is None:
            try:
                arrays[str(name)] = pa.array(values)
                continue
            except (ValueError, TypeError, OverflowError, NotImplementedError):
                problem = _unfit(values, name, place)
        problems.append(f"{origin} {problem}")
    if problems:
        raise DataError(*problems)
    return in_memory(pa.table(arrays))


def in_memory(table: pa.Table) -> datasets.Dataset:
    """Gives a table as a `datasets.Dataset`, without the hash over all its bytes that `datasets` would make."""
    import datasets
    from datasets.fingerprint import generate_random_fingerprint

    return datasets.Dataset(table, fingerprint=generate_random_fingerprint())


def _mixed(values: list[Any], name: str, place: Place) -> str | None:
    """Says where a column changes from one kind of value to another, if it does."""
    types = set(map(type, values)) - {type(None)}
    if len({_kind(each) for each in types}) < 2:
        return None
    first: tuple[str, int] | None = None
    for index, value in enumerate(values):
        if value is None:
            continue
        kind = _kind(type(value))
        first = first or (kind, index)
        if kind != first[0]:
            before = f"{place(first[1])} holds {first[0]}"
            return f"{place(index)}: column `{name}` holds {kind}, but {before}; write one kind only"
    return None


def _kind(kind: type) -> str:
    return next((words for base, words in _KINDS if issubclass(kind, base)), kind.__name__)


def _unfit(values: list[Any], name: str, place: Place) -> str:
    """Finds the first value that Arrow cannot put beside those before it, by halving."""
    import pyarrow as pa

    good, bad, reason = 0, len(values), ""
    while bad - good > 0:
        middle = (good + bad) // 2
        try:
            pa.array(values[: middle + 1])
            good = middle + 1
        except UnicodeEncodeError:
            bad, reason = middle, "holds half of a character (a lone surrogate, \\ud800 to \\udfff)"
        except (ValueError, TypeError, OverflowError, NotImplementedError) as error:
            bad, reason = middle, f"does not fit the rows before it: {str(error).splitlines()[0]}"
    return f"{place(good)}: column `{name}` {reason}"
