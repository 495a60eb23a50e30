"""Files read row by row give the rows that `sources.files` reads at once, and say what is wrong with each."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from textxfer.errors import DataError
from textxfer.sources import streams
from textxfer.sources.files import read_file
from textxfer.sources.streams import Row, open_stream

TEXTS = ["NA", "", " ", "a,b", 'say "no"', "two\nlines", "tab\t", "nul\x00", "😀 é", "\u2028 \x85", "=1+1", "\ufeffx"]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows_of(file: Any, *arguments: Any) -> list[Row]:
    with open_stream(file, *arguments) as stream:
        return list(stream.rows)


def values_of(file: Any, *arguments: Any) -> list[Any]:
    return [row.values for row in rows_of(file, *arguments)]


def message(file: Any, *arguments: Any) -> str:
    with pytest.raises(DataError) as caught:
        rows_of(file, *arguments)
    return str(caught.value)


def contents(kind: str) -> bytes:
    rows = [{"text": text, "n": str(number)} for number, text in enumerate(TEXTS)]
    if kind == "txt":
        return "\n".join(text.replace("\n", " ") for text in TEXTS).encode()
    if kind == "json":
        return json.dumps(rows).encode()
    if kind == "jsonl":
        return "\n\n".join(json.dumps(row) for row in rows).encode()
    if kind == "parquet":
        import pyarrow as pa
        from pyarrow import parquet

        sink = io.BytesIO()
        parquet.write_table(pa.Table.from_pylist(rows), sink, row_group_size=5)
        return sink.getvalue()
    text = io.StringIO()
    writer = csv.DictWriter(text, ["text", "n"], delimiter="," if kind == "csv" else "\t")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


@pytest.mark.parametrize("kind", streams.KINDS)
@pytest.mark.parametrize("looked_at", [1, 1000])
def test_the_rows_are_those_of_the_whole_file(
    kind: str, looked_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LOOKED_AT", looked_at)
    monkeypatch.setattr(streams, "ARROW_ROWS", 4)
    path = write(tmp_path / f"a.{kind}", contents(kind))
    expected = read_file(path).rows.to_list()
    assert values_of(path) == expected
    with open_stream(path) as stream:
        assert list(stream.columns) == list(expected[0])
        assert len(list(stream.rows)) == len(TEXTS)
        assert stream.share(len(TEXTS)) == 1


@pytest.mark.parametrize("kind", streams.LINES)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_packed_files_and_streams(kind: str, mark: bytes, tmp_path: Path) -> None:
    data = mark + contents(kind)
    expected = values_of(write(tmp_path / f"a.{kind}", contents(kind)))
    assert values_of(write(tmp_path / f"b.{kind}.gz", gzip.compress(data))) == expected
    source = io.BytesIO(data)
    assert values_of(source, kind) == expected
    assert not source.closed


def test_a_stream_is_jsonl(tmp_path: Path) -> None:
    assert values_of(io.BytesIO(b'{"text": "a"}\n')) == [{"text": "a"}]


def test_a_format_that_the_ending_does_not_say(tmp_path: Path) -> None:
    path = write(tmp_path / "a.data", "text,n\na,b\n")
    assert values_of(path, "csv") == [{"text": "a", "n": "b"}]
    assert message(path).startswith(f"{path}: textxfer reads .csv .tsv .jsonl .txt .json .parquet .ndjson, not .data")
    assert message(path, "cvs").startswith("--format: unknown format `cvs`; did you mean `csv`?")


def test_only_the_columns_that_are_needed_are_read_of_a_parquet_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", contents("parquet"))
    assert values_of(path, None, {"n", "other"})[1] == {"n": "1"}
    with open_stream(path, None, {"n"}) as stream:
        assert stream.columns == ("text", "n"), "messages name all"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=60), kind=st.sampled_from(streams.KINDS))
def test_any_bytes_give_rows_or_a_message(data: bytes, kind: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a", data)
    with contextlib.suppress(DataError):
        rows = rows_of(path, kind)
        assert rows
        assert all((row.values is None) == bool(row.problem) for row in rows)


@pytest.mark.parametrize(
    ("name", "content", "lines"),
    [
        ("a.jsonl", b'{"text": "a"}\n{"text": \n{"text": "b"}\n', ["line 2: is not JSON: Expecting value at column"]),
        ("a.jsonl", b'[1]\n{"text": "b"}\n3\n', ["line 1: is a list, not an object {...}", "line 3: is a number, not"]),
        ("a.jsonl", b'{"text": "a"}\n{"text": "caf\xe9"}\n', ["line 2: is not UTF-8 (byte 0xe9); save it as UTF-8"]),
        ("a.txt", b"a\ncaf\xe9\nb\n", ["line 2: is not UTF-8 (byte 0xe9)"]),
        ("a.txt", "a\n".encode("utf-16"), ["line 1: is not UTF-8 (byte 0xff); save it as UTF-8, for example with"]),
        ("a.csv", b"text,n\na,b\nc\n\nd,e,f\n", ["line 3: has 1 cells where the header has 2", "line 5: has 3 cells"]),
        ("a.csv", b'text,n\n"a\nb",c\ncaf\xe9,d\ne,f\n', ["line 4: is not UTF-8 (byte 0xe9)"]),
    ],
)
def test_bad_rows_are_told_and_the_others_read(name: str, content: bytes, lines: list[str], tmp_path: Path) -> None:
    path = write(tmp_path / name, content)
    rows = rows_of(path)
    problems = [row.problem for row in rows if row.problem]
    assert len(problems) == len(lines)
    for problem, line in zip(problems, lines, strict=True):
        assert problem.startswith(f"{path} {line}")
    with open_stream(path) as stream:
        assert stream.problems == problems


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"", "{}: is empty"),
        ("a.csv", b"text,n\n", "{}: has no rows"),
        ("a.jsonl", b"\n\n", "{}: has no rows"),
        ("a.json", b"[]", "{}: has no rows"),
        ("a.csv", b"text,text\na,b\n", "{}: the column `text` stands twice in the header"),
        ("a.csv", b"text;n\na;b\n", "{}: the header is one cell, 'text;n'; a comma must stand between cells"),
        ("a.csv", "text,n\na,b\n".encode("utf-16"), "{} line 1: is not UTF-8 (byte 0xff); save it as UTF-8"),
        ("a.csv", b'text,n\na,b\n"open,c\nd,e\n', "{} line 3: a cell opens with a double quote that never closes"),
        ("a.csv", b'text,n\n"Great" film,c\n', "{} line 2: a cell opens with a double quote that closes on line 2"),
        ("a.csv", b'"te"xt,n\na,b\n', "{} line 1: a cell opens with a double quote that closes on line 1"),
        ("a.parquet", b"PAR1 or not", "{}: is not a Parquet file"),
        ("a.csv.gz", b"text,n\na,b\n", "{}: cannot be read: Not a gzipped file"),
        ("a.csv.gz", gzip.compress(b"text,n\n" + b"a,b\n" * 100, mtime=0)[:-20], "{}: cannot be read: "),
        ("a.jsonl.gz", gzip.compress(b'{"text": "a"}\n' * 9, mtime=0)[:-20], "{}: cannot be read: "),
    ],
)
def test_files_that_cannot_be_read(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, content)
    assert message(path).startswith(said.format(path))


def test_no_file_at_all(tmp_path: Path) -> None:
    assert message(tmp_path / "no.csv") == f"{tmp_path}/no.csv: there is no such file"
    assert message(tmp_path) == f"{tmp_path}: is a folder; name a file"
    assert message(io.BytesIO(b"x"), "parquet").startswith("input: parquet cannot be read from a stream, only csv tsv")


def test_a_damaged_parquet_file_says_after_which_row(tmp_path: Path) -> None:
    data = bytearray(contents("parquet"))
    data[4:40] = b"\xff" * 36  # the first page
    assert "a.parquet: cannot be read after row 0: " in message(write(tmp_path / "a.parquet", bytes(data)))


@pytest.mark.parametrize("kind", ["csv", "jsonl", "txt"])
def test_a_line_without_end_is_not_read_to_its_end(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a double quote is never closed, or the file is of another kind."""
    monkeypatch.setattr(streams, "LONGEST", 10_000)
    before = csv.field_size_limit()
    data = io.BytesIO(b'text\n"' + b"x\n" * 500_000 if kind == "csv" else b"x" * 1_000_000)
    found = message(data, kind)
    assert "longer than 10,000" in found
    assert data.tell() < 50_000
    assert csv.field_size_limit() == before
