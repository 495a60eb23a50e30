"""json, jsonl and SQuAD files."""

import json
from pathlib import Path
from typing import Any

import pytest

from textxfer.errors import DataError
from textxfer.sources.files import read_file

ROWS = [{"text": "NA", "label": 1}, {"text": "", "label": 0}, {"text": "null 🎬 \u202e nul\x00", "label": 1}]


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def problems(path: Path) -> tuple[str, ...]:
    with pytest.raises(DataError) as caught:
        read_file(path)
    return caught.value.lines


def lines(rows: list[Any]) -> str:
    return "\n".join(map(json.dumps, rows))


@pytest.mark.parametrize("content", [ROWS, {"version": "1", "data": ROWS}])
def test_json_forms(tmp_path: Path, content: Any) -> None:
    assert read_file(write(tmp_path / "a.json", content)).rows.to_list() == ROWS


@pytest.mark.parametrize("suffix", ["jsonl", "ndjson"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_json_lines(tmp_path: Path, suffix: str, end: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(("\ufeff" + end.join(map(json.dumps, ROWS))).encode())
    assert read_file(path).rows.to_list() == ROWS


def test_a_key_that_some_rows_lack_is_none(tmp_path: Path) -> None:
    rows = read_file(write(tmp_path / "a.jsonl", lines([{"text": "a"}, {"text": "b", "label": "x"}]))).rows
    assert rows["label"][:] == [None, "x"]


def test_whole_numbers_and_fractions_are_one_kind(tmp_path: Path) -> None:
    assert read_file(write(tmp_path / "a.jsonl", lines([{"x": 1}, {"x": 2.5}]))).rows["x"][:] == [1.0, 2.5]


def test_nested_values_may_be_empty_in_places(tmp_path: Path) -> None:
    answers = [{"text": [], "answer_start": []}, {"text": ["b"], "answer_start": [3]}]
    rows = [{"answers": answers[0]}] * 10_001 + [{"answers": answers[1]}]
    assert read_file(write(tmp_path / "a.jsonl", lines(rows))).rows["answers"][-1] == answers[1]


def test_mixed_kinds_name_both_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '\n{"text": "a", "label": 1}\n\n{"text": "b", "label": "x"}\n')
    expected = f"{path} line 4: column `label` holds texts, but line 2 holds numbers; write one kind only"
    assert problems(path) == (expected,)


@pytest.mark.parametrize("values", [("a", 1), (1, True), (["a"], "a"), ({"a": 1}, ["a"])])
def test_mixed_kinds_in_a_list_of_objects_name_both_rows(tmp_path: Path, values: tuple[Any, Any]) -> None:
    path = write(tmp_path / "a.json", [{"x": values[0]}, {"x": None}, {"x": values[1]}])
    (line,) = problems(path)
    assert line.startswith(f"{path} row 3: column `x` holds ")
    assert "but row 1 holds" in line


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"answers": {"text": ["a"], "answer_start": ["x"]}}, "does not fit the rows before it"),
        ({"answers": {"text": ["\ud83d"], "answer_start": [1]}}, "half of a character"),
        ({"answers": {"text": ["a"], "answer_start": [2**70]}}, "does not fit the rows before it"),
    ],
)
def test_values_that_fit_no_column_name_their_line(tmp_path: Path, bad: dict[str, Any], reason: str) -> None:
    good = {"answers": {"text": ["a"], "answer_start": [1]}}
    path = write(tmp_path / "a.jsonl", lines([*[good] * 37, bad, good, bad]))
    (line,) = problems(path)
    assert line.startswith(f"{path} line 38: column `answers` ")
    assert reason in line


def test_each_bad_line_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "a"}\n{"text": "b"\n[1]\n"c"\n' + "1" * 5000 + "\n" + "[" * 100_000)
    broken, listed, text, number, nested = problems(path)
    assert broken.startswith(f"{path} line 2: is not JSON: ")
    assert listed == f"{path} line 3: is a list, not an object {{...}}"
    assert text == f"{path} line 4: is a text, not an object {{...}}"
    assert number.startswith(f"{path} line 5: is not JSON: ")
    assert nested == f"{path} line 6: is not JSON: it is nested too deeply"


def test_json_names_the_line_where_it_breaks(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", '[\n {"text": "a"},\n {"text": }\n]')
    (line,) = problems(path)
    assert line.startswith(f"{path} line 3: is not JSON: Expecting value at column 11")


def test_json_lines_in_a_json_file(tmp_path: Path) -> None:
    (line,) = problems(write(tmp_path / "a.json", lines(ROWS)))
    assert "one object a line is a .jsonl file" in line


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "row 1: is a number, not an object"),
        ([{"text": "a"}, "b"], "row 2: is a text, not an object"),
        ({"rows": []}, "must be a list of objects"),
        ("true", "must be a list of objects"),
        ([], "has no rows"),
        ({"data": []}, "has no rows"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_other_forms_are_refused(tmp_path: Path, content: Any, message: str) -> None:
    path = write(tmp_path / "a.json", content)
    (line,) = problems(path)
    assert line.startswith(str(path))
    assert message in line


def test_wrong_encoding_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "a"}\n{"text": "caf\xe9"}\n')
    (line,) = problems(path)
    assert line.startswith(f"{path} line 2: is not UTF-8 (byte 0xe9)")


def squad(qas: list[Any], context: str = "It opens at nine.") -> dict[str, Any]:
    return {"version": "2", "data": [{"title": "t", "paragraphs": [{"context": context, "qas": qas}]}]}


def test_squad_files_give_a_row_per_question(tmp_path: Path) -> None:
    answer = {"text": "nine", "answer_start": 12}
    path = write(
        tmp_path / "a.json",
        squad(
            [
                {"id": "a", "question": "When?", "answers": [answer, answer | {"text": "nine."}]},
                {"id": 7, "question": "Why?", "is_impossible": True, "answers": [], "plausible_answers": [answer]},
                {"question": "How?", "is_impossible": True, "answers": [answer]},
            ]
        ),
    )
    assert read_file(path).rows.to_list() == [
        {
            "id": "a",
            "question": "When?",
            "context": "It opens at nine.",
            "answers": {"text": ["nine", "nine."], "answer_start": [12, 12]},
        },
        {"id": "7", "question": "Why?", "context": "It opens at nine.", "answers": {"text": [], "answer_start": []}},
        {"id": None, "question": "How?", "context": "It opens at nine.", "answers": {"text": [], "answer_start": []}},
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            squad([{"id": "a", "question": "When?"}]),
            "article 1 paragraph 1 question 1: must be an object with `question`",
        ),
        (squad([{"id": "a", "answers": []}]), "article 1 paragraph 1 question 1: must be an object with `question`"),
        (squad(["When?"]), "article 1 paragraph 1 question 1"),
        ({"data": [{"paragraphs": [{"context": "c"}]}]}, "article 1 paragraph 1: must be an object with `context` and"),
        ({"data": [{"paragraphs": [{"qas": []}]}]}, "article 1 paragraph 1"),
        ({"data": [{"paragraphs": []}, {"paragraphs": "x"}]}, "article 2 paragraph 1"),
    ],
)
def test_a_broken_squad_file_names_the_place(tmp_path: Path, content: Any, message: str) -> None:
    path = write(tmp_path / "a.json", content)
    (line,) = problems(path)
    assert line.startswith(f"{path} {message}")
