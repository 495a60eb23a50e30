"""How many layers `freeze.layers: auto` freezes, by the scores of the layers."""

from __future__ import annotations

import numpy as np
import pytest

from textxfer.evaluation.probing import ProbeScore
from textxfer.training.depth import decide


def scores(*accuracies: float, rows: int = 1000) -> list[ProbeScore]:
    """Gives scores whose right rows lie within each other, so that any lead of some rows is a sure one."""
    return [ProbeScore(np.arange(rows) < round(share * rows), [share] * 5) for share in accuracies]


@pytest.mark.parametrize(
    ("accuracies", "layers"),
    [
        ((0.5, 0.6, 0.7, 0.705, 0.7, 0.705, 0.7), 2),
        ((0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7), 0),
        ((0.8, 0.7, 0.6, 0.5, 0.5, 0.5, 0.5), 0),
        ((0.5, 0.7, 0.3, 0.3, 0.3, 0.3, 0.3), 1),
        ((0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7), 2),
        ((0.5, 0.6), 0),
    ],
    ids=["level at 2", "flat", "falling", "one good layer", "rising to the top", "one layer"],
)
def test_the_first_layer_that_is_as_good_as_any(accuracies: tuple[float, ...], layers: int) -> None:
    found, sentence = decide(scores(*accuracies))
    assert found == layers
    assert f"{max(accuracies):.3f}" in sentence or f"{accuracies[found]:.3f}" in sentence


def test_a_rise_within_the_noise_is_none() -> None:
    """The same lead counts where the same rows are right, and not where they are others."""
    rows = np.arange(60)
    low, high, surer = rows < 36, (rows >= 10) & (rows < 50), rows < 40
    assert high.sum() == surer.sum()
    score, others, nested = (ProbeScore(right, [0.6]) for right in (low, high, surer))
    assert decide([score, *[others] * 4])[0] == 0
    assert decide([score, *[nested] * 4])[0] == 1
