"""One reader per kind of file, each to a `datasets.Dataset` whose texts are exactly the file's.

csv and tsv are read strictly: a row with a cell too many or too few or a stray double quote is an error that names its
line, and "NA", "null", "None" and "" are texts like others. (`datasets.load_dataset("csv")` pads short rows and turns
such texts into nothing.)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textxfer.errors import DataError, shortened
from textxfer.sources._objects import from_objects, in_memory

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

ROWS_AT_A_TIME = 10_000
LARGEST_CELL = 2**31 - 1


def read_csv(path: Path) -> datasets.Dataset:
    """Reads comma-separated values with a header line."""
    return _delimited(path, ",")


def read_tsv(path: Path) -> datasets.Dataset:
    """Reads tab-separated values with a header line."""
    return _delimited(path, "\t")


def _delimited(path: Path, delimiter: str) -> datasets.Dataset:
    import csv

    import pyarrow as pa

    chunks: list[list[pa.Array]] = []
    rows: list[list[str]] = []
    problems: list[str] = []
    columns: list[str] = []
    line = 1
    try:
        with _large_cells(), path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            columns = _header(path, reader, delimiter)
            line = reader.line_num + 1
            for row in reader:
                if len(row) == len(columns):
                    rows.append(row)
                elif row:  # not a blank line
                    problems.append(_ragged(path, line, row, columns, delimiter))
                if len(rows) == ROWS_AT_A_TIME:
                    chunks.append(_arrays(rows))
                    rows = []
                line = reader.line_num + 1
    except UnicodeDecodeError as error:
        raise DataError(_encoding_problem(path)) from error
    except csv.Error as error:
        problems.append(_stray_quote(path, line, reader.line_num, error))
    if problems:
        raise DataError(*shortened(problems))
    chunks.append(_arrays(rows) or [pa.array([], pa.large_string()) for _ in columns])
    return in_memory(pa.table([pa.chunked_array(pieces) for pieces in zip(*chunks, strict=True)], names=columns))


def _stray_quote(path: Path | str, line: int, last_line: int, error: Exception) -> str:
    """Says on which line a double quote opens that closes nowhere, or in the middle of a cell."""
    closes = "never closes" if "end of data" in str(error) else f"closes on line {last_line}, inside the cell"
    return f'{path} line {line}: a cell opens with a double quote that {closes}; quotes inside a cell are doubled ("")'


def _header(path: Path | str, reader: Iterator[list[str]], delimiter: str) -> list[str]:
    columns = next((row for row in reader if row), [])
    twice = [name for name in columns if columns.count(name) > 1]
    if twice:
        raise DataError(f"{path}: the column `{twice[0]}` stands twice in the header")
    if len(columns) == 1 and any(mark in columns[0] for mark in ",;\t|"):
        right = "a comma" if delimiter == "," else "a tab"
        raise DataError(
            f"{path}: the header is one cell, {columns[0]!r}; {right} must stand between cells (.csv is cut at commas, "
            ".tsv at tabs)"
        )
    return columns


def _arrays(rows: list[list[str]]) -> list[pa.Array]:
    import pyarrow as pa

    return [pa.array(cells, pa.large_string()) for cells in zip(*rows, strict=True)]


def _ragged(path: Path | str, line: int, row: list[str], columns: list[str], delimiter: str) -> str:
    begin = delimiter.join(row)[:60]
    advice = ""
    if len(row) > len(columns):
        advice = f" (a text that contains {delimiter!r} needs double quotes around it)"
    elif any("\n" in cell for cell in row):
        advice = " (a double quote on this line swallows the lines below it)"
    return f"{path} line {line}: has {len(row)} cells where the header has {len(columns)}: {begin!r}{advice}"


@contextmanager
def _large_cells(most: int = LARGEST_CELL) -> Iterator[None]:
    """Lifts the limit of 131,072 characters that Python's csv module has for a cell."""
    import csv

    limit = csv.field_size_limit(most)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _encoding_problem(path: Path) -> str:
    """Says where a file stops being UTF-8, and how to mend it."""
    data = path.read_bytes()
    kind = "UTF-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "LATIN1"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return _not_utf8(f"{path} line {line}", data[error.start], kind)
    return f"{path}: is not UTF-8"


def _not_utf8(place: str, byte: int, kind: str) -> str:
    return f"{place}: is not UTF-8 (byte {byte:#04x}); save it as UTF-8, for example with `iconv -f {kind} -t UTF-8`"


def read_txt(path: Path) -> datasets.Dataset:
    """Reads one text a line, into a column `text`."""
    import pyarrow as pa

    texts = [line.rstrip("\r\n") for line in _text_lines(path)]
    return in_memory(pa.table({"text": pa.array(texts, pa.large_string())}))


def read_jsonl(path: Path) -> datasets.Dataset:
    """Reads one JSON object a line."""
    rows: list[dict[str, Any]] = []
    places: list[int] = []
    problems = []
    for number, line in enumerate(_text_lines(path), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            problems.append(f"{path} line {number}: is not JSON: {_json_reason(error)}")
            continue
        if not isinstance(row, dict):
            problems.append(f"{path} line {number}: is {_json_kind(row)}, not an object {{...}}")
            continue
        rows.append(row)
        places.append(number)
    if problems:
        raise DataError(*shortened(problems))
    return from_objects(rows, str(path), lambda index: f"line {places[index]}")


def read_json(path: Path) -> datasets.Dataset:
    """Reads a list of objects, `{"data": [...]}`, or a SQuAD file (a row per question)."""
    try:
        content = json.loads("".join(_text_lines(path)))
    except (ValueError, RecursionError) as error:
        where = f"{path} line {error.lineno}" if isinstance(error, json.JSONDecodeError) else path
        raise DataError(f"{where}: is not JSON: {_json_reason(error)}") from error
    rows = content.get("data") if isinstance(content, dict) else content
    forms = 'must be a list of objects, {"data": [objects]}, or a SQuAD file'
    if not isinstance(rows, list):
        raise DataError(f"{path}: {forms}; it is {_json_kind(content)}")
    strangers = [(place, row) for place, row in enumerate(rows, start=1) if not isinstance(row, dict)]
    if strangers:
        place, row = strangers[0]
        raise DataError(f"{path} row {place}: is {_json_kind(row)}, not an object; the file {forms}")
    if rows and all("paragraphs" in row for row in rows):
        rows = _squad_rows(rows, path)
    return from_objects(rows, str(path))


def read_parquet(path: Path) -> datasets.Dataset:
    """Reads a Parquet file, with the features that `datasets` may have written into it."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: is not a Parquet file: {str(error).splitlines()[0]}") from error
    try:
        return in_memory(table)
    except (ValueError, NotImplementedError) as error:
        raise DataError(f"{path}: {str(error).splitlines()[0]}") from error


def _json_reason(error: ValueError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if not isinstance(error, json.JSONDecodeError):
        return str(error).splitlines()[0]
    hint = "; one object a line is a .jsonl file" if error.msg == "Extra data" else ""
    return f"{error.msg} at column {error.colno}{hint}"


def _json_kind(value: Any) -> str:
    kinds = {str: "a text", list: "a list", dict: "an object", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def _squad_rows(articles: list[dict[str, Any]], path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    problems = []
    for number, article in enumerate(articles, start=1):
        paragraphs = article["paragraphs"] if isinstance(article["paragraphs"], list) else [None]
        for at, paragraph in enumerate(paragraphs, start=1):
            place = f"{path} article {number} paragraph {at}"
            if not _is_paragraph(paragraph):
                problems.append(f"{place}: must be an object with `context` and a list `qas`")
                continue
            for count, item in enumerate(paragraph["qas"], start=1):
                try:
                    rows.append(_squad_row(paragraph["context"], item))
                except (KeyError, TypeError, AttributeError):
                    needs = "`question` and `answers` [{text, answer_start}]"
                    problems.append(f"{place} question {count}: must be an object with {needs}")
    if problems:
        raise DataError(*shortened(problems))
    return rows


def _is_paragraph(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("qas"), list) and "context" in value


def _squad_row(context: Any, item: dict[str, Any]) -> dict[str, Any]:
    answers = [] if item.get("is_impossible") else item["answers"]
    return {
        "id": None if item.get("id") is None else str(item["id"]),
        "question": item["question"],
        "context": context,
        "answers": {
            "text": [answer["text"] for answer in answers],
            "answer_start": [answer["answer_start"] for answer in answers],
        },
    }


def _text_lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            yield from file
    except UnicodeDecodeError as error:
        raise DataError(_encoding_problem(path)) from error
