"""Files read row by row, so that one of any length takes the same memory.

Rows are those that `sources.files` reads, with the same strictness. What is wrong with a row is said in the row, and
those below it can still be read; where that is impossible (a stray double quote in a csv), reading ends with an error.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from textxfer.errors import DataError, shortened
from textxfer.registry import unknown
from textxfer.sources._formats import (
    _header,
    _json_kind,
    _json_reason,
    _large_cells,
    _not_utf8,
    _ragged,
    _stray_quote,
    read_json,
)

if TYPE_CHECKING:
    import pyarrow as pa

LINES = ("csv", "tsv", "jsonl", "txt")
KINDS = (*LINES, "json", "parquet")
ENDINGS = {f".{kind}": kind for kind in KINDS} | {".ndjson": "jsonl"}
LONGEST = 2**24
"""Bytes of a line, characters of a cell."""
LOOKED_AT = 1000
"""Rows that are read before any work is done."""
ARROW_ROWS = 1000
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
UNREADABLE = (OSError, EOFError, zlib.error)
ESCAPED_BYTES = 0xDC00
"""Python's `surrogateescape` reads a byte that is not UTF-8 as this and the byte."""


class Row(NamedTuple):
    """A row of a file.

    Attributes:
        number: Its line, or its place from 1 in a file without lines.
        raw: What stands in the file, or something that is equal where that is.
        values: By column; None where the row cannot be read.
        problem: What is wrong with it; "" for nothing.
    """

    number: int
    raw: bytes
    values: dict[str, Any] | None
    problem: str = ""


@dataclass(frozen=True)
class Stream:
    """An open file.

    Attributes:
        name: As messages call it.
        columns: Of the header; where there is none, those of the first rows.
        rows: Each once.
        problems: What is wrong with the first rows.
        share: Gives how much of the file is read after so many rows, 0..1; None where its length is not known.
        unit: What a row's number counts: "line" or "row".
        schema: Types of the columns, in a Parquet file.
    """

    name: str
    columns: tuple[str, ...]
    rows: Iterator[Row]
    problems: list[str]
    share: Callable[[int], float | None]
    unit: str
    schema: pa.Schema | None = None

    def where(self, row: Row) -> str:
        """Says where a row stands."""
        return f"{self.name} {self.unit} {row.number}"


@contextmanager
def open_stream(
    file: Path | BinaryIO, kind: str | None = None, only: Collection[str] | None = None
) -> Iterator[Stream]:
    """Opens a file and looks at its first rows.

    Args:
        file: A path (`.gz` too, but for json and parquet), or a stream of bytes such as `sys.stdin.buffer`.
        kind: One of `KINDS`. Default: by the path's ending; jsonl for a stream.
        only: Columns to read of a Parquet file. Default: all.

    Raises:
        DataError: It is not there, empty, of another kind, or cannot be read.
    """
    kind = _kind(file, kind)
    with ExitStack() as stack:
        try:
            stream = _open_lines(file, kind, stack) if kind in LINES else _open_arrow(file, kind, only)
        except UNREADABLE as error:
            raise _unreadable(_name(file), error) from error
        first = list(islice(stream.rows, LOOKED_AT))
        if not first:
            raise DataError(f"{stream.name}: has no rows")
        columns = stream.columns or tuple(dict.fromkeys(key for row in first for key in row.values or ()))
        problems = shortened([row.problem for row in first if row.problem])
        yield Stream(
            stream.name, columns, chain(first, stream.rows), problems, stream.share, stream.unit, stream.schema
        )


def _kind(file: Path | BinaryIO, kind: str | None) -> str:
    if kind is not None and kind not in KINDS:
        raise DataError(f"--format: {unknown(kind, KINDS, 'format')}")
    if not isinstance(file, Path):
        if kind in ("json", "parquet"):
            raise DataError(f"{_name(file)}: {kind} cannot be read from a stream, only {' '.join(LINES)}; name a file")
        return kind or "jsonl"
    if not file.exists():
        raise DataError(f"{file}: there is no such file")
    if file.is_dir():
        raise DataError(f"{file}: is a folder; name a file")
    if file.is_file() and file.stat().st_size == 0:
        raise DataError(f"{file}: is empty")
    ending = (file.with_suffix("") if file.suffix.lower() == ".gz" else file).suffix.lower()
    if kind is None and ending not in ENDINGS:
        what = f"{ending} files" if ending else "files without ending"
        raise DataError(f"{file}: textxfer reads {' '.join(ENDINGS)}, not {what}; say --format if it is one of these")
    return kind or ENDINGS[ending]


def _name(file: Path | BinaryIO) -> str:
    name = str(file if isinstance(file, Path) else getattr(file, "name", "input"))
    return "standard input" if name == "<stdin>" else name


# --- lines


def _open_lines(file: Path | BinaryIO, kind: str, stack: ExitStack) -> Stream:
    name = _name(file)
    plain = stack.enter_context(file.open("rb")) if isinstance(file, Path) else file
    size = os.fstat(plain.fileno()).st_size if isinstance(file, Path) else 0
    packed = isinstance(file, Path) and file.suffix.lower() == ".gz"
    data = stack.enter_context(gzip.GzipFile(fileobj=plain)) if packed else plain

    def share(rows: int) -> float | None:
        return plain.tell() / size if size else None

    columns: list[str] = []
    if kind in ("csv", "tsv"):
        stack.enter_context(_large_cells(LONGEST))
        columns, rows = _delimited(data, name, "," if kind == "csv" else "\t", stack)
    else:
        rows = _each_line(data, name, _text if kind == "txt" else _object)
    return Stream(name, tuple(columns), _readable(rows, name), [], share, "line")


def _readable(rows: Iterator[Row], name: str) -> Iterator[Row]:
    try:
        yield from rows
    except UNREADABLE as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> DataError:
    return DataError(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}")


def _delimited(data: Any, name: str, delimiter: str, stack: ExitStack) -> tuple[list[str], Iterator[Row]]:
    """Gives the header of a csv or tsv and its rows."""
    text = io.TextIOWrapper(data, encoding="utf-8-sig", errors="surrogateescape", newline="")
    stack.callback(text.detach)  # else it closes somebody's stream
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    try:
        columns = _header(name, reader, delimiter)
    except csv.Error as error:
        raise DataError(_broken(name, 1, reader.line_num, error)) from error
    bad = _bad_byte(f"{name} line {reader.line_num}", "".join(columns))
    if bad:
        raise DataError(bad)
    return columns, _cells(reader, name, columns, delimiter)


def _cells(reader: Any, name: str, columns: list[str], delimiter: str) -> Iterator[Row]:
    line = reader.line_num + 1
    try:
        for cells in reader:
            joined = "\0".join(cells)
            raw = joined.encode(errors="surrogateescape")
            if len(cells) != len(columns):
                if cells:  # not a blank line
                    yield Row(line, raw, None, _ragged(name, line, cells, columns, delimiter))
            elif not raw.isascii() and (problem := _bad_byte(f"{name} line {line}", joined)):
                yield Row(line, raw, None, problem)
            else:
                yield Row(line, raw, dict(zip(columns, cells, strict=True)))
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(_broken(name, line, reader.line_num, error)) from error


def _broken(name: str, line: int, last_line: int, error: csv.Error) -> str:
    if "field larger" in str(error):
        return f"{name} line {line}: a cell is longer than {LONGEST:,} characters; is a double quote never closed?"
    return _stray_quote(name, line, last_line, error)


def _bad_byte(place: str, text: str) -> str:
    """Says which byte of a text was not UTF-8, if any."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return _encoding(place, ord(text[error.start]) - ESCAPED_BYTES)
    return ""


def _encoding(place: str, byte: int) -> str:
    return _not_utf8(place, byte, "UTF-16" if byte in (0xFF, 0xFE) else "LATIN1")


def _each_line(data: Any, name: str, parse: Callable[[str, str], dict[str, Any] | str | None]) -> Iterator[Row]:
    """Gives a row a line; `parse` gives its values, what is wrong with it, or None for no row."""
    number = 0
    while line := data.readline(LONGEST):
        number += 1
        place = f"{name} line {number}"
        if len(line) == LONGEST and not line.endswith(b"\n"):
            raise DataError(f"{place}: is longer than {LONGEST:,} bytes; a file of this kind has a row a line")
        line = line.rstrip(b"\r\n").removeprefix(BYTE_ORDER_MARK if number == 1 else b"")
        try:
            found = parse(line.decode(), place)
        except UnicodeDecodeError as error:
            found = _encoding(place, line[error.start])
        if isinstance(found, str):
            yield Row(number, line, None, found)
        elif found is not None:
            yield Row(number, line, found)


def _text(line: str, place: str) -> dict[str, Any]:
    return {"text": line}


def _object(line: str, place: str) -> dict[str, Any] | str | None:
    if not line.strip():
        return None
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return f"{place}: is not JSON: {_json_reason(error)}"
    return row if isinstance(row, dict) else f"{place}: is {_json_kind(row)}, not an object {{...}}"


# --- Arrow


def _open_arrow(file: Any, kind: str, only: Collection[str] | None) -> Stream:
    if kind == "json":  # one value, so it is read whole
        table = read_json(file).data
        return _arrow_stream(file, table.schema, table.to_batches(ARROW_ROWS), table.num_rows)
    import pyarrow as pa
    from pyarrow import parquet

    try:
        opened = parquet.ParquetFile(file, buffer_size=2**20)
    except pa.ArrowInvalid as error:
        raise DataError(f"{file}: is not a Parquet file: {str(error).splitlines()[0]}") from error
    wanted = [name for name in opened.schema_arrow.names if only is None or name in only]
    batches = opened.iter_batches(ARROW_ROWS, columns=wanted)
    return _arrow_stream(file, opened.schema_arrow, batches, opened.metadata.num_rows)


def _arrow_stream(file: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch], count: int) -> Stream:
    def rows() -> Iterator[Row]:
        number = 0
        try:
            for batch in batches:
                for values in batch.to_pylist():
                    number += 1
                    yield Row(number, repr(values).encode(errors="backslashreplace"), values)
        except (OSError, ValueError) as error:  # Arrow's own errors are of these kinds
            reason = str(error).splitlines()[0]
            raise DataError(f"{file}: cannot be read after row {number}: {reason}") from error

    return Stream(str(file), tuple(schema.names), rows(), [], lambda done: done / count, "row", schema)
