from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.report.dom import Page
from tests.unit.report.made import write_answers, write_run
from textxfer.report.html import render


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with every file and key; read it, do not change it."""
    return write_run(tmp_path_factory.mktemp("report") / "full", labels=6, rows=200)


@pytest.fixture(scope="session")
def page(full: Path) -> Page:
    """The report of that run."""
    return Page(render(full))


@pytest.fixture(scope="session")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The report of a run on questions."""
    return Page(render(write_answers(tmp_path_factory.mktemp("report") / "answers")))


@pytest.fixture
def report() -> Callable[[Path], Page]:
    """Renders a run folder and takes the page apart."""
    return lambda folder: Page(render(folder))
