"""The page of a model that answers questions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.report.dom import Page
from tests.unit.report.made import answer_lines, write_json, write_lines
from textxfer.report.answers import marked, outcome
from textxfer.report.rows import AnswerRow, read_rows

CONTEXT = "we loved the view and the breakfast"
ROW = AnswerRow("q", "what?", CONTEXT, 0, len(CONTEXT), ("the view",), "view and", 0.5, 13, 21, False, 0.5, {})


def test_answer_and_reference_are_marked() -> None:
    shown = "we loved <u>the </u><mark><u>view</u></mark><mark> and</mark> the breakfast"
    assert marked(ROW, 1000) == shown


def test_a_long_context_is_cut_around_the_answer() -> None:
    row = replace(ROW, context="x" * 900 + CONTEXT + "y" * 900, length=90_000, start=913, end=921, before=5)
    shown = marked(row, 100)
    assert shown.startswith("…x")
    assert shown.endswith("…(90,000 characters)")
    assert "<mark><u>view</u></mark>" in shown
    assert Page(str(shown)).text.count("x") < 100


@pytest.mark.parametrize("span", [(0, 0), (30, 900), (-5, 3)])
def test_places_that_do_not_fit_break_nothing(span: tuple[int, int]) -> None:
    shown = marked(replace(ROW, start=span[0], end=span[1]), 1000)
    assert Page(str(shown)).text == CONTEXT


def test_markup_in_a_context_stays_text() -> None:
    context = "<b>the view</b>\x00"
    shown = marked(replace(ROW, context=context, length=len(context), start=0, end=3), 1000)
    assert shown == "<mark>&lt;b&gt;</mark><u>the view</u>&lt;/b&gt;␀"


@pytest.mark.parametrize(
    ("references", "answer", "exact", "f1", "said"),
    [
        (("a",), "a", True, 1.0, "right"),
        ((), "", True, 1.0, "rightly none"),
        ((), "a", False, 0.0, "invented"),
        (("a",), "", False, 0.0, "missed"),
        (("a b",), "a", False, 0.5, "overlaps"),
        (("b",), "a", False, 0.0, "wrong"),
    ],
)
def test_what_became_of_a_question(references: tuple[str, ...], answer: str, exact: bool, f1: float, said: str) -> None:
    assert outcome(replace(ROW, references=references, answer=answer, exact=exact, f1=f1)) == said


def test_the_page_shows_answers_beside_references(answers: Page) -> None:
    assert list(answers.sections) == ["scores", "learning", "slices", "rows", "data", "origin"]
    words = answers.words("rows")
    assert "Outcome Question and context Answer References F1 Confidence Row" in words
    assert "missed who serves tea?" in words
    assert "(no answer)" in words
    assert "invented" in words
    assert answers.all("mark")
    assert answers.all("u")
    assert "24 of 60 test rows are answered exactly: exact match 0.400 (95 % interval 0.300 to 0.500)." in answers.text
    assert "Exact match is 0.350 where there is an answer and 0.600 where there is none." in answers.text
    assert 'model(question="...", context="...")' in answers.words("origin")


def test_the_worst_answers_come_first(answers: Page) -> None:
    words = answers.words("rows")
    assert words.index("missed") < words.index("overlaps") < words.index("right ")


def test_old_predictions_have_no_questions(report: Callable[[Path], Page], tmp_path: Path) -> None:
    write_json(tmp_path, "metrics.json", {"format": 1, "test": {"exact_match": 0.4}})
    old = [{key: value for key, value in line.items() if key not in ("question", "context")} for line in answer_lines()]
    write_lines(tmp_path, "predictions.jsonl", old)
    found = report(tmp_path)
    assert "Outcome Answer References F1 Confidence Row" in found.words("rows")
    assert "question word" not in found.words("slices")


def test_an_answer_that_stands_nowhere_in_the_context_is_no_place(tmp_path: Path) -> None:
    """A model that writes may say what the context does not."""
    record = {"id": "q", "references": ["the view"], "answer": "the sea", "score": 0.5, "start": -1, "end": -1}
    write_lines(tmp_path, "predictions.jsonl", [record | {"question": "what?", "context": "x" * 900 + CONTEXT}])
    _, rows = read_rows(tmp_path / "predictions.jsonl", [])
    assert (rows[0].start, rows[0].end) == (0, 0)
    assert "the view" in rows[0].context
    shown = marked(rows[0], 100)
    assert "<u>the view</u>" in shown
    assert "<mark>" not in shown
