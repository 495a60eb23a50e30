"""Scores of predictions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from textxfer.evaluation.scoring import score
from textxfer.labels import LabelSet
from textxfer.records import Predictions, Scores

NAMES = ("calm", "loud", "rude", "dull")


def predictions(predicted: Any, references: Any) -> Predictions:
    if not isinstance(references, list):
        predicted, references = np.array(predicted), np.array(references)
    return Predictions([str(number) for number in range(len(references))], predicted, references)


def labels(count: int) -> LabelSet:
    return LabelSet(NAMES[:count])


@st.composite
def label_ids(draw: st.DrawFn) -> tuple[int, list[int], list[int]]:
    count = draw(st.integers(2, 4))
    pairs = draw(st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), min_size=1, max_size=40))
    return count, [pair[0] for pair in pairs], [pair[1] for pair in pairs]


@settings(max_examples=80, deadline=None)
@given(label_ids())
def test_labels_score_as_in_scikit_learn(drawn: tuple[int, list[int], list[int]]) -> None:
    count, predicted, references = drawn
    metrics = ["accuracy", "macro_f1", "micro_f1", "weighted_f1", "matthews"]
    scores = score(predictions(np.array(predicted), np.array(references)), metrics, labels(count), loss=0.5)
    expected = {
        "accuracy": sklearn.metrics.accuracy_score(references, predicted),
        "matthews": sklearn.metrics.matthews_corrcoef(references, predicted),
    }
    for average in ("macro", "micro", "weighted"):
        expected[f"{average}_f1"] = sklearn.metrics.f1_score(references, predicted, average=average, zero_division=0)
    assert scores.values == pytest.approx(expected)
    assert (scores.num_examples, scores.loss) == (len(references), 0.5)
    report = sklearn.metrics.classification_report(
        references, predicted, labels=range(count), target_names=NAMES[:count], output_dict=True, zero_division=0
    )
    for name in NAMES[:count]:
        assert scores.per_label[name] == pytest.approx(
            {key.replace("-score", ""): value for key, value in report[name].items()}
        )
        assert isinstance(scores.per_label[name]["support"], int)
    assert scores.confusion is not None
    assert scores.confusion["labels"] == list(NAMES[:count])
    counts = np.array(scores.confusion["counts"])
    assert counts.sum() == len(references)
    for reference in range(count):
        assert counts[reference].tolist() == [
            sum((gold, given_) == (reference, other) for gold, given_ in zip(references, predicted, strict=True))
            for other in range(count)
        ]
    assert not any(map(math.isnan, scores.values.values()))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.tuples(st.integers(0, 1), st.integers(0, 1))] * 3), min_size=1, max_size=20))
def test_label_sets_score_as_in_scikit_learn(rows: list[Any]) -> None:
    cells = np.array(rows)
    predicted, references = cells[..., 0], cells[..., 1]
    scores = score(predictions(predicted, references), ["accuracy", "macro_f1", "micro_f1"], labels(3))
    assert scores.values["accuracy"] == pytest.approx((predicted == references).all(axis=1).mean())
    for average in ("macro", "micro"):
        expected = sklearn.metrics.f1_score(references, predicted, average=average, zero_division=0)
        assert scores.values[f"{average}_f1"] == pytest.approx(expected)
    assert scores.confusion is None
    assert [row["support"] for row in scores.per_label.values()] == references.sum(axis=0).tolist()


def test_label_that_nobody_has_and_nobody_predicts() -> None:
    scores = score(predictions([0, 1], [0, 1]), ["accuracy"], labels(3))
    assert scores.per_label["rude"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
    assert scores.confusion == {"labels": ["calm", "loud", "rude"], "counts": [[1, 0, 0], [0, 1, 0], [0, 0, 0]]}


def answers(predicted: list[str], references: list[list[str]], metrics: tuple[str, ...]) -> Scores:
    return score(predictions(predicted, references), metrics, None)


def test_answers_have_variants_where_some_questions_have_none() -> None:
    scores = answers(
        ["the view", "", "nine", "six"], [["view"], [], [], ["nine", "six o'clock"]], ("exact_match", "answer_f1")
    )
    assert scores.values == pytest.approx(
        {
            "exact_match": 2 / 4,
            "answer_f1": (1 + 1 + 0 + 2 / 3) / 4,
            "has_answer_exact_match": 1 / 2,
            "no_answer_exact_match": 1 / 2,
            "has_answer_answer_f1": (1 + 2 / 3) / 2,
            "no_answer_answer_f1": 1 / 2,
        }
    )
    assert (scores.per_label, scores.confusion, scores.num_examples) == ({}, None, 4)


def test_answers_have_no_variants_where_every_question_has_one() -> None:
    assert answers(["nine", "six"], [["nine"], ["nine"]], ("exact_match",)).values == {"exact_match": 0.5}


def test_score_of_no_row_is_left_out() -> None:
    values = answers(["", "nine"], [[], []], ("exact_match",)).values
    assert values == {"exact_match": 0.5, "no_answer_exact_match": 0.5}


def test_variants_that_were_asked_for_come_once() -> None:
    values = answers(["", "nine"], [[], ["nine"]], ("no_answer_exact_match", "exact_match")).values
    assert values == {"no_answer_exact_match": 1.0, "exact_match": 1.0, "has_answer_exact_match": 1.0}


@pytest.mark.parametrize("references", [[[1], [0], [0], [1]], [[0]] * 4, [[1]] * 4])
def test_label_sets_of_one_label_are_judged_by_it_and_not_by_its_absence(references: list[list[int]]) -> None:
    metrics = ["accuracy", "macro_f1", "micro_f1", "weighted_f1"]
    told = predictions([[1], [1], [0], [0]], np.array(references))
    scores = score(told, metrics, labels(1))
    right = 2 * sum(each[0] for each in references[:2]) / (2 + sum(each[0] for each in references))
    assert scores.values == pytest.approx({name: right for name in metrics} | {"accuracy": 0.5})
    assert scores.per_label["calm"]["f1"] == pytest.approx(right)
    assert scores.per_label["calm"]["support"] == sum(each[0] for each in references)
