"""Logistic regression as a linear layer."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from textxfer.modeling import probe
from textxfer.modeling.probe import Probe, fit_probe


def blobs(rows: int = 300, labels: int = 3, width: int = 6, apart: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Gives features around one centre a label, on scales that differ a thousandfold, and label ids."""
    rng = np.random.default_rng(0)
    targets = np.arange(rows) % labels
    centres = rng.normal(size=(labels, width)) * apart
    scales = np.logspace(-2, 1, width)
    return ((centres[targets] + rng.normal(size=(rows, width))) * scales + 5 * scales).astype(np.float32), targets


def accuracy(fitted: Probe, features: np.ndarray, targets: np.ndarray) -> float:
    return float((fitted.logits(features).argmax(axis=1) == targets).mean())


def shares(fitted: Probe, features: np.ndarray) -> np.ndarray:
    logits = fitted.logits(features)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("labels", [2, 3])
def test_it_is_scikit_learns_on_standardised_features(labels: int) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    features, targets = blobs(labels=labels)
    inputs = StandardScaler().fit_transform(features)
    theirs = LogisticRegression(C=0.1, max_iter=1000, tol=1e-8).fit(inputs, targets)
    ours = fit_probe(features, targets, labels, inverse_penalty=0.1)
    np.testing.assert_allclose(shares(ours, features), theirs.predict_proba(inputs), atol=2e-3)
    assert ours.converged
    assert ours.weight.shape == (labels, 6)
    assert ours.weight.dtype == np.float32


def test_penalty_is_chosen_by_held_out_rows() -> None:
    features, targets = blobs(apart=3.0)
    noise = np.random.default_rng(1).integers(0, 3, len(targets))
    assert fit_probe(features, targets, 3).inverse_penalty > fit_probe(features, noise, 3).inverse_penalty


def test_repeats_itself() -> None:
    features, targets = blobs()
    one, other = (fit_probe(features, targets, 3, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.weight, other.weight)


def test_label_weights_and_weights_count() -> None:
    features, targets = blobs(apart=0.3)
    plain = shares(fit_probe(features, targets, 3, inverse_penalty=0.1), features).mean(axis=0)
    for options in (
        {"label_weights": np.array([5.0, 1.0, 1.0])},
        {"weights": np.where(targets == 0, 5.0, 1.0)},
    ):
        heavy = shares(fit_probe(features, targets, 3, inverse_penalty=0.1, **options), features).mean(axis=0)
        assert heavy[0] > plain[0] + 0.2


def test_rows_that_count_nothing_are_as_if_not_there() -> None:
    features, targets = blobs()
    wrong = np.where(np.arange(len(targets)) < 100, (targets + 1) % 3, targets)
    counts = (np.arange(len(targets)) >= 100).astype(np.float64)
    left = fit_probe(features[100:], targets[100:], 3)
    np.testing.assert_array_equal(fit_probe(features, wrong, 3, weights=counts).weight, left.weight)


def test_label_sets_are_fitted_one_by_one() -> None:
    features, targets = blobs(labels=4)
    sets = np.stack([targets < 2, targets % 2 == 0, targets >= 0, targets < 0], axis=1).astype(np.float32)
    fitted = fit_probe(features, sets, 4)
    said = fitted.logits(features) > 0
    assert (said[:, :2] == sets[:, :2].astype(bool)).mean() > 0.9
    assert said[:, 2].all()  # every row has it
    assert not said[:, 3].any()  # none has
    assert np.isfinite(fitted.bias).all()
    heavy = fit_probe(features, sets, 4, label_weights=np.array([1.0, 4.0, 1.0, 1.0]), inverse_penalty=0.01)
    light = fit_probe(features, sets, 4, inverse_penalty=0.01)
    assert np.abs(heavy.weight[1]).sum() > np.abs(light.weight[1]).sum()
    np.testing.assert_array_equal(heavy.weight[0], light.weight[0])


def test_weighed_rows_of_a_rare_label_make_it_more_probable() -> None:
    features, targets = blobs(labels=3, apart=0.3)
    sets = np.stack([targets == 0, targets > 0], axis=1) & (np.arange(len(targets)) % 4 == 0)[:, None]
    count = sets.sum(axis=0)
    plain = fit_probe(features, sets.astype(np.float32), 2, inverse_penalty=0.1)
    weighed = fit_probe(
        features, sets.astype(np.float32), 2, label_weights=(len(sets) - count) / count, inverse_penalty=0.1
    )
    assert (plain.logits(features) > 0).mean() < 0.05
    assert 0.3 < (weighed.logits(features) > 0).mean() < 0.7


def test_a_label_with_one_row_is_learnt_from() -> None:
    features, targets = blobs(labels=3)
    alone = features.max(axis=0) * 3
    fitted = fit_probe(np.vstack([features, alone]), np.append(targets, 3), 4)
    assert np.abs(fitted.weight[3]).sum() > 0
    assert accuracy(fitted, features, targets) > 0.9


def test_a_label_without_a_row_is_improbable_and_finite() -> None:
    features, targets = blobs(labels=3)
    fitted = fit_probe(features, targets + 1, 5)
    rare = shares(fitted, features).mean(axis=0)[[0, 4]]
    assert (rare > 0).all()
    assert (rare < 0.05).all()
    assert accuracy(fitted, features, targets + 1) > 0.9


def test_more_labels_than_rows() -> None:
    features, _ = blobs(rows=5)
    fitted = fit_probe(features, np.arange(5), 9, inverse_penalty=1.0)
    assert accuracy(fitted, features, np.arange(5)) == 1
    only = fit_probe(features, np.full(5, 2), 9)
    assert (only.logits(features).argmax(axis=1) == 2).all()


@pytest.mark.parametrize("value", [0.0, 0.1, 3e4])
def test_constant_features_leave_the_shares_of_the_labels(value: float) -> None:
    targets = np.array([0] * 30 + [1] * 10 + [2] * 20)
    fitted = fit_probe(np.full((60, 8), value, np.float32), targets, 3)
    np.testing.assert_allclose(shares(fitted, np.full((1, 8), value, np.float32))[0], [0.5, 1 / 6, 1 / 3], atol=0.02)


def test_one_constant_feature_among_others_gets_no_weight_to_speak_of() -> None:
    features, targets = blobs()
    features[:, 2] = 0.3 + np.random.default_rng(0).normal(size=len(features)) * 1e-9
    fitted = fit_probe(features, targets, 3)
    assert np.isfinite(fitted.weight).all()
    assert accuracy(fitted, features, targets) > 0.9


def test_what_does_not_converge_says_so_and_warns_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "MOST_ITERATIONS", 2)
    features, targets = blobs()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = fit_probe(features, targets, 3, inverse_penalty=10.0)
    assert not fitted.converged
    assert np.isfinite(fitted.weight).all()


def test_can_be_stopped_between_two_fits() -> None:
    calls: list[Any] = []
    features, targets = blobs()

    def stop() -> None:
        calls.append(None)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_probe(features, targets, 3, between=stop)


def test_a_large_feature_that_hardly_varies_gets_a_small_weight() -> None:
    features, targets = blobs()
    shifted = features + 100 * features.std(axis=0)
    small, large = (fit_probe(each, targets, 3, inverse_penalty=0.1) for each in (shifted, features))
    # Dropout of a tenth of the features must not drown the logits.
    rng = np.random.default_rng(0)
    kept = rng.random(features.shape) > 0.1
    noise = (small.logits(shifted * kept / 0.9) - small.logits(shifted)).std()
    assert noise < 20 * (large.logits(features * kept / 0.9) - large.logits(features)).std()
    assert np.abs(small.weight).max() < np.abs(large.weight).max()
