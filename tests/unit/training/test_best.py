"""The best weights so far, and when patience runs out."""

from __future__ import annotations

import pytest
import torch

from textxfer.records import Scores
from textxfer.training.best import Best
from textxfer.training.progress import Progress


class Judged:
    """A one-weight model, and an evaluation that gives one value after another."""

    def __init__(self, values: list[float], **options: object) -> None:
        self.model = torch.nn.Linear(1, 1, bias=False)
        self.model.register_parameter("still", torch.nn.Parameter(torch.ones(1), requires_grad=False))
        self.values = iter(values)
        self.best = Best(self.model, self.scores, "metric", **options)  # type: ignore[arg-type]
        self.progress = Progress()

    def scores(self) -> Scores:
        value = next(self.values)
        return Scores({} if value is None else {"metric": value}, 1, {})

    def look(self, step: int) -> bool:
        """Gives the weight the number of the step, and evaluates."""
        with torch.no_grad():
            self.model.weight.fill_(float(step))
        self.progress.step = step
        return self.best.look(self.progress)[1]


@pytest.mark.parametrize(
    ("greater", "values", "bests", "kept"),
    [
        (True, [0.1, 0.3, 0.2], [True, True, False], 2),
        (True, [0.3, 0.3, 0.3], [True, False, False], 1),
        (False, [0.3, 0.1, 0.2], [True, True, False], 2),
        (False, [0.0, 1.0, 2.0], [True, False, False], 1),
        (True, [0.0, 0.0, 0.5], [True, False, True], 3),
        (True, [None, 0.0, None], [True, True, False], 2),
        (False, [None, 9.0, None], [True, True, False], 2),
        (True, [None, None], [True, False], 1),
    ],
)
def test_the_best_weights_are_kept(greater: bool, values: list[float], bests: list[bool], kept: int) -> None:
    judged = Judged(values, greater_is_better=greater)
    assert [judged.look(step + 1) for step in range(len(values))] == bests
    assert judged.progress.best_step == kept
    assert judged.progress.evaluated_step == len(values)
    judged.best.restore()
    assert judged.model.weight.item() == kept


def test_only_what_is_trained_is_kept_and_on_the_cpu() -> None:
    judged = Judged([0.5])
    judged.look(1)
    assert list(judged.best.weights) == ["weight"]
    assert judged.best.weights["weight"].device.type == "cpu"
    with torch.no_grad():
        judged.model.weight.fill_(9.0)
    assert float(judged.best.weights["weight"]) == 1.0


@pytest.mark.parametrize(("patience", "stops_at"), [(1, 2), (2, 5), (3, 6), (None, None)])
def test_patience_counts_evaluations_without_gain(patience: int | None, stops_at: int | None) -> None:
    judged = Judged([0.5, 0.4, 0.6, 0.1, 0.6, 0.5], patience=patience)
    stopped = []
    for step in range(1, 7):
        judged.look(step)
        if judged.progress.stopped_early:
            stopped.append(step)
    assert (stopped[0] if stopped else None) == stops_at
