"""LogME and H-score against full matrices, and what all scores must keep to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from textxfer.evaluation.probing import probe_score
from textxfer.evaluation.transferability import h_score, log_evidence, neighbours_accuracy

Score = Callable[[np.ndarray, np.ndarray], float]
SCORES: dict[str, Score] = {
    "logme": log_evidence,
    "h_score": h_score,
    "neighbours": neighbours_accuracy,
    "probe": lambda vectors, labels: probe_score(vectors, labels).accuracy,
}
each_score = pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)


def made(rows: int = 90, width: int = 6, labels: int = 3, apart: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Gives vectors around a centre for each label, and the labels."""
    rng = np.random.default_rng(1)
    own = np.arange(rows) % labels
    centres = rng.normal(size=(labels, width)) * apart
    return (centres[own] + rng.normal(size=(rows, width))).astype(np.float32), own


def evidence_by_matrices(vectors: np.ndarray, labels: np.ndarray) -> float:
    """Gives the mean over labels of the highest log density of y ~ N(0, F F' / alpha + I / beta), by a plain search."""
    features, found = vectors.astype(np.float64), []
    for label in np.unique(labels):
        y = (labels == label).astype(float)

        def loss(logs: np.ndarray, y: np.ndarray = y) -> float:
            alpha, beta = np.exp(logs)
            covariance = features @ features.T / alpha + np.eye(len(y)) / beta
            return -float(multivariate_normal.logpdf(y, np.zeros(len(y)), covariance))

        starts = [minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-6}) for start in ([0, 0], [3, 3])]
        found.append(-min(float(each.fun) for each in starts) / len(y))
    return float(np.mean(found))


@pytest.mark.parametrize(("rows", "width"), [(60, 5), (24, 40)])
def test_logme_is_the_evidence_of_full_matrices(rows: int, width: int) -> None:
    vectors, labels = made(rows, width, apart=0.4)
    assert log_evidence(vectors, labels) == pytest.approx(evidence_by_matrices(vectors, labels), abs=2e-4)


def test_h_score_is_the_trace_of_full_matrices() -> None:
    vectors, labels = made()
    means = np.stack([vectors[labels == label].mean(axis=0) for label in labels])
    within = np.linalg.inv(np.cov(vectors.T, bias=True)) @ np.cov(means.T, bias=True)
    assert h_score(vectors, labels) == pytest.approx(np.trace(within), rel=1e-4)


def test_h_score_says_nothing_where_rows_are_few() -> None:
    vectors, labels = made(rows=6, width=6)
    assert np.isnan(h_score(vectors, labels))


@pytest.mark.parametrize("count", [1, 3, 500])
def test_neighbours_vote_one_by_one(count: int) -> None:
    vectors, labels = made(rows=40, apart=0.7)
    right = 0
    for row in range(40):
        norm = np.linalg.norm(vectors[row]) * np.linalg.norm(vectors, axis=1)
        likeness = vectors @ vectors[row] / norm + 1
        others = sorted((place for place in range(40) if place != row), key=lambda place: -likeness[place])[:count]
        votes = [sum(likeness[place] for place in others if labels[place] == label) for label in range(3)]
        right += int(np.argmax(votes)) == labels[row]
    assert neighbours_accuracy(vectors, labels, count) == right / 40


@each_score
def test_what_is_separable_ranks_above_noise(score: Score) -> None:
    vectors, labels = made()
    noise = np.random.default_rng(2).normal(size=vectors.shape).astype(np.float32)
    assert score(vectors, labels) > score(vectors * 0.2 + noise, labels) > score(noise, labels) - 0.1


@each_score
def test_turning_the_space_changes_nothing(score: Score) -> None:
    vectors, labels = made()
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(6, 6)))[0].astype(np.float32)
    within = 0.05 if score is SCORES["probe"] else 1e-4  # a probe standardises each dimension
    assert score(vectors @ turn, labels) == pytest.approx(score(vectors, labels), abs=within)


@each_score
@pytest.mark.parametrize("value", [0.0, 1.5])
def test_constant_vectors_say_nothing(score: Score, value: float) -> None:
    labels = made()[1]
    found = score(np.full((90, 6), value, np.float32), labels)
    assert np.isfinite(found)
    assert found < score(*made())
    assert score is SCORES["logme"] or found <= 0.4


@each_score
@pytest.mark.parametrize("labels", [[0] * 19 + [7], list(range(20)), [3, 5] * 10], ids=["lonely", "each own", "gap"])
@pytest.mark.parametrize("width", [2, 50])
def test_odd_labels_and_wide_vectors(score: Score, labels: list[int], width: int) -> None:
    vectors = np.random.default_rng(4).normal(size=(20, width)).astype(np.float32)
    found = score(vectors, np.array(labels))
    assert np.isfinite(found) or (score is h_score and width == 50)


def test_scores_do_not_depend_on_the_order_of_rows() -> None:
    vectors, labels = made()
    order = np.random.default_rng(5).permutation(len(labels))
    for score in (log_evidence, h_score, neighbours_accuracy):
        assert score(vectors[order], labels[order]) == pytest.approx(score(vectors, labels), rel=1e-6)
