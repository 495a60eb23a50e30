"""Scores of parts of the rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from textxfer.evaluation.slices import scores_of_slices
from textxfer.labels import LabelSet
from textxfer.records import Predictions

LABELS = LabelSet(("bad", "good"))
METRICS = ("accuracy", "macro_f1", "micro_f1", "weighted_f1", "f1", "matthews")


def of(predicted: Any, references: Any, metrics: tuple[str, ...] = METRICS) -> dict[str, Any]:
    told = Predictions([str(row) for row in range(len(predicted))], np.array(predicted), np.array(references))
    return scores_of_slices(told, {"all": {"": np.arange(len(predicted))}}, metrics, LABELS)["all"][""]


@pytest.mark.parametrize("label", [0, 1])
def test_a_slice_of_one_label_has_no_score_that_weighs_labels(label: int) -> None:
    """Nine right of ten have 0.47 as their macro F1, since the label that is not there has none."""
    found = of([label] * 9 + [1 - label], [label] * 10)
    assert set(found) == {"rows", "accuracy", "micro_f1", "intervals"}
    assert found["accuracy"] == pytest.approx(0.9)
    assert set(found["intervals"]) == {"accuracy", "micro_f1"}


def test_a_slice_of_two_labels_has_all_scores() -> None:
    assert set(of([0, 1, 1, 0], [0, 1, 0, 0])) == {"rows", *METRICS}


SETS = ("accuracy", "macro_f1", "micro_f1", "weighted_f1")


@pytest.mark.parametrize("one", [[1, 0], [1, 1], [0, 0]])
def test_a_slice_of_one_label_set_has_no_score_that_weighs_labels(one: list[int]) -> None:
    assert set(of([[1, 0], [1, 1]], [one, one], SETS)) == {"rows", "accuracy", "micro_f1"}


def test_a_slice_of_label_sets_weighs_the_labels_that_it_has() -> None:
    """Rows that bear the first label or none: it is told apart, and one that nobody names takes nothing away."""
    found = of([[1, 0], [0, 0]] * 5 + [[1, 0]] + [[0, 0]] * 4, [[1, 0], [0, 0]] * 5 + [[0, 0]] * 5, SETS)
    assert set(found) == {"rows", *SETS, "intervals"}
    assert found["macro_f1"] == pytest.approx(10 / 11)
    assert found["micro_f1"] == pytest.approx(10 / 11)
    assert set(found["intervals"]) == set(SETS)
    assert found["intervals"]["macro_f1"][1] == 1, "each resample is over the same labels"
    invented = of([[1, 1], [0, 0]], [[1, 0], [0, 0]], SETS)
    assert invented["macro_f1"] == pytest.approx(1 / 2), "a label that is only predicted was told apart badly"
    assert of([[1, 0], [1, 1]], [[1, 0], [0, 1]], SETS)["macro_f1"] == 1 / 2 * (2 / 3 + 1)
