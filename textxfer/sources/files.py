"""Local files: one per split in a folder, or one file that is cut later."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from textxfer import registry
from textxfer.errors import DataError
from textxfer.records import SPLIT_NAMES, Split, Splits
from textxfer.sources import _formats
from textxfer.sources.hub import ALIASES

if TYPE_CHECKING:
    import datasets

READERS: dict[str, Callable[[Path], datasets.Dataset]] = {
    ".csv": _formats.read_csv,
    ".tsv": _formats.read_tsv,
    ".json": _formats.read_json,
    ".jsonl": _formats.read_jsonl,
    ".ndjson": _formats.read_jsonl,
    ".parquet": _formats.read_parquet,
    ".txt": _formats.read_txt,
}


class Files:
    """Files on this machine. They are read anew each time, so a file that was rewritten is never served stale.

    Args:
        path: A folder or a file.
        train, validation, test: File names, relative to the folder. Default: found by stem.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        train: str | None = None,
        validation: str | None = None,
        test: str | None = None,
    ) -> None:
        self.path = Path(path)
        self.chosen = {"train": train, "validation": validation, "test": test}

    def load(self) -> Splits:
        """Reads the files.

        Raises:
            DataError: One line for each file that is missing, empty or cannot be read.
        """
        splits: dict[str, Split] = {}
        problems: list[str] = []
        for name, path in self.files().items():
            try:
                splits[name] = read_file(path)
            except DataError as error:
                problems.extend(error.lines)
        if problems:
            raise DataError(*problems)
        return Splits(**splits)

    def files(self) -> dict[str, Path]:
        """Gives the file of each split.

        Raises:
            DataError: There is no such file or folder, or nothing in it to train on.
        """
        if self.path.is_file():
            if self.chosen["train"] is not None:
                raise DataError(f"dataset.train: `dataset.path` is a file already ({self.path}); name its folder there")
            others = [name for name in ("validation", "test") if self.chosen[name] is not None]
            return {"train": self.path} | {name: self._named(self.path.parent, name) for name in others}
        if not self.path.is_dir():
            raise DataError(f"{self.path}: there is no such file or folder (dataset.path)")
        found = {name: path for name in SPLIT_NAMES if (path := self._file_of(name)) is not None}
        if "train" not in found:
            raise DataError(f"{self.path}: has no train file {self._there()}; say `dataset.train`")
        return found

    def one_of(self, names: Sequence[str]) -> Split:
        """Reads the file of one split of a folder; the others need not be there.

        Args:
            names: The split is the first of these that there is a file for.

        Raises:
            DataError: There is a file for none of them, or it is empty or cannot be read.
        """
        path = next((path for name in names if (path := self._file_of(name)) is not None), None)
        if path is None:
            raise DataError(f"{self.path}: has no {' or '.join(names)} file {self._there()}; name the file itself")
        return read_file(path)

    def _file_of(self, name: str) -> Path | None:
        """Gives the file in the folder that is named for a split, or that looks like it by its stem."""
        if self.chosen[name] is not None:
            return self._named(self.path, name)
        given = {value for value in self.chosen.values() if value}
        fitting = [file for file in self._data_files() if file.stem.lower() in ALIASES[name] and file.name not in given]
        if len(fitting) > 1:
            names = " and ".join(file.name for file in fitting)
            raise DataError(f"{self.path}: {names} both look like the {name} split; say `dataset.{name}`")
        return fitting[0] if fitting else None

    def _data_files(self) -> list[Path]:
        return sorted(file for file in self.path.iterdir() if file.suffix.lower() in READERS)

    def _there(self) -> str:
        """Says which files a folder has."""
        names = ", ".join(file.name for file in self._data_files()) or "no file that textxfer reads"
        return f"(there is: {names}; kinds: {' '.join(sorted(READERS))})"

    def unused(self) -> list[str]:
        """Gives the names of data files in the folder that no split takes."""
        if not self.path.is_dir():
            return []
        used = set(self.files().values())
        return [file.name for file in self._data_files() if file not in used]

    def _named(self, folder: Path, name: str) -> Path:
        path = folder / str(self.chosen[name])
        if not path.is_file():
            there = [file.name for file in sorted(folder.iterdir()) if file.is_file()]
            message = registry.unknown(str(self.chosen[name]), there, "file")
            raise DataError(f"dataset.{name}: {folder} has {message}")
        return path


def read_file(path: Path) -> Split:
    """Reads one data file.

    Raises:
        DataError: Its kind is unknown, it is empty, or it cannot be read; with the line where it went wrong.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        kind = path.suffix or "files without ending"
        raise DataError(f"{path}: textxfer reads {' '.join(sorted(READERS))}, not {kind}")
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path}: is empty")
        rows = reader(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(rows) == 0:
        raise DataError(f"{path}: has no rows")
    return Split(rows, str(path))
