"""Fixtures of the training room."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.training.helpers import leave_blank, make_recipe, splits
from textxfer.run import RunResult, run_recipe
from textxfer.training import few_rows, roads, trials


@pytest.fixture(autouse=True)
def blank(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports show no drawings: what these tests are about is not seen in them, and the report's own tests draw."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", leave_blank)


@pytest.fixture
def small(bert: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Gives a recipe of eight steps in this test's own folder; sections are merged in."""

    def make(**sections: Any) -> dict[str, Any]:
        return make_recipe(sections.pop("checkpoint", bert), tmp_path / "runs", **sections)

    return make


@pytest.fixture(scope="session")
def whole_run(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """The run of `small()` that nothing interrupts."""
    return run_recipe(make_recipe(bert, tmp_path_factory.mktemp("whole") / "runs"), splits=splits())


@pytest.fixture
def untouched(bert: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Gives a recipe that says nothing of how to train."""

    def make(**sections: Any) -> dict[str, Any]:
        base = {
            "name": "few",
            "checkpoint": str(bert),
            "task": {"name": "sentiment", "max_length": 32},
            "train": {"precision": "fp32"},
            "output": {"directory": str(tmp_path / "runs")},
        }
        return base | sections

    return make


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handful of steps and rows will do to compare roads."""
    monkeypatch.setattr(few_rows, "LEAST_STEPS", 4)
    monkeypatch.setattr(few_rows, "VIEWS", 1)
    monkeypatch.setattr(roads, "LEAST_COMPARED", 8)
    monkeypatch.setattr(trials, "PARTS", 2)
    monkeypatch.setattr(few_rows, "STEPS_OF_TUNING", 5)
