"""What the tests of the training room share: small rows, a small recipe, and what a run left behind."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textxfer.recipe.loading import load_recipe
from textxfer.training.observers import Observer, PhaseLog
from textxfer.training.prepare import Prepared, prepare

GOOD = ["the film was a delight", "we loved the room", "the cast was fine", "a delight, the view and the breakfast"]
BAD = ["a dull story told badly", "the soup came cold", "the waiter was rude", "no end in sight, dull and cold"]


def rows(count: int, start: int = 0) -> list[dict[str, Any]]:
    """Gives labelled texts, no two alike, of different lengths."""
    made = []
    for number in range(start, start + count):
        texts, label = ((GOOD, "good"), (BAD, "bad"))[number % 2]
        made.append({"text": f"{texts[number // 2 % 4]} {'so ' * (number % 5)}{number}", "label": label})
    return made


def splits(train: int = 28) -> dict[str, list[dict[str, Any]]]:
    """Gives 28 training rows (four steps of 8 an epoch, the last of 4), 7 for validation and 5 for the test."""
    return {"train": rows(train), "validation": rows(7, 100), "test": rows(5, 200)}


def make_recipe(checkpoint: Path, directory: Path, name: str = "tiny", **sections: Any) -> dict[str, Any]:
    """Gives a recipe of eight steps with dropout, two evaluations and a line of the log every three steps."""
    recipe: dict[str, Any] = {
        "name": name,
        "checkpoint": str(checkpoint),
        "task": {"name": "sentiment", "max_length": 32},
        "train": {"epochs": 2, "batch_size": 8, "learning_rate": 1e-3, "log_every": 3, "precision": "fp32"},
        "head": {"start": "random"},
        "output": {"directory": str(directory)},
    }
    for key, value in sections.items():
        old = recipe.get(key)
        recipe[key] = old | value if isinstance(old, dict) and isinstance(value, dict) else value
    return recipe


def prepared(recipe: dict[str, Any], given: Any = None) -> Prepared:
    """Gives what a recipe comes to on some rows, or on `splits()`, without weights."""
    return prepare(load_recipe(recipe, rows_given=True), splits() if given is None else given)


def weights(folder: Path) -> dict[str, Any]:
    """Gives the tensors of a run's model."""
    from safetensors.torch import load_file

    return load_file(folder / "model" / "model.safetensors")


def assert_same_weights(one: Path, other: Path) -> None:
    """Compares two runs' models bit for bit."""
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    different = [name for name in first if not first[name].equal(second[name])]
    assert not different


def log(folder: Path) -> list[dict[str, Any]]:
    """Gives the lines of log.jsonl."""
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def metrics(folder: Path) -> dict[str, Any]:
    """Gives metrics.json without what differs from run to run."""
    data = json.loads((folder / "metrics.json").read_text())
    data.pop("timing")
    return data


def assert_same_run(one: Path, other: Path) -> None:
    """Compares all that two finished runs left behind."""
    assert_same_weights(one, other)
    assert metrics(one) == metrics(other)
    assert log(one) == log(other)
    assert (one / "predictions.jsonl").read_text() == (other / "predictions.jsonl").read_text()
    for folder in (one, other):
        assert left_behind(folder) == []


def left_behind(folder: Path) -> list[str]:
    """Gives what a finished run should not have left, in its folder or beside it."""
    wanted = {
        "recipe.yaml",
        "environment.json",
        "log.jsonl",
        "metrics.json",
        "predictions.jsonl",
        "report.html",
        "findings.json",
        "verification.json",
        "suspects.csv",
        "suspects.json",
        "model",
    }
    inside = [path.name for path in folder.iterdir() if path.name not in wanted]
    inside += [path.name for path in (folder / "model").iterdir() if "tmp" in path.name]
    return inside + [path.name for path in folder.parent.iterdir() if path.name.startswith(f".{folder.name}.")]


def leave_blank(drawing: Any, file: Any, **_: Any) -> None:
    """Stands for matplotlib's `Figure.savefig`, which takes a third of the time of a tiny run."""
    file.write('<svg viewBox="0 0 1 1"><defs></defs></svg>')


class Watcher(Observer):
    """Keeps what it is told, and calls `act` at one event of one step."""

    def __init__(self, event: str = "", step: int | None = None, act: Callable[[], None] = lambda: None) -> None:
        self.event, self.step, self.act = event, step, act
        self.notes: list[str] = []
        self.steps: list[int] = []
        self.logs: list[Any] = []
        self.scores: list[tuple[int, Any, bool]] = []
        self.phases: list[PhaseLog] = []

    def on_note(self, note: str) -> None:
        self.notes.append(note)

    def on_start(self, step: int, steps: int, examples_per_step: int) -> None:
        self._meet("on_start", step)

    def on_phase(self, phase: PhaseLog) -> None:
        self.phases.append(phase)

    def on_step(self, step: int) -> None:
        self.steps.append(step)
        self._meet("on_step", step)

    def on_log(self, log: Any) -> None:
        self.logs.append(log)
        self._meet("on_log", log.step)

    def on_scores(self, step: int, epoch: float, split: str, scores: Any, best: bool) -> None:
        self.scores.append((step, scores, best))
        if split == "validation":  # a signal for each split would be two, and the second stops at once
            self._meet("on_scores", step)

    def _meet(self, event: str, step: int) -> None:
        if event == self.event and self.step in (None, step):
            self.act()


def signaller(event: str, step: int, number: int) -> Watcher:
    """Gives an observer that sends this process a signal."""
    return Watcher(event, step, lambda: os.kill(os.getpid(), number))
