"""Predictions as the report reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.report.made import write_lines
from textxfer.report.rows import KEPT_CHARACTERS, AnswerRow, LabelRow, read_rows


def read(folder: Path, **line: Any) -> Any:
    write_lines(folder, "predictions.jsonl", [line])
    notes: list[str] = []
    labelled, answered = read_rows(folder / "predictions.jsonl", notes)
    assert notes == []
    return [*labelled, *answered][0]


def test_a_label_has_its_probability(tmp_path: Path) -> None:
    shares = {"good": 0.7, "bad": 0.3}
    row = read(
        tmp_path, id="a", reference="bad", prediction="good", probabilities=shares, text="t", source="web", n=[1]
    )
    assert row == LabelRow("a", ("t",), (1,), "bad", "good", 0.7, 0.3, {"source": "web"})
    assert not row.right


@pytest.mark.parametrize(
    ("reference", "prediction", "right", "confidence"),
    [
        (["a", "b"], ["b", "a"], True, 0.7),  # the least sure decision is that on b
        ([], [], True, 0.1),
        (["c"], ["a", "b"], False, 0.9),  # the surest wrong decision is a
        (["a", "b"], ["a", "b", "c"], False, 0.2),
    ],
)
def test_a_set_of_labels_is_right_as_a_whole(
    tmp_path: Path, reference: list[str], prediction: list[str], right: bool, confidence: float
) -> None:
    shares = {"a": 0.9, "b": 0.7, "c": 0.2}
    row = read(tmp_path, id="x", reference=reference, prediction=prediction, probabilities=shares)
    assert row.right is right
    assert row.confidence == pytest.approx(confidence)


def test_pairs_and_long_texts_are_cut_but_counted(tmp_path: Path) -> None:
    row = read(tmp_path, reference="a", prediction="a", text="x" * 100_000, text_pair="y")
    assert row.lengths == (100_000, 1)
    assert [len(text) for text in row.texts] == [KEPT_CHARACTERS, 1]


def test_an_answer_is_judged_as_squad_does(tmp_path: Path) -> None:
    row = read(tmp_path, references=["The View", "garden"], answer="view!", score=0.5, start=4, end=9, question="q")
    assert isinstance(row, AnswerRow)
    assert (row.right, row.f1) == (True, 1.0)


@pytest.mark.parametrize("answer", ["needle", ""])
def test_a_long_context_is_cut_around_the_answer_or_the_reference(tmp_path: Path, answer: str) -> None:
    context = "x" * 50_000 + " needle " + "y" * 50_000
    start = context.index("needle") if answer else 0
    row = read(
        tmp_path, references=["needle"], answer=answer, score=1, start=start, end=start + len(answer), context=context
    )
    assert len(row.context) == KEPT_CHARACTERS
    assert row.context.index("needle") + row.before == 50_001
    assert row.context[row.start : row.end] == answer
    assert row.length == len(context)
