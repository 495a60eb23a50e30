"""The risk-coverage curve."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textxfer.evaluation.selective import risk_coverage


def test_curve_by_hand() -> None:
    found = risk_coverage(np.array([0.9, 0.6, 0.8, 0.7]), np.array([True, False, True, False]))
    assert [point.coverage for point in found.points] == [0.25, 0.5, 0.75, 1.0]
    assert [point.risk for point in found.points] == pytest.approx([0, 0, 1 / 3, 1 / 2])
    assert [point.confidence for point in found.points] == [0.9, 0.8, 0.7, 0.6]
    assert found.area == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4)
    assert found.accuracy_at == pytest.approx({0.8: 0.5, 0.9: 0.5, 0.95: 0.5})


def test_accuracy_at_a_coverage() -> None:
    confidence = np.arange(100) / 100
    right = np.arange(100) >= 15  # the fifteen least sure rows are wrong
    found = risk_coverage(confidence, right)
    assert found.accuracy_at == pytest.approx({0.8: 1.0, 0.9: 85 / 90, 0.95: 85 / 95})


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from([0.5, 0.7, 0.9]), st.booleans()), min_size=1, max_size=30), st.randoms())
def test_order_of_rows_does_not_matter(rows: list[tuple[float, bool]], random: object) -> None:
    """Also where rows are equally sure, as those of a saturated model are."""
    turned = [*rows]
    random.shuffle(turned)  # type: ignore[attr-defined]
    first, second = (risk_coverage(*map(np.array, zip(*each, strict=True))) for each in (rows, turned))
    assert first.area == pytest.approx(second.area)
    assert [point.risk for point in first.points] == pytest.approx([point.risk for point in second.points])
    assert first.points[-1].risk == pytest.approx(np.mean([not right for _, right in rows]))
    assert 0 <= first.area <= 1


def test_confidence_that_says_nothing_gains_nothing() -> None:
    rng = np.random.default_rng(0)
    found = risk_coverage(rng.random(20_000), rng.random(20_000) < 0.7)
    assert found.area == pytest.approx(0.3, abs=0.02)
    assert risk_coverage(np.ones(10), np.arange(10) < 7).area == pytest.approx(0.3)


@pytest.mark.parametrize("rows", [1, 2, 199, 200, 201, 5000])
def test_curve_has_200_points_at_most(rows: int) -> None:
    rng = np.random.default_rng(0)
    found = risk_coverage(rng.random(rows), rng.random(rows) < 0.7)
    assert len(found.points) == min(rows, 200)
    assert found.points[0].coverage == 1 / rows
    assert found.points[-1].coverage == 1
    written = json.loads(json.dumps(found.to_dict()))
    assert written.keys() == {"area", "accuracy_at", "points"}
    assert written["accuracy_at"].keys() == {"0.8", "0.9", "0.95"}
    assert {len(column) for column in written["points"].values()} == {min(rows, 200)}


def test_no_error_and_only_errors() -> None:
    assert risk_coverage(np.array([0.6, 0.9]), np.array([True, True])).area == 0
    assert risk_coverage(np.array([0.6, 0.9]), np.array([False, False])).area == 1
