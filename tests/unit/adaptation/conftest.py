"""Texts of a small domain, and a checkpoint adapted to them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.trained import BAD, GOOD
from textxfer.adaptation import adapt as room
from textxfer.adaptation.adapt import Adapted
from textxfer.adaptation.before_task import work_of
from textxfer.adaptation.work import Work
from textxfer.modeling.checkpoint import open_checkpoint
from textxfer.recipe.sections import Adapt
from textxfer.training.precision import make_accelerator

SMALL = {"epochs": 2, "batch_size": 16, "learning_rate": 5e-3, "max_length": 32}


def adapt(work: Work, folder: Path, **how: Any) -> Adapted:
    """Adapts in fp32."""
    return room.adapt(work, folder, make_accelerator("fp32"), **how)


def domain(count: int = 80) -> list[str]:
    """Gives texts, no two alike."""
    return [f"{(GOOD + BAD)[number % 8]} {'so ' * (number % 4)}number {number}" for number in range(count)]


@pytest.fixture
def texts_file(tmp_path: Path) -> Path:
    """A file with a text a line."""
    path = tmp_path / "domain.txt"
    path.write_text("\n".join(domain()))
    return path


@pytest.fixture
def make_work(checkpoints: Callable[[str], Path], texts_file: Path) -> Callable[..., Work]:
    """Prepares a small adaptation of a family's tiny checkpoint, or of one in a folder."""

    def make(family: str | Path = "bert", **changes: Any) -> Work:
        folder = family if isinstance(family, Path) else checkpoints(family)
        settings = Adapt(texts=(str(texts_file),), **(SMALL | changes))
        return work_of(settings, open_checkpoint(str(folder)), None, "no")

    return make
