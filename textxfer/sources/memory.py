"""Rows given in Python: lists of dicts, pandas frames, `datasets` objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from textxfer.errors import DataError
from textxfer.records import SPLIT_NAMES, Split, Splits
from textxfer.sources._objects import from_objects, in_memory

if TYPE_CHECKING:
    import datasets


class Memory:
    """Splits held in memory.

    Args:
        splits: {"train": rows, "validation": rows, "test": rows} (a `datasets.DatasetDict` too), or rows alone for
            training. Rows are a list of dicts, a pandas DataFrame or a `datasets.Dataset`.
    """

    def __init__(self, splits: Any) -> None:
        is_splits = isinstance(splits, Mapping)
        self.splits: Mapping[str, Any] = splits if is_splits else {"train": splits}

    def load(self) -> Splits:
        """Gives the splits.

        Raises:
            DataError: A split has another name, is of an unknown kind or empty, or there is no `train`.
        """
        strangers = [name for name in self.splits if name not in SPLIT_NAMES]
        if strangers:
            raise DataError(f"splits: unknown split {strangers[0]!r} (there are: {', '.join(SPLIT_NAMES)})")
        present = {name: rows for name, rows in self.splits.items() if rows is not None}
        if "train" not in present:
            raise DataError("splits: `train` is missing")
        origins = {name: f"splits[{name!r}]" for name in present}
        return Splits(**{name: Split(as_dataset(rows, origins[name]), origins[name]) for name, rows in present.items()})


def as_dataset(rows: Any, origin: str) -> datasets.Dataset:
    """Gives rows of any of the kinds that Python users have as a `datasets.Dataset`.

    Args:
        rows: A list of dicts, a pandas DataFrame or a `datasets.Dataset`.
        origin: What messages call them.

    Raises:
        DataError: There are none, they are of another kind, or their values do not fit each other.
    """
    import datasets

    if isinstance(rows, datasets.Dataset):
        found = rows
    elif hasattr(rows, "to_dict") and hasattr(rows, "columns"):
        found = _from_pandas(rows, origin)
    elif isinstance(rows, Sequence) and all(isinstance(row, Mapping) for row in rows):
        found = from_objects(rows, origin)
    else:
        kind = type(rows).__name__
        raise DataError(f"{origin}: must be a list of dicts, a pandas DataFrame or a datasets.Dataset, not {kind}")
    if len(found) == 0:
        raise DataError(f"{origin}: has no rows")
    return found


def _from_pandas(frame: Any, origin: str) -> datasets.Dataset:
    import pyarrow as pa

    if not frame.columns.is_unique:
        raise DataError(f"{origin}: a column stands twice: {', '.join(map(str, frame.columns))}")
    try:
        return in_memory(pa.Table.from_pandas(frame, preserve_index=False))
    except (ValueError, TypeError, OverflowError, NotImplementedError):
        # Again row by row, which finds the row that does not fit.
        return from_objects(frame.astype(object).where(frame.notna(), None).to_dict("records"), origin)
