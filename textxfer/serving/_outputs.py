"""Where bulk predictions go: lines added to a file or a stream, or parts of a Parquet file."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from textxfer.errors import DataError
from textxfer.labels import is_number

if TYPE_CHECKING:
    import pyarrow as pa

Record = dict[str, Any]
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class Output(Protocol):
    """Takes records in their order; nothing is sure to last before `size` has been noted."""

    def add(self, records: Sequence[Record]) -> int:
        """Writes records and gives the size up to their end; what stands beyond a noted size is dropped one day."""
        ...

    def finish(self) -> None:
        """Called after the last records."""
        ...


class Encoder(Protocol):
    """Makes bytes of records."""

    def head(self) -> bytes:
        """Gives what stands before the first record."""
        ...

    def encode(self, records: Iterable[Record]) -> bytes:
        """Gives a line for each record."""
        ...


class JsonLines:
    """A JSON object a line."""

    def head(self) -> bytes:
        """Gives nothing."""
        return b""

    def encode(self, records: Iterable[Record]) -> bytes:
        """Gives a line for each record; NaN, which JSON does not know, becomes null."""
        return b"".join(_json_line(record) for record in records)


class Csv:
    """Comma-separated values with a header.

    Args:
        columns: Of every record.
        harmless: Put an apostrophe before texts that a spreadsheet would take for a formula (OWASP, "CSV injection").
    """

    def __init__(self, columns: Sequence[str], harmless: bool = False) -> None:
        self.columns = columns
        self.change = _harmless if harmless else str

    def head(self) -> bytes:
        """Gives the header."""
        return self._lines([[self.change(name) for name in self.columns]])

    def encode(self, records: Iterable[Record]) -> bytes:
        """Gives a line for each record: lists as JSON, nothing for None."""
        return self._lines([self._cell(record.get(name)) for name in self.columns] for record in records)

    def _lines(self, rows: Iterable[Sequence[str]]) -> bytes:
        text = io.StringIO()
        csv.writer(text).writerows(rows)
        return text.getvalue().encode(errors="backslashreplace")

    def _cell(self, value: Any) -> str:
        if isinstance(value, str):
            return self.change(value)
        if value is None or value != value:  # NaN: how pandas says missing
            return ""
        if isinstance(value, (bool, int, float, list, dict)):
            return _json(value)
        return self.change(_plain(value))


class LinesFile:
    """A file that grows.

    Args:
        path: Of the file.
        encoder: Makes its lines.
        size: Bytes to keep of what is there.
    """

    def __init__(self, path: Path, encoder: Encoder, size: int = 0) -> None:
        self.path, self.encoder, self.size = path, encoder, size
        with path.open("rb+" if size else "wb") as file:
            file.truncate(size)

    def add(self, records: Sequence[Record]) -> int:
        """Writes lines and flushes them to the disk."""
        data = (b"" if self.size else self.encoder.head()) + self.encoder.encode(records)
        with self.path.open("ab", buffering=0) as file:
            _write(file, data)
            os.fsync(file.fileno())
        self.size += len(data)
        return self.size

    def finish(self) -> None:
        """Does nothing: the file is whole."""


class LinesStream:
    """A stream, which whoever reads it may leave at any moment.

    Args:
        stream: Of bytes.
        encoder: Makes its lines.
    """

    def __init__(self, stream: BinaryIO, encoder: Encoder) -> None:
        # Past the buffer, so that Python has nothing left to write when the reader has gone.
        stream.flush()
        self.stream = getattr(stream, "raw", stream)
        self.encoder = encoder
        _write(self.stream, encoder.head())

    def add(self, records: Sequence[Record]) -> int:
        """Writes lines."""
        _write(self.stream, self.encoder.encode(records))
        return 0

    def finish(self) -> None:
        """Does nothing: the stream is somebody else's."""


class ParquetParts:
    """A Parquet file that is put together at the end, from one part for each `add`.

    Args:
        path: Of the file.
        fields: Types of the columns by name; None for those that the first records tell.
        size: Parts to keep of those that are there.
    """

    def __init__(self, path: Path, fields: dict[str, pa.DataType | None], size: int = 0) -> None:
        from pyarrow import parquet

        self.path, self.fields, self.size = path, fields, size
        self.folder = parts_folder(path)
        self.schema: pa.Schema | None = None
        if not size:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(exist_ok=True)
        if size:
            self.schema = parquet.read_schema(self._part(0))

    def add(self, records: Sequence[Record]) -> int:
        """Writes a part."""
        import pyarrow as pa
        from pyarrow import parquet

        try:
            if self.schema is None:
                self.schema = self._told_by(records)
            table = pa.Table.from_pylist(records, self.schema)
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
            reason = str(error).splitlines()[0]
            advice = "write .jsonl, or leave the column out by --columns"
            raise DataError(f"{self.path}: a value does not fit its column ({reason}); {advice}") from error
        with self._part(self.size).open("wb") as file:
            parquet.write_table(table, file)
            file.flush()
            os.fsync(file.fileno())
        self.size += 1
        return self.size

    def finish(self) -> None:
        """Makes the file of its parts, part by part, and deletes them."""
        from pyarrow import parquet

        whole = self.folder / "whole.parquet"
        with parquet.ParquetWriter(whole, self.schema) as writer:
            for number in range(self.size):
                writer.write_table(parquet.read_table(self._part(number)))
        with whole.open("rb+") as file:
            os.fsync(file.fileno())
        whole.replace(self.path)

    def _part(self, number: int) -> Path:
        return self.folder / f"{number}.parquet"

    def _told_by(self, records: Sequence[Record]) -> pa.Schema:
        import pyarrow as pa

        fields = {}
        for name, kind in self.fields.items():
            found = kind or pa.array([record.get(name) for record in records]).type
            fields[name] = pa.string() if pa.types.is_null(found) else found
        return pa.schema(fields)


def parts_folder(path: Path) -> Path:
    """Gives the folder that holds the parts of an unfinished Parquet file."""
    return path.with_name(f"{path.name}.parts")


def discard_parts(path: Path) -> None:
    """Deletes the parts of a Parquet file, if there are any."""
    with contextlib.suppress(OSError):
        shutil.rmtree(parts_folder(path))


def _write(file: Any, data: bytes) -> None:
    """Writes all bytes to a file without buffer, which may take them in several bites."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def _harmless(text: str) -> str:
    """Gives a text that no spreadsheet takes for a formula; a number stays one."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) and not is_number(text) else text


def _json_line(record: Record) -> bytes:
    try:
        return (_encode(record) + "\n").encode()
    except ValueError:  # NaN, or half of a character (a lone surrogate), which JSON can hold escaped
        return (json.dumps(_finite(record), default=_plain) + "\n").encode()


def _json(value: Any) -> str:
    try:
        return _encode(value)
    except ValueError:
        return json.dumps(_finite(value), default=_plain)


def _plain(value: Any) -> str:
    """Gives a value that JSON does not know as text: dates as ISO 8601 has them."""
    if isinstance(value, bytes):
        raise DataError("a column holds bytes, which only Parquet can; leave it out by --columns, or write .parquet")
    return str(value.isoformat() if hasattr(value, "isoformat") else value)


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_plain).encode


def _finite(value: Any) -> Any:
    """Gives a value with None for every number in it that is not finite."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
