"""What the curves of a run say, in words."""

from __future__ import annotations

from typing import Any

import pytest

from textxfer.evaluation.overfitting import diagnose


def curves(validation: list[float], train: list[float] | None = None, losses: list[float] | None = None) -> list[Any]:
    """Lines of a log with one evaluation an epoch, and a line of training between."""
    lines: list[Any] = [{"step": 5, "epoch": 0.5, "loss": 0.7, "grad_norm": 1.0, "learning_rate": 1e-4}]
    for place, score in enumerate(validation):
        at = {"step": 10 * (place + 1), "epoch": float(place + 1)}
        if train is not None:
            lines.append({**at, "split": "train", "accuracy": train[place]})
        loss = {} if losses is None else {"loss": losses[place]}
        lines.append({**at, "split": "validation", "accuracy": score, **loss})
    return lines


@pytest.mark.parametrize(
    ("lines", "best", "words"),
    [
        (curves([0.8, 0.85, 0.8], [0.8, 0.9, 1.0]), 20, "best after epoch 2 and then fell by 0.050"),
        (curves([0.7, 0.75, 0.75], [0.8, 0.9, 0.9]), 20, "score 0.150 more than validation"),
        (curves([0.8, 0.81], [0.8, 0.85], [0.4, 0.5]), 20, "loss has risen by 25%"),
        (curves([0.6, 0.7], [0.6, 0.7], [0.6, 0.5]), 20, "still rising at the end"),
        (curves([0.8, 0.9, 0.9], [0.8, 0.9, 0.9], [0.4, 0.3, 0.3]), 20, "No sign of overfitting"),
        (curves([0.8]), 10, "One evaluation only"),
    ],
)
def test_the_sentence_fits_the_curves(lines: list[Any], best: int, words: str) -> None:
    found = diagnose(lines, "accuracy", best)
    assert found is not None
    assert words in found.sentence


def test_gap_rise_and_epoch_are_those_of_the_best_step() -> None:
    found = diagnose(curves([0.8, 0.9, 0.85], [0.8, 0.95, 1.0], [0.5, 0.4, 0.6]), "accuracy", 20)
    assert found is not None
    assert (found.best_epoch, found.gap, found.loss_rise) == (2.0, pytest.approx(0.05), pytest.approx(1.5))


def test_a_metric_that_should_be_small_is_read_the_other_way_round() -> None:
    found = diagnose(curves([0.5, 0.3, 0.6], [0.5, 0.25, 0.1]), "accuracy", 20, greater_is_better=False)
    assert found is not None
    assert found.gap == pytest.approx(0.05)
    assert "fell by 0.300" in found.sentence


def test_no_evaluation_no_word() -> None:
    assert diagnose([{"step": 1, "loss": 0.5}], "accuracy", 1) is None


@pytest.mark.parametrize(("rows", "words"), [(36, "No sign of overfitting"), (500, "then fell by 0.029")])
def test_a_row_more_or_less_of_few_is_no_overfitting(rows: int, words: str) -> None:
    found = diagnose(curves([0.75, 0.833, 0.804], [0.8, 0.85, 0.86]), "accuracy", 20, rows=rows)
    assert found is not None
    assert words in found.sentence


def test_a_start_that_training_does_not_better_is_not_called_overfitting() -> None:
    lines = [{"step": step, "epoch": step / 11, "split": "validation", "accuracy": 0.9 - step / 50} for step in (0, 4)]
    found = diagnose(lines, "accuracy", 0)
    assert found is not None
    assert "best before the first step" in found.sentence
    assert "overfit" not in found.sentence


def test_an_epoch_is_rounded() -> None:
    lines = [
        {"step": step, "epoch": step / 11, "split": "validation", "accuracy": step / 10, "loss": 1 / (step + 1)}
        for step in (1, 8)
    ]
    found = diagnose(lines, "accuracy", 8)
    assert found is not None
    assert "(epoch 0.73)" in found.sentence
