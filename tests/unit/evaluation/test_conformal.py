"""Label sets, and whether they hold what they promise."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textxfer.evaluation.calibrate import probabilities_of
from textxfer.evaluation.conformal import Conformal, conformal, label_sets


def simulated(rows: int, labels: int, seed: int, factor: float = 2.0) -> tuple[Any, Any]:
    """Gives probabilities of a model that is too sure by a factor, and right now and then only."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, labels)) * 1.5
    shares = probabilities_of(logits, several=False)
    references = (shares.cumsum(axis=1) > rng.random((rows, 1))).argmax(axis=1)
    return probabilities_of(logits * factor, several=False), references


def covered(shares: Any, references: Any, least: float) -> float:
    return float(label_sets(shares, least)[np.arange(len(references)), references].mean())


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
@pytest.mark.parametrize(("rows", "labels"), [(100, 4), (400, 4), (400, 20), (1500, 20)])
def test_coverage_is_what_was_promised(rows: int, labels: int, coverage: float) -> None:
    """Fifty splits of one population: the mean is the promise, and no higher than the grid makes it."""
    test, splits = 2000, 50
    found = []
    for split in range(splits):
        shares, references = simulated(rows + test, labels, seed=split)
        sets = conformal(shares[:rows], references[:rows])
        found.append(covered(shares[rows:], references[rows:], sets.least(coverage)))
    rank = np.ceil((rows + 1) * coverage)
    expected = rank / (rows + 1)  # of a beta distribution with rank and rows + 1 - rank (Angelopoulos and Bates)
    variance = expected * (1 - expected) * (1 / (rows + 2) + 1 / test)
    assert coverage <= expected < coverage + 1 / (rows + 1)
    assert abs(np.mean(found) - expected) < 4 * np.sqrt(variance / splits)
    assert 0.5 * variance < np.var(found) < 2 * variance


def test_rows_that_chose_the_temperature_would_not_do() -> None:
    """What the reserved rows are for: a model that knows the rows already needs small sets for them only."""
    shares, references = simulated(2000, 6, seed=0)
    known = shares.copy()
    known[np.arange(2000), references] += 1.0
    known /= known.sum(axis=1, keepdims=True)
    least = conformal(known, references).least(0.9)
    assert covered(shares, references, least) < 0.7


def test_quantile_by_hand() -> None:
    right = np.linspace(0.005, 0.995, 100)  # the k-th highest is 1.005 - k / 100
    sets = conformal(np.stack([right, 1 - right], axis=1), np.zeros(100, dtype=int))
    assert sets.rows == 100
    assert sets.largest == 0.99
    assert sets.least(0.9) == pytest.approx(1.005 - 91 / 100), "k = ceil(101 * 0.9) = 91"
    assert sets.least(0.5) == pytest.approx(1.005 - 51 / 100)
    assert sets.least(0.99) == pytest.approx(1.005 - 100 / 100)


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 2000), st.floats(0.5, 0.9995), st.integers(0, 1000))
def test_any_coverage_up_to_the_largest(rows: int, coverage: float, seed: int) -> None:
    shares, references = simulated(rows, 3, seed)
    sets = conformal(shares, references)
    assert rows / (rows + 1) - 1e-4 < sets.largest <= rows / (rows + 1)
    assert len(sets.least_probability) <= 60
    if coverage > sets.largest:
        return
    rank = int(np.ceil((rows + 1) * coverage - 1e-9))
    exact = np.sort(shares[np.arange(rows), references])[::-1][rank - 1]
    assert sets.least(coverage) <= exact, "in between, the next higher coverage serves"
    assert covered(shares, references, sets.least(coverage)) >= rank / rows - 1e-9
    written = json.dumps(sets.to_dict())
    assert Conformal.from_dict(json.loads(written)) == sets
    assert len(written) < 2000


def test_more_coverage_means_larger_sets() -> None:
    shares, references = simulated(3000, 10, seed=1)
    sets = conformal(shares[:500], references[:500])
    sizes = [label_sets(shares[500:], sets.least(coverage)).sum(axis=1).mean() for coverage in (0.5, 0.8, 0.95, 0.99)]
    assert sizes == sorted(set(sizes))


def test_no_set_is_empty() -> None:
    sets = label_sets(np.array([[0.4, 0.3, 0.3], [0.1, 0.0, 0.9]]), least=0.99)
    assert sets.tolist() == [[True, False, False], [False, False, True]]


@pytest.mark.parametrize(
    "data", [{}, {"rows": 3}, {"rows": "x", "least_probability": {"0.5": 1}}, {"rows": 3, "least_probability": {}}, []]
)
def test_data_of_another_form(data: Any) -> None:
    with pytest.raises(ValueError):
        Conformal.from_dict(data)
