"""What is told of the rows: one sentence a finding, the worst first, nothing where all is well."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from textxfer.data._oddities import oddities, script_of
from textxfer.data.columns import select_columns
from textxfer.data.findings import Findings, find
from textxfer.labels import LabelSet
from textxfer.records import Splits
from textxfer.sources.memory import Memory

WORDS = ["film", "room", "soup", "view", "cast", "book", "river", "stone", "cloud", "lamp", "horse", "train"]


def texts(count: int, start: int = 0) -> list[str]:
    return [f"{WORDS[n % 12]} {n * 7919} {WORDS[n * 5 % 12]} {n * 104729}" for n in range(start, start + count)]


def splits_of(**rows: list[tuple[str, Any]]) -> Splits:
    made = {name: [{"text": text, "label": label} for text, label in own] for name, own in rows.items()}
    return select_columns(Memory(made).load(), {"text": "text", "label": "label"})


def good(count: int = 20, start: int = 0) -> list[tuple[str, Any]]:
    return [(text, "ab"[n % 2]) for n, text in enumerate(texts(count, start))]


def looked(labels: LabelSet | None = None, **rows: list[tuple[str, Any]]) -> Findings:
    return find(splits_of(**rows), labels or LabelSet(("a", "b"), (10, 10)))


def test_nothing_is_said_where_all_is_well() -> None:
    found = looked(train=good(), test=good(6, 100))
    assert found.lines() == []
    assert found.to_dict() == {
        "num_rows": {"train": 20, "test": 6},
        "near_duplicates_searched": True,
        "leaked_test_rows": 0,
        "findings": [],
    }


CASES = [
    ([("", "a"), (" ", "b")], "empty texts: 2 rows (train 2)"),
    ([("x\x00y", "a")], "control characters, such as NUL: 1 row (train 1)"),
    ([("safe \u202eevil", "a")], "invisible marks that turn the direction of writing, such as U+202E: 1 row (train 1)"),
    (
        [("cafÃ© noir", "a")],
        "characters such as 'Ã©' for 'é', from a text that was once read in a wrong encoding: 1 row",
    ),
    ([("caf\ufffd", "a")], "U+FFFD, which stands where a file was read in a wrong encoding and a character was lost"),
    ([("this &amp; that", "a")], "HTML, such as '&amp;' or '<br>': 1 row (train 1)"),
    ([("long " * 20_000, "a")], "texts of 20,000 characters or more: 1 row (train 1; the longest has 100,000)"),
    ([("всё хорошо", "a")], "texts in Cyrillic, where most are in Latin: 1 row (4.8%; train 1)"),
    ([(texts(1)[0], "b")], "texts with different labels in different rows: 1 (2 rows), such as train row 1 ('a') and"),
    ([(texts(1)[0], "a")], "train: rows that repeat an earlier one: 1 (4.8%; 1 equal, 0 nearly)"),
]


@pytest.mark.parametrize(("rows", "line"), CASES, ids=[line[:25] for _, line in CASES])
def test_each_finding_is_a_plain_sentence(rows: list[tuple[str, Any]], line: str) -> None:
    lines = looked(train=[*good(), *rows]).lines()
    assert any(each.startswith(line) for each in lines), lines


def test_leaks_come_first_and_name_the_rows() -> None:
    found = looked(train=good(), validation=good(1), test=[("fresh text", "a"), ("new text", "b"), *good(1, 3)])
    assert found.lines()[0] == (
        "test: rows whose text stands in train too: 1 of 3 (33.3%; 1 equal, 0 nearly); scores on them flatter the model"
    )
    assert found.leaked_test_rows.tolist() == [2]
    (example,) = found.found[0].examples
    assert (example.split, example.row, example.id, example.about) == ("test", 3, "test-2", "equals train row 4")
    assert any(line.startswith("validation: rows whose text stands in train too: 1 of 1") for line in found.lines())


def test_test_rows_that_chose_the_weights_come_after_those_that_taught_them() -> None:
    found = looked(
        train=good(), validation=[*good(2, 100), *good(1)], test=[*good(2, 200), *good(2, 100)[1:], *good(4)[3:]]
    )
    kinds = [finding.kind for finding in found.found]
    assert kinds == ["leak_test", "leak_validation", "test_in_validation"]
    assert found.lines()[2] == (
        "test: rows whose text stands in validation, though not in train: 1 of 4 (25.0%; 1 equal, 0 nearly); weights "
        "that were chosen by them flatter the model a little"
    )
    (example,) = found.found[2].examples
    assert (example.split, example.row, example.about) == ("test", 3, "equals validation row 2")
    assert found.leaked_test_rows.tolist() == [3]


def test_reserved_rows_are_looked_through_like_others() -> None:
    splits = splits_of(train=good(), validation=[*good(4, 100), *good(2), ("", "a"), *good(1, 100)])
    assert splits.validation is not None
    kept, taken = splits.validation.select(range(4)), splits.validation.select(range(4, 8))
    found = find(replace(splits, validation=kept, reserved=taken), LabelSet(("a", "b"), (10, 10)))
    assert found.lines() == [
        "reserved: rows whose text stands in train too: 2 of 4 (50.0%; 2 equal, 0 nearly); label sets measured on them "
        "may promise too much",
        "empty texts: 1 row (reserved 1)",
    ]
    assert found.num_rows == {"train": 20, "validation": 4, "reserved": 4}
    assert [(example.split, example.row) for example in found.found[0].examples] == [("reserved", 1), ("reserved", 2)]
    across = [tuple(place.split for place in group) for group in found.duplicates.groups]
    assert across == [("train", "reserved"), ("train", "reserved"), ("validation", "reserved")]


def test_imbalance_and_labels_that_a_split_lacks() -> None:
    labels = LabelSet(("a", "b", "c"), (30, 3, 0))
    lines = looked(labels, train=good(), test=[(text, "a") for text in texts(4, 50)]).lines()
    assert "test: labels that no row has: 2 of 3 ('b', 'c')" in lines
    assert "train: labels that no row has: 1 of 3 ('c')" in lines
    assert any("the label 'a' has 30 rows and 'b' 3, 10 times fewer" in line for line in lines)
    assert not any("times fewer" in line for line in looked(LabelSet(("a", "b"), (29, 3)), train=good()).lines())


def test_texts_that_are_cut() -> None:
    options: dict[str, Any] = {"max_length": 64, "truncated": {"train": 5}}
    (line,) = find(splits_of(train=good()), None, **options).lines()
    assert line == "train: rows longer than max_length (64 tokens), whose end is cut off: 5 (25.0%)"
    assert find(splits_of(train=good(200)), None, max_length=64, truncated={"train": 1}).lines() == []


def test_label_sets_conflict_only_where_they_differ() -> None:
    rows = [("one text", ["a", "b"]), ("One text", ["b", "a"]), ("two text", ["a"]), ("two text", [])]
    lines = find(splits_of(train=rows), LabelSet(("a", "b"), (3, 2)), near=False).lines()
    assert lines[0].startswith("texts with different labels in different rows: 1 (2 rows), such as train row 3 (['a'])")


def test_examples_are_few_short_and_json() -> None:
    found = looked(train=[*good(), *[("same \0" + "x" * 300, "a")] * 80])
    data = json.loads(json.dumps(found.to_dict()))
    examples = {finding["kind"]: finding["examples"] for finding in data["findings"]}
    assert len(examples["control_characters"]) == 50
    assert all(len(example["text"]) <= 200 for each in examples.values() for example in each)
    assert data["findings"][0]["count"] >= 79


def test_questions_have_no_labels() -> None:
    row = {"question": "Who?", "context": "A long enough context.", "answers": {"text": [], "answer_start": []}}
    columns = {name: name for name in ("question", "context", "answers")}
    found = find(select_columns(Memory({"train": [row], "test": [row]}).load(), columns), None)
    assert found.lines()[0].startswith("test: rows whose context stands in train too: 1 of 1 (100.0%; 1 equal")


@pytest.mark.parametrize(
    "text", ["CAFÉ»", "SÃO PAULO", "Größe", "5 < 6 & 7 > 2; ok", "#2024 was fine", "line\nline\ttab", "日本語"]
)
def test_right_texts_are_not_odd(text: str) -> None:
    assert oddities(text) == []


@pytest.mark.parametrize(
    "text", ["donâ€™t", "Ð¿Ñ€Ð¸Ð²ÐµÑ‚", "ðŸ˜€", "naÃ¯ve", "it #39;s", "a<br/>b", '<a href="x">y</a>', "&#x27;"]
)
def test_wrong_texts_are_odd(text: str) -> None:
    assert oddities(text) != []


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("naïve", "Latin"),
        ("ｆｕｌｌ", "Latin"),
        ("привет, world", "Cyrillic"),
        ("日本ごカ", "Chinese or Japanese"),
        ("12 !? 🎬", None),
        ("", None),
        ("שלום", "Hebrew"),
    ],
)
def test_the_script_of_a_text(text: str, script: str | None) -> None:
    assert script_of(text) == script
