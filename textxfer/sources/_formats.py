"""One reader per kind of file, each to a `datasets.Dataset` whose texts are exactly the file's.

csv and tsv are read strictly: a row with a cell too many or too few is an error, and "NA", "null", "None" and "" are
texts like others. `datasets.load_dataset("csv")` pads short rows and turns such texts into nothing, so the rows are
parsed by pyarrow and handed to `datasets` as a table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textxfer.errors import DataError, shortened

if TYPE_CHECKING:
    import datasets

    Table = datasets.Dataset
else:
    Table = Any

JSON_ROWS_AT_A_TIME = 10_000


def read_csv(path: Path) -> Table:
    """Reads comma-separated values with a header line."""
    return _delimited(path, ",")


def read_tsv(path: Path) -> Table:
    """Reads tab-separated values with a header line."""
    return _delimited(path, "\t")


def _delimited(path: Path, delimiter: str) -> Table:
    import datasets
    import pyarrow as pa
    from pyarrow import csv

    bad_rows: list[str] = []

    def note(row: csv.InvalidRow) -> str:
        place = f" line {row.number}" if row.number is not None else ""
        begin = row.text[:60].replace("\n", " ")
        bad_rows.append(
            f"{path}{place}: has {row.actual_columns} cells where the header has {row.expected_columns}: {begin!r}"
        )
        return "skip"

    columns = _header(path, delimiter)
    try:
        table = csv.read_csv(
            path,
            read_options=csv.ReadOptions(use_threads=False),
            parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=note),
            convert_options=csv.ConvertOptions(column_types=dict.fromkeys(columns, pa.large_string())),
        )
    except pa.ArrowInvalid as error:
        if "UTF8" in str(error) or "UTF-8" in str(error):
            raise DataError(_encoding_problem(path)) from error
        raise DataError(f"{path}: is not a table: {str(error).splitlines()[0]}") from error
    if bad_rows:
        advice = f"a text that contains {delimiter!r} needs double quotes around it"
        raise DataError(*shortened([f"{line} ({advice})" for line in bad_rows]))
    return datasets.Dataset(table)


def _header(path: Path, delimiter: str) -> list[str]:
    import csv

    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            columns = next(csv.reader(file, delimiter=delimiter), [])
    except UnicodeDecodeError as error:
        raise DataError(_encoding_problem(path)) from error
    twice = [name for name in columns if columns.count(name) > 1]
    if twice:
        raise DataError(f"{path}: the column `{twice[0]}` stands twice in the header")
    return columns


def _encoding_problem(path: Path) -> str:
    """Says where a file stops being UTF-8, and what it may be."""
    data = path.read_bytes()
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return (
            f"{path} line {line}: is not UTF-8 (byte {data[error.start]:#04x}); save it as UTF-8, for example with "
            f"`iconv -f LATIN1 -t UTF-8`"
        )
    return f"{path}: is not UTF-8"


def read_txt(path: Path) -> Table:
    """Reads one text a line, into a column `text`."""
    import datasets
    import pyarrow as pa

    texts = [line.rstrip("\r\n") for line in _text_lines(path)]
    return datasets.Dataset(pa.table({"text": pa.array(texts, pa.large_string())}))


def read_jsonl(path: Path) -> Table:
    """Reads one JSON object a line."""
    rows: list[dict[str, Any]] = []
    places: list[int] = []
    problems = []
    for number, line in enumerate(_text_lines(path), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            problems.append(f"{path} line {number}: is not JSON: {error.msg} at column {error.colno}")
            continue
        if not isinstance(row, dict):
            problems.append(f"{path} line {number}: is {type(row).__name__}, not an object {{...}}")
            continue
        rows.append(row)
        places.append(number)
    if problems:
        raise DataError(*shortened(problems))
    return _from_objects(rows, path)


def read_json(path: Path) -> Table:
    """Reads a list of objects, `{"data": [...]}`, or a SQuAD file (a row per question)."""
    try:
        content = json.loads("".join(_text_lines(path)))
    except json.JSONDecodeError as error:
        hint = "; one object a line is a .jsonl file" if error.msg == "Extra data" else ""
        raise DataError(f"{path} line {error.lineno}: is not JSON: {error.msg}{hint}") from error
    rows = content.get("data") if isinstance(content, dict) else content
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f'{path}: must be a list of objects, {{"data": [objects]}}, or a SQuAD file')
    if rows and all("paragraphs" in row for row in rows):
        try:
            rows = list(_squad_rows(rows))
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path}: is not a whole SQuAD file: {error} is missing or of the wrong kind") from error
    return _from_objects(rows, path)


def read_parquet(path: Path) -> Table:
    """Reads a Parquet file, with the features that `datasets` may have written into it."""
    import datasets
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return datasets.Dataset(parquet.read_table(path))
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: is not a Parquet file: {str(error).splitlines()[0]}") from error


def _squad_rows(articles: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for article in articles:
        for paragraph in article["paragraphs"]:
            for item in paragraph["qas"]:
                answers = [] if item.get("is_impossible") else item["answers"]
                yield {
                    "id": str(item["id"]),
                    "question": item["question"],
                    "context": paragraph["context"],
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


def _from_objects(rows: list[dict[str, Any]], path: Path) -> Table:
    import datasets
    import pyarrow as pa

    columns = dict.fromkeys(key for row in rows for key in row)
    mixed = [f"{path}: {message}" for name in columns if (message := _mixed(rows, name))]
    if mixed:
        raise DataError(*mixed)
    try:
        tables = [
            pa.Table.from_pylist([{name: row.get(name) for name in columns} for row in chunk])
            for chunk in (rows[at : at + JSON_ROWS_AT_A_TIME] for at in range(0, len(rows), JSON_ROWS_AT_A_TIME))
        ]
        table = pa.concat_tables(tables, promote_options="permissive") if tables else pa.table({})
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"{path}: {re.sub(r' +', ' ', str(error).splitlines()[0])}") from error
    return datasets.Dataset(table)


def _mixed(rows: list[dict[str, Any]], name: str) -> str | None:
    """Says where a column changes from one kind of value to another, if it does."""
    first: tuple[str, int] | None = None
    for place, row in enumerate(rows, start=1):
        value = row.get(name)
        if value is None:
            continue
        kind = "numbers" if type(value) in (int, float) else _KINDS.get(type(value), "values")
        first = first or (kind, place)
        if kind != first[0]:
            return f"column `{name}` mixes {first[0]} (row {first[1]}) and {kind} (row {place}); write one kind only"
    return None


_KINDS = {str: "texts", bool: "true/false", list: "lists", dict: "objects"}
