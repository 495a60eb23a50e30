"""Rows given in Python: lists of dicts, pandas frames, `datasets` objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from textxfer.errors import DataError
from textxfer.records import SPLIT_NAMES, Split, Splits

if TYPE_CHECKING:
    import datasets


class Memory:
    """Splits held in memory.

    Args:
        splits: {"train": rows, "validation": rows, "test": rows}, or rows alone for training. Rows are a list of
            dicts, a pandas DataFrame or a `datasets.Dataset`.
    """

    def __init__(self, splits: Any) -> None:
        is_splits = isinstance(splits, Mapping)
        self.splits: Mapping[str, Any] = splits if is_splits else {"train": splits}

    def load(self) -> Splits:
        """Gives the splits.

        Raises:
            DataError: A split has another name, is of an unknown kind, or there is no `train`.
        """
        strangers = [name for name in self.splits if name not in SPLIT_NAMES]
        if strangers:
            raise DataError(f"splits: unknown split {strangers[0]!r} (there are: {', '.join(SPLIT_NAMES)})")
        if self.splits.get("train") is None:
            raise DataError("splits: `train` is missing")
        present = {name: rows for name, rows in self.splits.items() if rows is not None}
        return Splits(**{name: Split(as_dataset(rows, name), f"{name} rows") for name, rows in present.items()})


def as_dataset(rows: Any, name: str) -> datasets.Dataset:
    """Gives rows of any of the kinds that Python users have as a `datasets.Dataset`.

    Raises:
        DataError: The rows are of another kind, or their values do not fit each other.
    """
    import datasets
    import pyarrow as pa

    if isinstance(rows, datasets.Dataset):
        return rows
    try:
        if hasattr(rows, "to_dict") and hasattr(rows, "columns"):
            return datasets.Dataset.from_pandas(rows, preserve_index=False)
        if isinstance(rows, list) and all(isinstance(row, Mapping) for row in rows):
            return datasets.Dataset(pa.Table.from_pylist([dict(row) for row in rows]))
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"{name} rows: a column mixes kinds of values: {error}") from error
    raise DataError(f"{name} rows: must be a list of dicts, a pandas DataFrame or a datasets.Dataset, not {type(rows)}")
