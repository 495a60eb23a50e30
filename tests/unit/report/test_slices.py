"""Parts of the test rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.report.dom import Page
from tests.unit.report.made import write_json, write_lines
from textxfer.report.slices import question_word

Report = Callable[[Path], Page]


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("Who came?", "who"),
        ("WHOSE hat is it, and when was it lost?", "who"),
        ("To whom?", "who"),
        ("In what year?", "what"),
        ("When?", "when"),
        ("And where is it", "where"),
        ("why", "why"),
        ("How many are shown?", "how"),
        ("Name the whole town.", "other"),
        ("", "other"),
    ],
)
def test_a_question_has_a_word(question: str, word: str) -> None:
    assert question_word(question) == word


def test_slices_are_by_length_label_and_column(report: Report, tmp_path: Path) -> None:
    write_json(tmp_path, "metrics.json", {"format": 1, "test": {"accuracy": 0.8}})
    lines = []
    for number in range(10):
        line = {"reference": "good" if number < 5 else "bad", "prediction": "good" if number < 7 else "bad"}
        line |= {"text": "x" * (number + 1), "source": "web" if number % 2 else "mail", "url": f"page {number}" * 20}
        lines.append(line)
    write_lines(tmp_path, "predictions.jsonl", lines)
    words = report(tmp_path).words("slices")
    assert "1 to 3 1.000 0.439 1.000 3" in words  # Wilson's interval of 3 of 3
    assert "bad 0.600 0.231 0.882 5 good 1.000 0.566 1.000 5" in words
    assert "By source" in words
    assert "mail 0.800 0.376 0.964 5 web 0.800 0.376 0.964 5" in words
    assert "By url" not in words


def test_a_column_of_many_values_makes_no_slices(report: Report, tmp_path: Path) -> None:
    write_json(tmp_path, "metrics.json", {"format": 1, "test": {"accuracy": 1.0}})
    line = {"reference": "a", "prediction": "a"}
    write_lines(
        tmp_path, "predictions.jsonl", [line | {"few": number % 20, "many": number % 21} for number in range(42)]
    )
    words = report(tmp_path).words("slices")
    assert "By few" in words
    assert "By many" not in words


def test_a_slice_may_have_one_label_or_one_row(report: Report, tmp_path: Path) -> None:
    write_json(tmp_path, "metrics.json", {"format": 1, "test": {"accuracy": 1.0}})
    lines = [{"reference": label, "prediction": label, "part": label} for label in "aab"]
    write_lines(tmp_path, "predictions.jsonl", lines)
    assert "b 1.000 0.207 1.000 1" in report(tmp_path).words("slices")


def test_label_sets_count_for_each_of_their_labels(report: Report, tmp_path: Path) -> None:
    write_json(tmp_path, "metrics.json", {"format": 1, "test": {"accuracy": 0.5}})
    lines = [
        {"reference": ["food", "view"], "prediction": ["food", "view"], "probabilities": {"food": 0.9, "view": 0.8}},
        {"reference": ["food"], "prediction": [], "probabilities": {"food": 0.4, "view": 0.1}},
        {"reference": [], "prediction": [], "probabilities": {"food": 0.1, "view": 0.1}},
    ]
    write_lines(tmp_path, "predictions.jsonl", lines)
    found = report(tmp_path)
    assert "food 0.500 0.095 0.905 2" in found.words("slices")
    assert "(none) 1.000" in found.words("slices")
    assert "food (none) 0.600" in found.words("rows")
    assert "In reference" not in found.words("rows")


def test_questions_are_split_by_word_and_by_having_an_answer(answers: Page) -> None:
    words = answers.words("slices")
    assert "Answer F1 by question word" in words
    for word in ("who", "what", "when", "where", "why"):
        assert f" {word} 0." in words
    assert "with an answer 0." in words
    assert "without an answer 0." in words
