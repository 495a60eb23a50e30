"""csv and tsv: texts exactly as they stand, and the line of everything that is wrong."""

import csv
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textxfer.errors import DataError
from textxfer.sources.files import read_file

TRICKY = ["NA", "null", "None", "NaN", "n/a", "", " ", "1.0", "true", "a,b", 'say "no"', "two\nlines", "tab\there"]
ODD = [
    "nul\x00byte",
    "bidi \u202eright\u2066 marks",
    "emoji 🎬 and e\u0301",
    "\ufeffinner mark",
    "\x85 \u2028 are no line ends",
]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def problems(path: Path) -> tuple[str, ...]:
    with pytest.raises(DataError) as caught:
        read_file(path)
    return caught.value.lines


@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ","), ("a.tsv", "\t"), ("A.CSV", ",")])
def test_texts_come_back_exactly(tmp_path: Path, name: str, delimiter: str) -> None:
    rows = [{"text": text, "label": text} for text in TRICKY + ODD]
    with (tmp_path / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["text", "label"], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    assert read_file(tmp_path / name).rows.to_list() == rows


@settings(max_examples=60, deadline=None)
@given(
    cells=st.lists(
        st.tuples(*[st.text(st.characters(exclude_categories=["Cs"]), max_size=8)] * 2), min_size=1, max_size=6
    ),
    line_end=st.sampled_from(["\n", "\r\n"]),
    mark=st.booleans(),
)
def test_any_quoted_text_comes_back(tmp_path_factory: pytest.TempPathFactory, cells, line_end, mark) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    with path.open("w", newline="", encoding="utf-8-sig" if mark else "utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator=line_end).writerows([("x", "y"), *cells])
    rows = read_file(path).rows
    assert list(zip(rows["x"], rows["y"], strict=True)) == cells


@pytest.mark.parametrize("content", [b"\xef\xbb\xbftext,label\na,b\n", b"text,label\r\na,b\r\n", b"text,label\ra,b\r"])
def test_byte_order_mark_and_line_ends(tmp_path: Path, content: bytes) -> None:
    assert read_file(write(tmp_path / "a.csv", content)).rows.to_list() == [{"text": "a", "label": "b"}]


def test_no_line_end_at_the_end_and_blank_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "\n\ntext,label\n\nNA,b\n\n\n1,d")
    assert read_file(path).rows.to_list() == [{"text": "NA", "label": "b"}, {"text": "1", "label": "d"}]


def test_a_quoted_empty_cell_alone_is_a_row(tmp_path: Path) -> None:
    assert read_file(write(tmp_path / "a.csv", 'text\n""\n\na\n')).rows["text"][:] == ["", "a"]


@pytest.mark.parametrize("text", ["x" * 100_000, "x" * 3_000_000, "x\n" * 1_000_000])
def test_long_texts(tmp_path: Path, text: str) -> None:
    before = csv.field_size_limit()
    path = write(tmp_path / "a.csv", f'text,label\n"{text}",b\nshort,c\n')
    assert read_file(path).rows["text"][:] == [text, "short"]
    assert csv.field_size_limit() == before, "a setting of the whole process was left changed"


def test_ragged_rows_name_the_line_in_the_file(tmp_path: Path) -> None:
    content = 'text,label\n"one\ntwo\n\nthree",b\n\nshort\nok,b\nlong,a,b\n'
    path = write(tmp_path / "a.csv", content)
    short, long = problems(path)
    assert short == f"{path} line 7: has 1 cells where the header has 2: 'short'"
    assert long.startswith(f"{path} line 9: has 3 cells where the header has 2: 'long,a,b'")
    assert long.endswith("(a text that contains ',' needs double quotes around it)")
    assert content.splitlines()[6] == "short"
    assert content.splitlines()[8] == "long,a,b"


def test_ragged_rows_beyond_the_first_ten_thousand(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label\n" + "a,b\n" * 25_000 + "bad\n" + "a,b\n" * 10)
    assert problems(path) == (f"{path} line 25002: has 1 cells where the header has 2: 'bad'",)


def test_many_ragged_rows_are_counted(tmp_path: Path) -> None:
    lines = problems(write(tmp_path / "a.csv", "text,label\n" + "bad\n" * 40))
    assert len(lines) == 6
    assert lines[-1] == "... and 35 more like this"


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ('text,label\na,b\n"open,b\nc,d\n', 3, "a cell opens with a double quote that never closes"),
        ('text,label\n"open,b\nc,d\n"x",y\n', 2, "double quote that closes on line 4, inside the cell"),
        ('text,label\n"Great" film,pos\n', 2, "double quote that closes on line 2, inside the cell"),
        ('text,label\na,b\n"open,b\nc",d\n"x\n",y,z\n', 5, "has 3 cells"),
        ('text,label\na,b\n"x\ny"\n', 3, "a double quote on this line swallows the lines below it"),
    ],
)
def test_stray_quotes_name_the_line_where_they_open(tmp_path: Path, content: str, line: int, message: str) -> None:
    path = write(tmp_path / "a.csv", content)
    (found,) = problems(path)
    assert found.startswith(f"{path} line {line}: ")
    assert message in found


def test_quotes_inside_a_cell_are_plain(tmp_path: Path) -> None:
    assert read_file(write(tmp_path / "a.csv", 'text,label\n5" disk,b\n')).rows["text"][:] == ['5" disk']


def test_a_column_twice(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label,text\na,b,c\n")
    assert problems(path) == (f"{path}: the column `text` stands twice in the header",)


@pytest.mark.parametrize(
    ("name", "header"), [("a.csv", "text;label"), ("a.csv", "text\tlabel"), ("a.tsv", "text,label")]
)
def test_another_separator_is_named(tmp_path: Path, name: str, header: str) -> None:
    (line,) = problems(write(tmp_path / name, f"{header}\na;b\n"))
    assert repr(header) in line
    assert "must stand between cells" in line


@pytest.mark.parametrize(
    ("content", "line"), [("text,label\ncafé,b\n", 2), ('text,label\na,b\n"x\ny",b\n\ncafé,b\n', 6)]
)
def test_wrong_encoding_names_the_line(tmp_path: Path, content: str, line: int) -> None:
    path = write(tmp_path / "a.csv", content.encode("latin1"))
    (found,) = problems(path)
    assert found.startswith(f"{path} line {line}: is not UTF-8 (byte 0xe9); save it as UTF-8")
    assert "iconv -f LATIN1" in found


def test_utf_16_is_recognised(tmp_path: Path) -> None:
    (line,) = problems(write(tmp_path / "a.csv", "text,label\na,b\n".encode("utf-16")))
    assert "iconv -f UTF-16 -t UTF-8" in line


@pytest.mark.parametrize(
    ("content", "message"), [("", "is empty"), ("text,label\n", "has no rows"), ("\n\n", "has no rows")]
)
def test_nothing_in_it(tmp_path: Path, content: str, message: str) -> None:
    path = write(tmp_path / "a.csv", content)
    assert problems(path) == (f"{path}: {message}",)


def test_reading_takes_linear_time(tmp_path: Path) -> None:
    def seconds(rows: int) -> float:
        path = write(tmp_path / f"{rows}.csv", "text,label\n" + "a text of some words for the row,b\n" * rows)
        began = time.process_time()
        assert len(read_file(path)) == rows
        return time.process_time() - began

    seconds(100)
    small = min(seconds(20_000) for _ in range(3))
    large = min(seconds(200_000) for _ in range(3))
    assert large < max(25 * small, 1.0), "ten times the rows took far more than ten times as long"
