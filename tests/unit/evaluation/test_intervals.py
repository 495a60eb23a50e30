"""Intervals of scores: against scipy and formulas, their coverage, and rows that teach the bootstrap nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from textxfer import registry
from textxfer.evaluation._resampling import resample
from textxfer.evaluation.intervals import Intervals, intervals
from textxfer.evaluation.scoring import score
from textxfer.labels import LabelSet
from textxfer.metrics import LABELS, Metric
from textxfer.records import Predictions

OF_LABELS = ("accuracy", "macro_f1", "micro_f1", "weighted_f1", "matthews", "mean_distance", "within_one")
OF_SETS = ("accuracy", "macro_f1", "micro_f1", "weighted_f1")
OF_ANSWERS = ("exact_match", "answer_f1", "has_answer_exact_match", "no_answer_answer_f1")
Z = scipy.stats.norm.ppf(0.975)


def predictions(predicted: Any, references: Any) -> Predictions:
    if not isinstance(references, list):
        predicted, references = np.asarray(predicted), np.asarray(references)
    return Predictions([str(number) for number in range(len(references))], predicted, references)


def labels(count: int) -> LabelSet:
    return LabelSet(tuple(str(number) for number in range(count)))


def drawn(rng: np.random.Generator, references: np.ndarray, recalls: np.ndarray) -> np.ndarray:
    """Predicts each label right with its recall, else one of the others at random."""
    count = len(recalls)
    other = (references + rng.integers(1, count, len(references))) % count
    return np.where(rng.random(len(references)) < recalls[references], references, other)


def spread(low_high: tuple[float, float]) -> float:
    """Gives the standard deviation of a normal interval."""
    return (low_high[1] - low_high[0]) / (2 * Z)


# Point estimates

PAIRS = st.integers(2, 5).flatmap(
    lambda count: st.tuples(
        st.just(count), st.lists(st.tuples(*[st.integers(0, count - 1)] * 2), min_size=1, max_size=60)
    )
)


@settings(deadline=None, max_examples=60)
@given(PAIRS)
def test_scores_of_kinds_of_rows_are_those_of_the_rows(drawn_pairs: tuple[int, list[tuple[int, int]]]) -> None:
    count, pairs = drawn_pairs
    said = predictions(*zip(*pairs, strict=True))
    names = [*OF_LABELS, "f1"] if count == 2 else list(OF_LABELS)
    found = resample([said], names, count, resamples=10, seed=0)
    expected = score(said, names, labels(count)).values
    assert {name: float(each.scores[0]) for name, each in found.items()} == pytest.approx(expected, abs=1e-12)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(*[st.lists(st.integers(0, 1), min_size=3, max_size=3)] * 2), min_size=1, max_size=30))
def test_scores_of_kinds_of_label_sets_are_those_of_the_rows(pairs: list[tuple[list[int], list[int]]]) -> None:
    said = predictions(*zip(*pairs, strict=True))
    found = resample([said], OF_SETS, 3, resamples=10, seed=0)
    expected = score(said, OF_SETS, labels(3)).values
    assert {name: float(each.scores[0]) for name, each in found.items()} == pytest.approx(expected, abs=1e-12)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.sampled_from(["nine", "at nine", ""]), st.sampled_from([[], ["nine"], ["six"]])), min_size=1)
)
def test_every_interval_of_answers_holds_its_score(rows: list[tuple[str, list[str]]]) -> None:
    said = predictions([row[0] for row in rows], [row[1] for row in rows])
    values = score(said, OF_ANSWERS, None).values
    found = intervals(said, OF_ANSWERS, None, [number // 2 for number in range(len(rows))], resamples=50)
    assert found.low_high.keys() <= values.keys()
    for name, (low, high) in found.low_high.items():
        assert 0 <= low <= values[name] <= high <= 1


@settings(deadline=None, max_examples=60)
@given(PAIRS)
def test_every_interval_of_labels_holds_its_score(drawn_pairs: tuple[int, list[tuple[int, int]]]) -> None:
    count, pairs = drawn_pairs
    said = predictions(*zip(*pairs, strict=True))
    values = score(said, OF_LABELS, labels(count)).values
    for name, (low, high) in intervals(said, OF_LABELS, labels(count), resamples=100).low_high.items():
        assert low <= values[name] + 1e-12
        assert high >= values[name] - 1e-12


# Against scipy and formulas


def test_answers_as_in_scipy() -> None:
    rng = np.random.default_rng(0)
    right = rng.random(300) < 0.7
    said = predictions(["nine" if each else "six" for each in right], [["nine"]] * 300)
    found = intervals(said, ["exact_match"], None, resamples=9999).low_high["exact_match"]
    theirs = scipy.stats.bootstrap((right,), np.mean, method="percentile", rng=1).confidence_interval
    assert found == pytest.approx((theirs.low, theirs.high), abs=0.007)


def test_one_label_as_in_scipy() -> None:
    rng = np.random.default_rng(0)
    predicted = (rng.random(300) < 0.2).astype(int)
    found = intervals(predictions(predicted, np.zeros(300, int)), ["accuracy"], labels(2), resamples=9999)
    theirs = scipy.stats.bootstrap((predicted == 0,), np.mean, method="percentile", rng=1).confidence_interval
    assert found.low_high["accuracy"] == pytest.approx((theirs.low, theirs.high), abs=0.007)


def test_how_many_rows_a_label_has_is_drawn_too() -> None:
    references = np.repeat([0, 1], [700, 300])
    predicted = drawn(np.random.default_rng(0), references, np.array([0.98, 0.3]))
    found = intervals(predictions(predicted, references), ["accuracy"], labels(2), resamples=5000)
    right = np.mean(predicted == references)
    expected = math.sqrt(right * (1 - right) / 1000)
    assert spread(found.low_high["accuracy"]) == pytest.approx(expected, rel=0.05)
    assert found.detectable["accuracy"] == pytest.approx((Z + scipy.stats.norm.ppf(0.8)) * 2**0.5 * expected, rel=0.05)


def test_label_sets_are_drawn_row_by_row() -> None:
    rng = np.random.default_rng(0)
    references = (rng.random((800, 3)) < 0.4).astype(int)
    predicted = np.where(rng.random((800, 3)) < 0.9, references, 1 - references)
    found = intervals(predictions(predicted, references), OF_SETS, labels(3), resamples=3000)
    right = (predicted == references).all(axis=1)
    assert spread(found.low_high["accuracy"]) == pytest.approx(right.std() / math.sqrt(800), rel=0.06)
    assert found.low_high.keys() == set(OF_SETS)

    def micro(rows: np.ndarray) -> Any:
        hits = (predicted[rows] & references[rows]).sum()
        return 2 * hits / (predicted[rows].sum() + references[rows].sum())

    theirs = [micro(rng.integers(0, 800, 800)) for _ in range(2000)]
    assert spread(found.low_high["micro_f1"]) == pytest.approx(np.std(theirs), rel=0.08)


def test_questions_of_a_context_are_drawn_together() -> None:
    right = np.repeat(np.random.default_rng(0).random(60) < 0.7, 5)  # all five of a context, or none
    said = predictions(["nine" if each else "six" for each in right], [["nine"]] * 300)
    alone = intervals(said, ["exact_match"], None).low_high["exact_match"]
    together = intervals(said, ["exact_match"], None, np.repeat(np.arange(60), 5)).low_high["exact_match"]
    assert spread(alone) == pytest.approx(right.std() / math.sqrt(300), rel=0.1)
    assert spread(together) == pytest.approx(right.std() / math.sqrt(60), rel=0.1)


def test_groups_of_labelled_rows_are_drawn_together() -> None:
    right = np.repeat(np.random.default_rng(0).random(60) < 0.7, 5).astype(int)
    said = predictions(right, np.ones(300, int))
    together = intervals(said, ["accuracy", "micro_f1"], labels(2), [f"page {number // 5}" for number in range(300)])
    for name in ("accuracy", "micro_f1"):
        assert spread(together.low_high[name]) == pytest.approx(right.std() / math.sqrt(60), rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("at_random", [True, False])
@pytest.mark.parametrize("recalls", [[0.9, 0.8, 0.7], [0.99, 0.05, 0.05]])
def test_simulated_coverage(recalls: list[float], at_random: bool) -> None:
    """95 % intervals hold the true score about 95 % of the time, also of a model that nearly always says one label."""
    shares, recall, times = np.array([0.5, 0.3, 0.2]), np.array(recalls), 400
    table = np.full((3, 3), 0.5) * (1 - recall)[:, None]
    if min(recalls) < 0.1:
        table = np.array([[0, 1, 0], [1, 0, 0], [1, 0, 0]]) * (1 - recall)[:, None]
    np.fill_diagonal(table, recall)
    table *= shares[:, None]
    f1 = 2 * np.diag(table) / (table.sum(axis=0) + table.sum(axis=1))
    true = {"accuracy": float(np.trace(table)), "macro_f1": float(f1.mean())}
    certain = (table / shares[:, None]).cumsum(axis=1)
    for rows in (300, 1000):
        rng = np.random.default_rng(rows)
        references = np.repeat([0, 1, 2], (shares * rows).astype(int))
        held = dict.fromkeys(true, 0)
        for _ in range(times):
            if at_random:
                references = rng.choice(3, rows, p=shares)
            said = predictions((rng.random(rows)[:, None] > certain[references]).sum(axis=1).clip(0, 2), references)
            found = intervals(said, true, labels(3), resamples=400, seed=int(rng.integers(1 << 30)))
            for name, value in true.items():
                held[name] += found.low_high[name][0] <= value <= found.low_high[name][1]
        low = 0.91 if min(recalls) > 0.1 else 0.83  # the F1 of a label with one right row in twenty is far from normal
        assert 0.91 <= held["accuracy"] / times <= (0.985 if at_random else 1), (rows, held)
        assert low <= held["macro_f1"] / times <= 0.985, (rows, held)


# What the bootstrap cannot see


@pytest.mark.parametrize("rows", [1, 8, 400])
def test_no_error_is_no_certainty(rows: int) -> None:
    said = predictions(np.arange(rows) % 2, np.arange(rows) % 2)
    found = intervals(said, OF_LABELS, labels(2))
    exact = scipy.stats.binomtest(rows, rows).proportion_ci(0.95, "exact")
    for name in {*OF_LABELS} - {"mean_distance"} - ({"matthews"} if rows == 1 else set()):
        assert found.low_high[name] == pytest.approx((exact.low, 1.0)), name
    assert found.low_high["mean_distance"] == pytest.approx((0.0, 1 - exact.low))
    assert all(value > 1.5 / rows for value in found.detectable.values())


def test_no_right_answer_is_no_certainty_either() -> None:
    found = intervals(predictions(["six"] * 20, [["nine"]] * 20), ["exact_match", "answer_f1"], None)
    exact = scipy.stats.binomtest(0, 20).proportion_ci(0.95, "exact")
    assert found.low_high == {name: pytest.approx((0.0, exact.high)) for name in ("exact_match", "answer_f1")}


def test_a_model_that_says_one_label_has_an_interval() -> None:
    references = np.repeat([0, 1], [70, 30])
    low, high = intervals(predictions(np.zeros(100, int), references), ["accuracy"], labels(2)).low_high["accuracy"]
    assert low < 0.67 < 0.7 < 0.73 < high


def test_labels_with_one_row_each_have_intervals() -> None:
    rng = np.random.default_rng(0)
    references = np.arange(1000)
    predicted = np.where(rng.random(1000) < 0.8, references, (references + 1) % 1000)
    found = intervals(predictions(predicted, references), ["accuracy", "macro_f1"], labels(1000), resamples=500)
    right = (predicted == references).mean()
    assert spread(found.low_high["accuracy"]) == pytest.approx(math.sqrt(right * (1 - right) / 1000), rel=0.12)


def test_the_mean_f1_of_labels_with_a_handful_of_rows_is_not_drawn_down() -> None:
    references = np.repeat(np.arange(200), 5)
    said = predictions(drawn(np.random.default_rng(0), references, np.full(200, 0.8)), references)
    value = score(said, ["macro_f1"], labels(200)).values["macro_f1"]
    low, high = intervals(said, ["macro_f1"], labels(200)).low_high["macro_f1"]
    assert low < value < high
    assert (low + high) / 2 == pytest.approx(value, abs=0.005)
    assert low < 0.8 < high


def test_a_metric_that_judges_no_row_has_no_interval() -> None:
    said = predictions(["nine", "six"] * 10, [["nine"], ["nine"]] * 10)
    assert intervals(said, ["exact_match", "no_answer_exact_match"], None).low_high.keys() == {"exact_match"}


def test_no_rows_have_no_intervals() -> None:
    assert intervals(predictions([], np.array([], int)), ["accuracy"], labels(2)) == Intervals({}, {}, 2000, 0.95)


# Metrics of others


@pytest.fixture
def shelf() -> Iterator[Any]:
    """Puts metrics on the shelf for one test."""
    before = dict(registry._registered)
    yield lambda name, found: registry.register("metrics", name)(found)
    registry._registered.clear()
    registry._registered.update(before)


def right_share(predicted: Any, references: Any) -> float:
    return float((predicted == references).mean())


@pytest.mark.parametrize("groups", [None, [number // 3 for number in range(300)]], ids=["rows", "groups"])
def test_a_metric_with_compute_alone_is_computed_for_every_draw(shelf: Any, groups: Sequence[int] | None) -> None:
    shelf("plain", Metric(right_share, judges=(LABELS,), summary="The share."))
    references = np.arange(300) % 3
    said = predictions(drawn(np.random.default_rng(0), references, np.array([0.9, 0.7, 0.5])), references)
    found = intervals(said, ["plain", "accuracy"], labels(3), groups)
    assert found.low_high["plain"] == pytest.approx(found.low_high["accuracy"], abs=0.02)
    assert found.detectable["plain"] == pytest.approx(found.detectable["accuracy"], rel=0.2)


def test_draws_on_which_a_metric_fails_are_passed_over(shelf: Any) -> None:
    def picky(predicted: Any, references: Any) -> float:
        if (predicted == 1).sum() < 12:
            raise ValueError("too few")
        return right_share(predicted, references)

    shelf("picky", Metric(picky, judges=(LABELS,), summary="Fails now and then."))
    shelf("hopeless", Metric(lambda *_: math.nan, judges=(LABELS,), summary="Never works."))
    said = predictions(np.repeat([0, 1], [35, 15]), np.repeat([0, 1], [40, 10]))
    low, high = intervals(said, ["picky"], labels(2)).low_high["picky"]
    assert 0.7 < low < 0.9 < high < 1
    shelf("too_picky", Metric(lambda *sides: math.nan if sides[0].sum() != 15 else 0.5, (LABELS,), "Hardly works."))
    assert intervals(said, ["hopeless", "too_picky"], labels(2)).low_high == {}


def test_what_cannot_be_judged_from_predictions_is_passed_over(shelf: Any) -> None:
    def of_probabilities(probabilities: Any, references: Any) -> float:
        raise AssertionError("called with predictions")

    shelf("sureness", Metric(of_probabilities, judges=("probabilities",), summary="Of probabilities."))
    said = predictions(np.array([0, 1]), np.array([1, 1]))
    found = intervals(said, ["sureness", "unheard_of", "exact_match", "accuracy"], labels(2))
    assert found.low_high.keys() == found.detectable.keys() == {"accuracy"}


# Settings


def test_every_setting_is_used() -> None:
    references = np.arange(200) % 2
    said = predictions(drawn(np.random.default_rng(0), references, np.array([0.9, 0.8])), references)

    def found(**settings: Any) -> Intervals:
        return intervals(said, ["macro_f1"], labels(2), **settings)

    usual = found()
    assert (usual.resamples, usual.level) == (2000, 0.95)
    assert found() == usual
    assert found(seed=1).low_high != usual.low_high
    assert found(resamples=100).low_high != usual.low_high
    assert spread(found(level=0.5).low_high["macro_f1"]) < spread(usual.low_high["macro_f1"])
    assert found(level=0.5).detectable["macro_f1"] < usual.detectable["macro_f1"]


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 77, 1000])
def test_ten_thousand_rows_take_less_than_a_second(count: int) -> None:
    rng = np.random.default_rng(0)
    references = rng.integers(0, count, 10_000)
    said = predictions(drawn(rng, references, np.full(count, 0.85)), references)
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        intervals(said, OF_LABELS, labels(count))
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 1


@pytest.mark.slow
def test_ten_thousand_label_sets_take_less_than_a_second() -> None:
    rng = np.random.default_rng(0)
    references = (rng.random((10_000, 50)) < 0.05).astype(int)
    said = predictions(np.where(rng.random((10_000, 50)) < 0.95, references, 1 - references), references)
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        intervals(said, OF_SETS, labels(50))
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 1
