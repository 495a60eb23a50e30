"""Every metric against its definition, written out, and against scikit-learn."""

import math
import re
import string
import warnings
from collections import Counter
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from textxfer import registry
from textxfer.metrics import MEMBERS, Counts, Metric

LABELS = ("accuracy", "f1", "macro_f1", "micro_f1", "weighted_f1", "matthews", "mean_distance", "within_one")
LABEL_SETS = ("accuracy", "macro_f1", "micro_f1", "weighted_f1")
ANSWERS = tuple(
    f"{which}{name}" for which in ("", "has_answer_", "no_answer_") for name in ("exact_match", "answer_f1")
)


def metric(name: str) -> Metric:
    found = registry.load("metrics", name)
    assert isinstance(found, Metric)
    return found


def score(name: str, predictions: Any, references: Any) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return metric(name).compute(predictions, references)


def test_the_shelf_holds_these() -> None:
    assert set(registry.names("metrics")) == {*LABELS, *ANSWERS}
    assert set(MEMBERS) <= set(registry.names("metrics"))


@pytest.mark.parametrize("name", registry.names("metrics"))
def test_a_metric_says_what_it_judges(name: str) -> None:
    judges = {"labels": LABELS, "label sets": LABEL_SETS, "answers": ANSWERS}
    assert set(metric(name).judges) == {kind for kind, names in judges.items() if name in names}
    assert metric(name).summary.endswith(".")
    assert metric(name).greater_is_better == (name != "mean_distance")
    needs = {"f1": "two labels", "mean_distance": "ordered labels", "within_one": "ordered labels"}
    assert metric(name).needs == needs.get(name)


def f1_of(label: int, predictions: Any, references: Any) -> float:
    right = sum(p == r == label for p, r in zip(predictions, references, strict=True))
    given = sum(p == label for p in predictions) + sum(r == label for r in references)
    return 2 * right / given if given else 0.0


PAIRS = st.integers(2, 4).flatmap(
    lambda labels: st.lists(st.tuples(st.integers(0, labels - 1), st.integers(0, labels - 1)), min_size=1, max_size=25)
)


@settings(deadline=None, max_examples=40)
@given(PAIRS)
def test_scores_of_labels(pairs: list[tuple[int, int]]) -> None:
    predictions, references = (np.array(side) for side in zip(*pairs, strict=True))
    seen = sorted(set(predictions) | set(references))
    each = {label: f1_of(label, predictions, references) for label in seen}
    support = Counter(references.tolist())
    expected = {
        "accuracy": (predictions == references).mean(),
        "micro_f1": (predictions == references).mean(),
        "macro_f1": sum(each.values()) / len(each),
        "weighted_f1": sum(each[label] * support[label] for label in seen) / len(pairs),
        "mean_distance": sum(abs(p - r) for p, r in pairs) / len(pairs),
        "within_one": sum(abs(p - r) <= 1 for p, r in pairs) / len(pairs),
    }
    if max(seen) <= 1:
        expected["f1"] = f1_of(1, predictions, references)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected["matthews"] = sklearn.metrics.matthews_corrcoef(references, predictions)
    for name, value in expected.items():
        assert score(name, predictions, references) == pytest.approx(value), name


def test_matthews_by_hand() -> None:
    assert score("matthews", np.array([1, 1, 0, 0, 1]), np.array([1, 1, 1, 0, 0])) == pytest.approx(1 / 6)
    assert score("matthews", np.array([1, 0]), np.array([0, 1])) == -1
    assert score("matthews", np.array([1, 1]), np.array([1, 1])) == 0


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(*[st.lists(st.integers(0, 1), min_size=3, max_size=3)] * 2), min_size=1, max_size=12))
def test_scores_of_label_sets(pairs: list[tuple[list[int], list[int]]]) -> None:
    predictions, references = (np.array(side) for side in zip(*pairs, strict=True))
    each = [f1_of(1, predictions[:, label], references[:, label]) for label in range(3)]
    support = references.sum(axis=0)
    expected = {
        "accuracy": sum(p == r for p, r in pairs) / len(pairs),
        "micro_f1": f1_of(1, predictions.ravel(), references.ravel()),
        "macro_f1": sum(each) / 3,
        "weighted_f1": (each * support).sum() / support.sum() if support.sum() else 0.0,
    }
    for name, value in expected.items():
        assert score(name, predictions, references) == pytest.approx(value), name


# The SQuAD evaluation, written anew from its description.


def squad_words(answer: str) -> list[str]:
    plain = "".join(letter for letter in answer.lower() if letter not in string.punctuation)
    return [word for word in re.sub(r"\b(a|an|the)\b", " ", plain).split() if word]


def squad_exact(prediction: str, references: list[str]) -> float:
    return max(float(squad_words(prediction) == squad_words(text)) for text in references)


def squad_f1(prediction: str, references: list[str]) -> float:
    best = 0.0
    for text in references:
        given_words, gold = squad_words(prediction), squad_words(text)
        common = sum(min(given_words.count(word), gold.count(word)) for word in set(gold))
        if not given_words or not gold:
            best = max(best, float(given_words == gold))
        elif common:
            precision, recall = common / len(given_words), common / len(gold)
            best = max(best, 2 * precision * recall / (precision + recall))
    return best


TEXTS = st.lists(
    st.sampled_from(["the", "a", "An", "nine", "Nine.", "o'clock", "at", "-", "  ", "ein"]), max_size=5
).map(" ".join)
ROWS = st.lists(st.tuples(TEXTS, st.lists(TEXTS, max_size=3)), min_size=1, max_size=8)


@settings(deadline=None, max_examples=40)
@given(ROWS)
def test_scores_of_answers(rows: list[tuple[str, list[str]]]) -> None:
    predictions, references = [given_text for given_text, _ in rows], [gold for _, gold in rows]
    for name, naive in (("exact_match", squad_exact), ("answer_f1", squad_f1)):
        each = [naive(given_text, [text for text in gold if squad_words(text)] or [""]) for given_text, gold in rows]
        for prefix, wanted in (("", (True, False)), ("has_answer_", (True,)), ("no_answer_", (False,))):
            counted = [value for value, gold in zip(each, references, strict=True) if bool(gold) in wanted]
            found = score(prefix + name, predictions, references)
            assert math.isnan(found) if not counted else found == pytest.approx(sum(counted) / len(counted))


@pytest.mark.parametrize(
    ("prediction", "references", "exact", "f1"),
    [
        ("The nine.", ["nine"], 1, 1),
        ("at nine o'clock", ["nine oclock", "six"], 0, 0.8),
        ("nine nine", ["nine"], 0, 2 / 3),
        ("", [], 1, 1),
        ("nine", [], 0, 0),
        ("", ["nine"], 0, 0),
        ("", ["the", "nine"], 0, 0),
        ("the", ["The"], 1, 1),
        ("theatre", ["atre"], 0, 0),
        ("Ａn", ["an"], 0, 0),
    ],
)
def test_answers_by_hand(prediction: str, references: list[str], exact: float, f1: float) -> None:
    assert score("exact_match", [prediction], [references]) == exact
    assert score("answer_f1", [prediction], [references]) == pytest.approx(f1)


# The roads that intervals take: each row's own score, and counts.

PARTS = ("right", "predicted", "actual")


def counts_of(predictions: np.ndarray, references: np.ndarray, labels: int) -> Counts:
    """Counts one set of rows, as scikit-learn's tables have them."""
    if references.ndim == 1:
        table = sklearn.metrics.confusion_matrix(references, predictions, labels=range(labels))
        return Counts(np.diag(table)[None], table.sum(axis=0)[None], table.sum(axis=1)[None])
    right = sklearn.metrics.multilabel_confusion_matrix(references, predictions)[:, 1, 1]
    return Counts(right[None], predictions.sum(axis=0)[None], references.sum(axis=0)[None], label_sets=True)


def same_by_all_roads(name: str, predictions: Any, references: Any, counts: Counts | None) -> None:
    found, expected = metric(name), score(name, predictions, references)
    assert found.each or found.of_counts
    if found.each:
        each = found.each(predictions, references)
        assert each.shape == (len(references),)
        counted = each[~np.isnan(each)]
        assert counted.mean() == pytest.approx(expected) if len(counted) else math.isnan(expected)
    if found.of_counts and counts is not None:
        assert found.of_counts(counts) == pytest.approx([expected], abs=1e-12)


@settings(deadline=None, max_examples=80)
@given(PAIRS)
def test_labels_score_alike_by_row_and_by_count(pairs: list[tuple[int, int]]) -> None:
    predictions, references = (np.array(side) for side in zip(*pairs, strict=True))
    for name in LABELS:
        if name != "f1" or max(predictions.max(), references.max()) <= 1:
            same_by_all_roads(name, predictions, references, counts_of(predictions, references, 5))


@settings(deadline=None, max_examples=80)
@given(st.lists(st.tuples(*[st.lists(st.integers(0, 1), min_size=3, max_size=3)] * 2), min_size=1, max_size=12))
def test_label_sets_score_alike_by_row_and_by_count(pairs: list[tuple[list[int], list[int]]]) -> None:
    predictions, references = (np.array(side) for side in zip(*pairs, strict=True))
    for name in LABEL_SETS:
        same_by_all_roads(name, predictions, references, counts_of(predictions, references, 3))


@settings(deadline=None, max_examples=40)
@given(ROWS)
def test_answers_score_alike_by_row(rows: list[tuple[str, list[str]]]) -> None:
    for name in ANSWERS:
        same_by_all_roads(name, [given_text for given_text, _ in rows], [gold for _, gold in rows], None)


def test_counts_of_many_sets_of_rows_score_like_each_alone() -> None:
    rng = np.random.default_rng(0)
    sides = [(rng.integers(0, 4, 50), rng.integers(0, 4, 50)) for _ in range(6)]
    alone = [counts_of(*side, 4) for side in sides]
    together = Counts(*(np.concatenate([getattr(each, part) for each in alone]) for part in PARTS))
    for name in ("macro_f1", "micro_f1", "weighted_f1", "matthews", "f1"):
        of_counts = metric(name).of_counts
        assert of_counts is not None
        assert of_counts(together).tolist() == [float(of_counts(each)[0]) for each in alone]
