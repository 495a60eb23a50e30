"""Cross-validated probes: parts, samples, noise."""

from __future__ import annotations

import numpy as np
import pytest

from textxfer.errors import DataError
from textxfer.evaluation.probing import layer_scores, probe_score, stratified_parts, stratified_sample


def test_parts_share_out_rows_and_labels() -> None:
    labels = np.array([0] * 50 + [1] * 13 + [2])
    parts = stratified_parts(labels, 5, seed=3)
    assert np.bincount(parts).tolist() == [13, 13, 13, 13, 12]
    assert np.bincount(parts[labels == 0]).tolist() == [10] * 5
    assert set(np.bincount(parts[labels == 1])) <= {2, 3}
    assert not np.array_equal(parts, stratified_parts(labels, 5, seed=4))
    assert stratified_parts(np.array([0, 1, 1]), 5, seed=0).max() == 2


def test_a_sample_has_each_label_in_its_share() -> None:
    labels = ["a"] * 700 + ["b"] * 290 + ["c"] * 10
    places = stratified_sample(labels, 100, seed=0)
    assert len(set(places.tolist())) == 100
    assert places.tolist() == sorted(places.tolist())
    counts = {label: sum(labels[place] == label for place in places) for label in "abc"}
    assert all(abs(counts[label] - share) <= 1 for label, share in {"a": 70, "b": 29, "c": 1}.items())
    assert stratified_sample(labels, 1000).tolist() == list(range(1000))
    assert stratified_sample(labels, 100, seed=0).tolist() == places.tolist()
    assert stratified_sample(labels, 100, seed=1).tolist() != places.tolist()


def test_no_row_is_judged_by_a_probe_that_saw_it() -> None:
    """Vectors that only name their row would be learnt by heart."""
    labels = np.random.default_rng(0).integers(2, size=60)
    score = probe_score(np.eye(60, dtype=np.float32), labels)
    assert score.accuracy < 0.7
    assert len(score.folds) == 5
    assert np.mean(score.folds) == pytest.approx(score.accuracy)
    assert score.sd == pytest.approx(np.std(score.folds, ddof=1))


def test_the_lead_is_paired_by_rows() -> None:
    labels = np.arange(80) % 2
    good = probe_score(np.stack([labels, labels], axis=1).astype(np.float32), labels)
    noise = probe_score(np.random.default_rng(1).normal(size=(80, 2)), labels)
    lead, error = good.lead(noise)
    assert good.accuracy == 1
    assert lead == pytest.approx(1 - noise.accuracy)
    assert error == pytest.approx(np.sqrt(lead * (1 - lead) / 80))
    assert good.lead(good) == (0, 0)


def test_layers_are_judged_on_the_same_parts() -> None:
    rng = np.random.default_rng(2)
    labels = np.arange(100) % 4
    vectors = np.stack([rng.normal(size=(100, 5)), np.eye(5)[labels] + rng.normal(size=(100, 5)) / 9], axis=1)
    shares: list[float] = []
    scores = layer_scores(vectors, labels, between=shares.append)
    assert [score.accuracy > 0.9 for score in scores] == [False, True]
    assert scores[1].right.tolist() == probe_score(vectors[:, 1], labels).right.tolist()
    assert shares == [0, 0.5]


@pytest.mark.parametrize("labels", [[0], [1, 1, 1], []])
def test_one_label_is_an_error(labels: list[int]) -> None:
    with pytest.raises(DataError, match="two labels at least"):
        probe_score(np.zeros((len(labels), 3)), np.array(labels, dtype=int))
