"""The learning curves of a run of several phases."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.report.dom import Page

Report = Callable[[Path], Page]


def phase(first: int, steps: int, layers: Any, trained: int) -> dict[str, Any]:
    about = {"first_step": first, "steps": steps, "frozen_layers": layers, "frozen_embeddings": layers != 0}
    return about | {"learning_rate": 5e-5, "trainable_parameters": trained}


PHASES = [phase(1, 0, "all", 1500), phase(1, 200, 4, 3_500_000), phase(201, 100, 0, 22_700_000)]


@pytest.fixture
def phased(full: Path, tmp_path: Path) -> Callable[[list[dict[str, Any]]], Path]:
    """Gives a copy of the full run with some phases."""

    def make(phases: list[dict[str, Any]]) -> Path:
        folder = shutil.copytree(full, tmp_path / "phased")
        metrics = json.loads((folder / "metrics.json").read_text())
        (folder / "metrics.json").write_text(json.dumps(metrics | {"phases": phases}))
        return folder

    return make


def test_phases_are_marked_and_listed(report: Report, phased: Callable[..., Path], page: Page) -> None:
    words = report(phased(PHASES)).words("learning")
    assert "1 – 0 all 1,500 5e-05 2 1 200 4 3,500,000 5e-05 3 201 100 0 22,700,000 5e-05" in words
    assert words.count("phase 3 begins after step 200") == 3  # once a figure, for those who hear it
    assert "phase 2 begins" not in words  # the run begins with it
    assert "phase" not in page.words("learning").lower()


def test_many_phases_have_numbers_only(report: Report, phased: Callable[..., Path]) -> None:
    words = report(phased([phase(1 + 30 * number, 30, 9 - number, 10) for number in range(9)])).words("learning")
    assert "5 begins after step 120" in words
    assert "phase 5" not in words
