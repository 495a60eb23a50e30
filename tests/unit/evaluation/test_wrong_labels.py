"""How many labels are wrong: neither weak probes nor few rows make many of few."""

from __future__ import annotations

import numpy as np
import pytest

from textxfer.evaluation.wrong_labels import WrongLabels, confident_joint, is_rough, wrong_labels


def drawn(rows: int, flips: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Gives probabilities of probes that are as often right as they say, three times of four; and labels, some flipped.

    What a probe says of its rows takes in that some of the labels it learned from are wrong.
    """
    rng = np.random.default_rng(seed)
    first = rng.beta(0.9, 0.9, rows)
    true = (rng.random(rows) >= first).astype(int)
    own = np.where(np.arange(rows) < round(flips * rows), 1 - true, true)
    first = first * (1 - flips) + (1 - first) * flips
    return np.stack([first, 1 - first], axis=1), own


def test_the_confident_joint_off_its_diagonal() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.1, 0.9]])
    assert confident_joint(probabilities, np.array([0, 0, 0, 1, 1])) == 1
    assert confident_joint(probabilities, np.array([0, 0, 1, 1, 1])) == 0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rows", [400, 2000])
def test_what_the_probes_do_not_know_is_no_wrong_label(rows: int, seed: int) -> None:
    """All labels are right. The probes err in a fourth of the rows, and say so."""
    probabilities, own = drawn(rows, 0, seed)
    found = wrong_labels(probabilities, own)
    assert confident_joint(probabilities, own) > 0.08 * rows
    assert found.estimated is not None
    assert found.estimated <= 0.06 * rows
    assert found.borne <= 0.03 * rows
    assert found.caveat is None


@pytest.mark.parametrize("seed", range(5))
def test_wrong_labels_are_counted(seed: int) -> None:
    probabilities, own = drawn(2000, 0.1, seed)
    found = wrong_labels(probabilities, own)
    assert confident_joint(probabilities, own) > 300
    assert found.estimated is not None
    assert 120 <= found.estimated <= 260
    assert 60 <= found.borne <= 200


def test_few_rows_bear_few_names() -> None:
    probabilities, own = drawn(160, 0.2, seed=1)
    found = wrong_labels(probabilities, own)
    assert found.borne == 8
    assert found.caveat == "80 rows a label are few"
    assert is_rough([100, 99])
    assert not is_rough([100, 100])


def test_of_few_rows_no_more_are_named_than_promised() -> None:
    own = np.arange(30) % 2
    foretold = np.where(np.arange(30) < 5, 1 - own, own)
    probabilities = np.where(np.eye(2, dtype=bool)[foretold], 0.99, 0.01)
    found = wrong_labels(probabilities, own)
    assert found.estimated == 5
    assert found.borne == 1, "2 of 30 rows are more than 5 %"


def test_rows_a_label_are_not_rounded_up() -> None:
    assert wrong_labels(*drawn(199, 0.3, seed=1)).caveat == "99 rows a label are few"


def test_sure_probes_need_no_many_rows() -> None:
    own = np.arange(30) % 3
    probabilities = np.full((30, 3), 0.01)
    probabilities[np.arange(30), own] = 0.98
    assert wrong_labels(probabilities, own) == WrongLabels(0, 0, "10 rows a label are few")


@pytest.mark.parametrize("labels", [2, 3])
def test_probes_that_know_nothing_say_nothing(labels: int) -> None:
    rng = np.random.default_rng(0)
    own = rng.permutation(np.repeat(np.arange(labels), 300))
    found = wrong_labels(rng.dirichlet(np.ones(labels), len(own)), own)
    assert (found.estimated, found.borne) == (None, 0)
    assert found.caveat is not None
    assert found.caveat.startswith("the probes foretell ")
    always = np.tile([0.9, 0.1], (400, 1))  # the most frequent label, whatever the text
    assert wrong_labels(always, (np.arange(400) % 10 == 0).astype(int)).estimated is None
