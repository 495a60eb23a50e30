"""Temperatures, thresholds and calibration errors."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textxfer.evaluation.calibrate import (
    NUM_BINS,
    TEMPERATURES,
    calibration_error,
    fit,
    probabilities_of,
    reliability,
)


def drawn(rows: int, labels: int, *, several: bool = False, scale: float = 2.0, seed: int = 0) -> tuple[Any, Any]:
    """Gives logits, and references drawn from their very probabilities."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, labels)) * scale
    shares = probabilities_of(logits, several=several)
    if several:
        return logits, (rng.random(shares.shape) < shares).astype(np.int64)
    return logits, (shares.cumsum(axis=1) > rng.random((rows, 1))).argmax(axis=1)


# --- the error


@pytest.mark.parametrize("several", [False, True])
def test_error_of_true_probabilities_is_near_0(several: bool) -> None:
    logits, references = drawn(40_000, 4, several=several)
    assert calibration_error(probabilities_of(logits, several=several), references) < 0.01
    assert calibration_error(probabilities_of(logits * 3, several=several), references) > 0.05
    assert calibration_error(probabilities_of(logits / 3, several=several), references) > 0.05


def test_error_by_hand() -> None:
    shares = np.array([[0.9, 0.1], [0.9, 0.1], [0.3, 0.7], [0.5, 0.5]])
    references = np.array([0, 1, 1, 0])
    # bins: 0.9 twice (half right), 0.7 once (right), 0.5 once (right)
    assert calibration_error(shares, references) == pytest.approx((2 * 0.4 + 0.3 + 0.5) / 4)
    sets = np.array([[1, 0], [1, 0], [0, 1], [1, 1]])
    # 0.9 twice, all there; 0.1 twice, none; 0.3 none, 0.7 there; 0.5 twice, both there
    assert calibration_error(shares, sets) == pytest.approx((2 * 0.1 + 2 * 0.1 + 0.3 + 0.3 + 2 * 0.5) / 8)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(2, 5))
def test_bins_hold_every_case_once(seed: int, rows: int, labels: int) -> None:
    logits, references = drawn(rows, labels, seed=seed)
    found = reliability(logits, references, several=False)
    shares = probabilities_of(logits, several=False)
    assert sum(each.count for each in found.bins) == rows
    for each in found.bins:
        inside = (shares.max(axis=1) > each.low) & (shares.max(axis=1) <= each.high)
        assert each.count == inside.sum() > 0
        assert each.high - each.low == pytest.approx(1 / NUM_BINS)
        assert each.low <= each.confidence <= each.high
        assert each.accuracy == pytest.approx((shares.argmax(axis=1) == references)[inside].mean())
    assert 0 <= found.calibration_error <= 1
    assert found.nll == pytest.approx(-np.log(shares[np.arange(rows), references]).mean())


# --- the temperature


@pytest.mark.parametrize("factor", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("labels", [2, 7])
def test_temperature_undoes_a_known_factor(labels: int, factor: float) -> None:
    logits, references = drawn(20_000, labels)
    found = fit(logits * factor, references, several=False)
    assert found.temperature == pytest.approx(factor, rel=0.05)
    assert found.thresholds is None
    assert found.after.calibration_error < 0.015
    assert found.after.nll <= found.before.nll
    if factor != 1.0:
        assert found.before.calibration_error > 0.05
    assert found.notes == (
        f"calibrated on 20000 validation rows (temperature {found.temperature:.3g}): the calibration error there was "
        f"{found.before.calibration_error:.3f} and is {found.after.calibration_error:.3f}",
    )


def test_each_label_of_a_set_has_its_own_temperature() -> None:
    logits, references = drawn(10_000, 3, several=True)
    factors = np.array([0.3, 1.0, 4.0])
    found = fit(logits * factors, references, several=True)
    assert found.temperature == pytest.approx(factors, rel=0.1)
    assert "10000 validation rows (temperatures from " in found.notes[0]
    assert found.after.calibration_error < 0.01 < found.before.calibration_error


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(2, 6), st.floats(0.05, 20))
def test_no_other_temperature_is_likelier(seed: int, labels: int, factor: float) -> None:
    logits, references = drawn(300, labels, seed=seed)
    found = fit(logits * factor, references, several=False)
    if found.temperature is None:
        return
    assert isinstance(found.temperature, float)
    for other in (0.97, 1.03):
        moved = reliability(logits * factor / (found.temperature * other), references, several=False)
        assert moved.nll >= found.after.nll - 1e-9


def test_agreement_with_scikit_learn() -> None:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator

    class Given(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        def fit(self, logits: Any, references: Any) -> Any:
            self.classes_ = np.unique(references)
            return self

        def decision_function(self, logits: Any) -> Any:
            return logits

        def predict(self, logits: Any) -> Any:
            return logits.argmax(axis=1)

    logits, references = drawn(2000, 3)
    logits *= 2.5
    theirs = CalibratedClassifierCV(FrozenEstimator(Given().fit(logits, references)), method="temperature").fit(
        logits, references
    )
    ours = probabilities_of(logits / fit(logits, references, several=False).temperature, several=False)
    np.testing.assert_allclose(ours, theirs.predict_proba(logits), atol=1e-4)


def test_temperature_stops_at_a_limit_and_says_so() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(400, 2)) * 5
    against = fit(logits, logits.argmin(axis=1), several=False)
    assert against.temperature == TEMPERATURES[1] == 100
    assert against.notes[1] == "a temperature stopped at the limit of 100: validation would take it further"
    faint, references = drawn(400, 2)
    assert fit(faint * 1e-4, references, several=False).temperature == TEMPERATURES[0] == 0.01


# --- too little to fit on


def not_fitted(logits: Any, references: Any, several: bool = False) -> str:
    found = fit(np.asarray(logits), np.asarray(references), several=several)
    assert (found.temperature, found.thresholds) == (None, None)
    assert found.before == found.after
    (note,) = found.notes
    return note


@pytest.mark.parametrize("several", [False, True])
def test_validation_too_small(several: bool) -> None:
    assert not_fitted(*drawn(99, 3, several=several), several) == (
        "not calibrated: validation has 99 rows, and fewer than 100 say too little; give it more"
    )
    assert fit(*drawn(100, 3, several=several), several=several).temperature is not None


@pytest.mark.parametrize(("errors", "said"), [(0, "no error"), (1, "one error"), (9, "9 errors")])
def test_too_few_errors(errors: int, said: str) -> None:
    references = np.arange(200) % 2
    predicted = np.where(np.arange(200) < errors, 1 - references, references)
    assert not_fitted(np.eye(2)[predicted] * 50, references) == (
        f"not calibrated: the model makes {said} on 200 validation rows, and fewer than 10 say too little of how sure "
        "is too sure; give it more rows"
    )


def test_ten_errors_are_enough() -> None:
    references = np.arange(200) % 2
    predicted = np.where(np.arange(200) < 10, 1 - references, references)
    found = fit(np.eye(2)[predicted] * 50, references, several=False)
    assert found.temperature == pytest.approx(50 / np.log(190 / 10), rel=1e-4), "19 of 20 are right"
    assert found.after.calibration_error < 1e-6


def test_one_label_only() -> None:
    logits, _ = drawn(150, 3)
    assert not_fitted(logits, np.zeros(150, dtype=int)) == (
        "not calibrated: the 150 validation rows all have one label; give it rows of every label"
    )


def test_label_without_errors_keeps_temperature_1() -> None:
    logits, references = drawn(1000, 3, several=True)
    logits[:, 1] = np.where(references[:, 1] == 1, 9.0, -9.0)
    references[:, 2], logits[:, 2] = 0, -9.0  # a label that no row has
    found = fit(logits * 3, references, several=True)
    assert found.temperature == (pytest.approx(3, rel=0.2), 1.0, 1.0)
    assert found.notes[1] == (
        "the temperature of 2 of 3 labels is left at 1: the model makes fewer than 10 errors in them on validation"
    )
    assert found.thresholds is not None
    assert found.thresholds[1:] == (0.5, 0.5)


# --- thresholds


def test_threshold_has_the_highest_f1() -> None:
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(1)
    logits, references = drawn(600, 4, several=True, scale=1.5)
    logits -= [0.0, 1.0, 2.0, 3.0]
    references = (rng.random(logits.shape) < probabilities_of(logits, several=True)).astype(int)
    found = fit(logits, references, several=True)
    assert found.thresholds is not None
    assert found.temperature is not None
    shares = probabilities_of(logits / np.array(found.temperature), several=True)
    for label, threshold in enumerate(found.thresholds):
        own = f1_score(references[:, label], shares[:, label] >= threshold)
        others = [
            f1_score(references[:, label], shares[:, label] >= cut, zero_division=0) for cut in np.linspace(0, 1, 41)
        ]
        assert own >= max(others) - 1e-12
    assert found.thresholds[3] < 0.45, "rare labels need a lower threshold"


def test_rare_label_keeps_its_threshold() -> None:
    logits, references = drawn(400, 2, several=True)
    references[:, 1] = 0
    references[np.argsort(logits[:, 1])[200:209], 1] = 1
    assert fit(logits, references, several=True).thresholds[1] == 0.5  # type: ignore[index]
    references[0, 1] = 1
    references[1, 1] = 1
    assert fit(logits, references, several=True).thresholds[1] != 0.5  # type: ignore[index]


# --- what is written


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("rows", [50, 500])
def test_figures_are_json(several: bool, rows: int) -> None:
    found = fit(*drawn(rows, 3, several=several), several=several)
    written = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    keys = {"temperature", "before", "after", "bins"} | ({"thresholds"} if several and rows == 500 else set())
    assert written.keys() == keys | ({"notes"} if found.notes else set())
    assert written.get("notes", []) == list(found.notes)
    assert found.notes or rows == 500
    assert written["before"] == {"calibration_error": found.before.calibration_error, "nll": found.before.nll}
    assert written["bins"]["after"][0].keys() == {"low", "high", "count", "confidence", "accuracy"}
    assert sum(each["count"] for each in written["bins"]["before"]) == rows * (3 if several else 1)


def test_a_thousand_labels_and_float32() -> None:
    logits, references = drawn(300, 1000)
    found = fit((logits * 4).astype(np.float32), references, several=False)
    assert found.temperature == pytest.approx(4, rel=0.2)
