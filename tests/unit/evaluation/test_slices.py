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


def test_a_slice_of_label_sets() -> None:
    metrics = ("accuracy", "macro_f1", "micro_f1")
    assert set(of([[1, 0], [1, 1]], [[1, 0], [0, 0]], metrics)) == {"rows", "accuracy", "micro_f1"}
    assert set(of([[1, 0], [1, 1]], [[1, 0], [0, 1]], metrics)) == {"rows", *metrics}
