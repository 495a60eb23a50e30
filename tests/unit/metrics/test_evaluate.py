"""Our metrics inside the `evaluate` library, without a network."""

from typing import Any

import evaluate
import numpy as np
import pytest

from textxfer import registry
from textxfer.errors import RecipeError
from textxfer.metrics import evaluate_metric

PREDICTIONS, REFERENCES = [0, 1, 1, 0], [0, 1, 0, 0]


def test_metrics_of_labels_combine() -> None:
    names = ["accuracy", "macro_f1", "matthews"]
    combined = evaluate.combine([evaluate_metric(name) for name in names])
    scores = combined.compute(predictions=PREDICTIONS, references=REFERENCES)
    assert scores == {
        name: registry.load("metrics", name).compute(np.array(PREDICTIONS), np.array(REFERENCES)) for name in names
    }


def test_batches_add_up() -> None:
    metric = evaluate_metric("accuracy")
    metric.add_batch(predictions=PREDICTIONS[:2], references=REFERENCES[:2])
    metric.add_batch(predictions=PREDICTIONS[2:], references=REFERENCES[2:])
    assert metric.compute() == {"accuracy": 0.75}


def test_metrics_of_answers() -> None:
    combined = evaluate.combine([evaluate_metric("exact_match"), evaluate_metric("answer_f1")])
    scores = combined.compute(predictions=["nine", "at six", ""], references=[["Nine."], ["six"], []])
    assert scores == {"exact_match": pytest.approx(2 / 3), "answer_f1": pytest.approx((1 + 2 / 3 + 1) / 3)}


def test_metrics_of_label_sets() -> None:
    metric = evaluate_metric("accuracy", num_labels=2)
    assert metric.compute(predictions=[[0, 1], [1, 1]], references=[[0, 1], [1, 0]]) == {"accuracy": 0.5}


@pytest.mark.parametrize("name", registry.names("metrics"))
def test_each_metric_has_its_own_name_and_description(name: str) -> None:
    metric: Any = evaluate_metric(name)
    assert isinstance(metric, evaluate.Metric)
    assert metric.name == name
    assert metric.description == registry.load("metrics", name).summary


def test_an_unknown_metric() -> None:
    with pytest.raises(RecipeError, match="unknown metric `acuracy`; did you mean `accuracy`"):
        evaluate_metric("acuracy")


@pytest.mark.parametrize("name", ["f1", "exact_match"])
def test_a_metric_that_does_not_judge_label_sets(name: str) -> None:
    with pytest.raises(RecipeError, match=f"`{name}` judges (labels|answers), not label sets: leave `num_labels` out"):
        evaluate_metric(name, num_labels=3)
