"""Sentiment and topic: targets, loss, decoding and records."""

import warnings
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.unit.tasks.conftest import batch_of, output
from textxfer import registry
from textxfer.errors import DataError
from textxfer.labels import LabelSet
from textxfer.records import Predictions, Split, Splits
from textxfer.tasks.sentiment import Sentiment
from textxfer.tasks.topic import Topic

LABELS = LabelSet(("bad", "good", "so-so"))


def dataset(**columns: list[Any]) -> datasets.Dataset:
    return datasets.Dataset.from_dict(columns)


def test_prepare_checks_and_gives_the_labels() -> None:
    splits = Splits(Split(dataset(text=["a", "b"], label=["good", "bad"]), "rows"))
    assert Sentiment().prepare(splits) == (splits, LabelSet(("bad", "good")))
    assert Sentiment(labels=["good", "bad"]).prepare(splits)[1] == LabelSet(("good", "bad"))
    with pytest.raises(DataError, match=r"row 1: has one label and no list"):
        Topic(multi_label=True).prepare(splits)


def test_rows_are_cut_by_their_labels() -> None:
    assert Topic().cut_by(dataset(label=["b", "a"])) == (["b", "a"], None)
    assert Topic(multi_label=True).cut_by(dataset(label=[["b", "a"], []])) == ([("a", "b"), ()], None)


def test_targets_are_label_ids(tokenizer: Any) -> None:
    encoded = Sentiment(max_length=8).encode(dataset(text=["a"] * 3, label=["so-so", "bad", "good"]), tokenizer, LABELS)
    assert encoded.targets is not None
    assert encoded.targets.dtype == np.int64
    assert encoded.targets.tolist() == [2, 0, 1]


def test_targets_of_label_sets(tokenizer: Any) -> None:
    rows = dataset(text=["a"] * 3, label=[["so-so", "bad"], [], ["good"]])
    encoded = Topic(multi_label=True).encode(rows, tokenizer, LABELS)
    assert encoded.targets is not None
    assert encoded.targets.dtype == np.float32
    assert encoded.targets.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]


def test_encoding_reads_pairs_and_cuts_at_max_length(tokenizer: Any) -> None:
    rows = dataset(text=["the film " * 20], text_pair=["we loved it"])
    encoded = Topic(max_length=12).encode(rows, tokenizer, None)
    assert (
        encoded.input_ids.tolist()
        == tokenizer("the film " * 20, "we loved it", truncation=True, max_length=12).input_ids
    )
    assert encoded.truncated == 1
    assert encoded.targets is None


def naive_cross_entropy(logits: Any, target: int, smoothing: float, weights: Any) -> float:
    log_shares = logits - np.log(np.exp(logits).sum())
    wanted = np.full(len(logits), smoothing / len(logits))
    wanted[target] += 1 - smoothing
    return float(-(wanted * log_shares * weights).sum())


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.sampled_from([0.0, 0.1, 0.5]), st.booleans())
def test_loss_is_the_sum_over_examples(seed: int, smoothing: float, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    logits, targets = rng.normal(size=(6, 3)), rng.integers(0, 3, 6)
    weights = np.array([0.5, 1.0, 3.0]) if weighted else np.ones(3)
    options: dict[str, Any] = {"label_smoothing": smoothing}
    if weighted:
        options["class_weights"] = torch.tensor(weights, dtype=torch.float32)

    def loss(part: slice) -> float:
        batch = batch_of(np.ones((len(targets[part]), 1), dtype=int), targets[part])
        return float(Sentiment().loss(output(logits=torch.tensor(logits[part])), batch, **options))

    expected = sum(naive_cross_entropy(row, t, smoothing, weights) for row, t in zip(logits, targets, strict=True))
    assert loss(slice(None)) == pytest.approx(expected, rel=1e-5)
    assert loss(slice(0, 1)) + loss(slice(1, None)) == pytest.approx(expected, rel=1e-5), (
        "cutting a batch changes nothing"
    )


def naive_binary(logits: Any, targets: Any, smoothing: float, weights: Any) -> float:
    yes = 1 / (1 + np.exp(-logits))
    wanted = targets * (1 - smoothing) + smoothing / 2
    return float(-(weights * wanted * np.log(yes) + (1 - wanted) * np.log(1 - yes)).mean(axis=1).sum())


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.sampled_from([0.0, 0.1, 0.5]), st.booleans())
def test_loss_of_label_sets_is_the_sum_over_examples(seed: int, smoothing: float, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    logits, targets = rng.normal(size=(5, 3)), rng.integers(0, 2, (5, 3)).astype(np.float32)
    weights = np.array([0.5, 1.0, 3.0], dtype=np.float32) if weighted else np.ones(3, dtype=np.float32)
    options: dict[str, Any] = {"label_smoothing": smoothing}
    if weighted:
        options["class_weights"] = torch.tensor(weights)
    batch = batch_of(np.ones((5, 1), dtype=int), targets)
    found = Topic(multi_label=True).loss(output(logits=torch.tensor(logits)), batch, **options)
    assert float(found) == pytest.approx(naive_binary(logits, targets, smoothing, weights), rel=1e-5)


@pytest.mark.parametrize("task", [Sentiment(), Topic(multi_label=True)])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_weight_multiplies_the_loss_of_its_example(task: Any, smoothing: float) -> None:
    rng = np.random.default_rng(0)
    logits, weights = torch.tensor(rng.normal(size=(4, 3))), torch.tensor([1.0, 0.3, 0.5, 1.0])
    targets = rng.integers(0, 2, (4, 3)).astype(np.float32) if task.multi_label else rng.integers(0, 3, 4)
    options = {"label_smoothing": smoothing, "class_weights": torch.tensor([0.5, 1.0, 3.0])}

    def loss(part: slice, **more: Any) -> float:
        batch = batch_of(np.ones((len(targets[part]), 1), dtype=int), targets[part])
        return float(task.loss(output(logits=logits[part]), batch, **options, **more))

    alone = [loss(slice(row, row + 1)) for row in range(4)]
    assert loss(slice(None), weights=weights) == pytest.approx(np.dot(alone, weights.numpy()), rel=1e-5)


def test_loss_of_a_16_bit_output_is_reckoned_in_32_bits() -> None:
    logits = torch.randn(4, 3).bfloat16()
    batch = batch_of(np.ones((4, 1), dtype=int), [0, 1, 2, 0])
    assert Sentiment().loss(output(logits=logits), batch).dtype == torch.float32
    assert Sentiment().reduce(output(logits=logits), batch, None)["logits"].dtype == np.float32  # type: ignore[arg-type]


def decoded(task: Any, tokenizer: Any, logits: list[list[float]], **columns: list[Any]) -> Predictions:
    rows = dataset(text=["a"] * len(logits), **columns)
    encoded = task.encode(rows, tokenizer, LABELS if "label" in columns else None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = task.decode({"logits": np.array(logits, dtype=np.float32)}, encoded, rows)
    assert isinstance(found, Predictions)
    return found


def test_decoding_takes_the_most_probable_label(tokenizer: Any) -> None:
    logits = [[0.0, 2.0, 1.0], [900.0, -900.0, 0.0]]
    found = decoded(Sentiment(), tokenizer, logits, label=["good", "so-so"], id=["x", "y"])
    assert found.ids == ["x", "y"]
    assert found.predicted.tolist() == [1, 0]
    assert found.references.tolist() == [1, 2]
    assert found.probabilities is not None
    assert found.probabilities.dtype == np.float32
    expected = torch.tensor(logits, dtype=torch.float64).softmax(dim=1)
    assert found.probabilities == pytest.approx(expected.numpy(), abs=1e-7)


def test_decoding_label_sets_takes_every_label_from_one_half_on(tokenizer: Any) -> None:
    found = decoded(Topic(multi_label=True), tokenizer, [[0.0, -0.1, 3.0], [-900.0, 900.0, -1.0]], label=[[], ["good"]])
    assert found.predicted.tolist() == [[1, 0, 1], [0, 1, 0]]
    assert found.references.tolist() == [[0, 0, 0], [0, 1, 0]]
    assert found.probabilities is not None
    assert found.probabilities[1].tolist() == [0.0, 1.0, pytest.approx(0.26894143)]


def test_decoding_takes_labels_that_reach_their_thresholds(tokenizer: Any) -> None:
    logits = [[0.1, -0.1, 3.0], [-0.1, 0.1, -3.0]]
    plain = decoded(Topic(multi_label=True), tokenizer, logits)
    assert plain.predicted.tolist() == [[1, 0, 1], [0, 1, 0]]
    thresholds = [0.6, 0.4, 0.5]
    tuned = decoded(Topic(multi_label=True, thresholds=thresholds), tokenizer, logits)
    assert tuned.predicted.tolist() == [[0, 1, 1], [0, 1, 0]]
    np.testing.assert_array_equal(tuned.probabilities, plain.probabilities)
    equal = decoded(Topic(multi_label=True, thresholds=[0.5] * 3), tokenizer, [[0.0, 1.0, -1.0]])
    assert equal.predicted.tolist() == [[1, 1, 0]], "to reach it is enough"
    with pytest.raises(ValueError, match="thresholds are for label sets"):
        Sentiment(thresholds=thresholds)


def test_records_are_by_name(tokenizer: Any) -> None:
    logits = [[0.0, np.log(2), 0.0]]
    (record,) = Sentiment().records(decoded(Sentiment(), tokenizer, logits, label=["bad"], id=["x"]), LABELS)
    assert record == {
        "id": "x",
        "reference": "bad",
        "prediction": "good",
        "probabilities": {"bad": pytest.approx(0.25), "good": pytest.approx(0.5), "so-so": pytest.approx(0.25)},
    }
    task = Topic(multi_label=True)
    (record,) = task.records(decoded(task, tokenizer, [[1.0, -1.0, 1.0]], label=[["good"]]), LABELS)
    assert (record["reference"], record["prediction"]) == (["good"], ["bad", "so-so"])
    (record,) = Sentiment().records(decoded(Sentiment(), tokenizer, logits), LABELS)
    assert "reference" not in record
    assert record["id"] == "0"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sentiment", {"max_length": 77}),
        ("sentiment", {"ordered": True}),
        ("topic", {"multi_label": True, "max_length": 8}),
        ("topic", {"multi_label": True, "thresholds": (0.25, 0.5)}),
    ],
)
def test_settings_make_the_same_task_again(name: str, options: dict[str, Any]) -> None:
    task = registry.load("tasks", name)(**options)
    kept = task.settings()
    again = registry.load("tasks", kept["task"])(**{key: value for key, value in kept.items() if key != "task"})
    assert again.settings() == kept
    assert {key: value for key, value in vars(again).items() if key in options} == options


def test_ordered_labels_are_also_judged_by_distance() -> None:
    assert Sentiment().default_metrics == ("accuracy", "macro_f1")
    assert Sentiment(ordered=True).default_metrics == ("accuracy", "macro_f1", "mean_distance", "within_one")
    assert Sentiment().select_by in Sentiment().default_metrics
    assert (Sentiment().predicts, Topic(multi_label=True).predicts) == ("labels", "label sets")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("topic", {"stride": 3}),
        ("topic", {"thresholds": [0.5]}),
        ("topic", {"max_length": 7}),
        ("topic", {"labels": []}),
        ("topic", {"labels": ["a", "a"]}),
        ("sentiment", {"multi_label": True}),
        ("sentiment", {"max_length": 32.5}),
    ],
)
def test_options_that_a_task_does_not_have(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        registry.config("tasks", name)(**options)
