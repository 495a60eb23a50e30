"""The order of ranked checkpoints."""

from __future__ import annotations

import numpy as np

from textxfer.evaluation.probing import ProbeScore
from textxfer.training.ranking import Ranked, in_order


def found(name: str, right: np.ndarray, log_evidence: float) -> tuple[Ranked, ProbeScore]:
    score = ProbeScore(right, [float(right.mean())] * 5)
    ranked = Ranked(name, score.accuracy, 0.0, log_evidence, None, 0.5, 1.0, 1000, 2, 1.2, 0.1)
    return ranked, score


def test_a_sure_lead_counts_more_than_logme() -> None:
    rows = np.arange(1000)
    order, tied = in_order([found("worse", rows < 700, 0.9), found("best", rows < 800, 0.1), found("bad", rows < 9, 1)])
    assert [each.checkpoint for each in order] == ["best", "worse", "bad"]
    assert tied == 1


def test_logme_orders_those_that_are_level_with_the_best() -> None:
    rows = np.arange(100)
    level = found("level", (rows < 40) | (rows >= 60), 0.4)  # right on other rows than the best one
    best = found("best", rows < 81, 0.1)
    worse = found("worse", rows < 20, 0.9)
    order, tied = in_order([worse, best, level])
    assert [each.checkpoint for each in order] == ["level", "best", "worse"]
    assert tied == 2
