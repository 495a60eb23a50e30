"""Fixtures of the training room."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.training.helpers import make_recipe, splits
from textxfer.run import RunResult, run_recipe


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
