"""Fixtures for all tests: no network, tiny checkpoints, small data, one thread."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Tiny models are no faster on several threads, golden losses hold for one, and a process with threads cannot be forked.
os.environ["OMP_NUM_THREADS"] = "1"

import csv
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from tests.trained import train

# A shell without job control starts background jobs with Ctrl-C ignored; the tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips GPU tests where there is no GPU."""
    wanted = [item for item in items if item.get_closest_marker("gpu")]
    if wanted:
        import torch

        if not torch.cuda.is_available():
            for item in wanted:
                item.add_marker(pytest.mark.skip(reason="no CUDA GPU"))


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the folder of a family's tiny checkpoint, made once."""
    made: dict[str, Path] = {}

    def get(family: str = "bert") -> Path:
        if family not in made:
            made[family] = tiny.make_checkpoint(tmp_path_factory.mktemp("checkpoints") / family, family)
        return made[family]

    return get


@pytest.fixture(scope="session")
def bert(checkpoints: Callable[[str], Path]) -> Path:
    """The folder of a tiny BERT."""
    return checkpoints("bert")


@pytest.fixture
def reviews() -> list[dict[str, Any]]:
    """Forty rows with two labels that a tiny model can learn."""
    good = ["the film was a delight", "we loved the room", "the cast was fine", "a delight, the view and the breakfast"]
    bad = ["a dull story told badly", "the soup came cold", "the waiter was rude", "no end in sight, dull and cold"]
    rows = []
    for number in range(20):
        rows.append({"text": f"{good[number % 4]} {'so ' * (number % 5)}", "label": "good"})
        rows.append({"text": f"{bad[number % 4]} {'so ' * (number % 3)}", "label": "bad"})
    return rows


@pytest.fixture
def questions() -> list[dict[str, Any]]:
    """Twenty questions on ten contexts, a fifth of them without an answer."""
    rows = []
    for number in range(10):
        hour = ["nine", "six", "the old library", "weekdays"][number % 4]
        context = (
            f"note {number}: the library opens at {hour} and closes at night. we loved the view and the breakfast."
        )
        start = context.index(hour)
        answers = {"text": [hour], "answer_start": [start]}
        empty = {"text": [], "answer_start": []}
        rows.append(
            {"id": f"q{number}a", "question": "when opens the library?", "context": context, "answers": answers}
        )
        second = empty if number % 5 < 2 else {"text": ["the view"], "answer_start": [context.index("the view")]}
        rows.append({"id": f"q{number}b", "question": "what was loved?", "context": context, "answers": second})
    return rows


@pytest.fixture
def write_csv() -> Callable[[Path, list[dict[str, Any]]], Path]:
    """Writes rows to a csv file and gives its path."""

    def write(path: Path, rows: list[dict[str, Any]]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return path

    return write


@pytest.fixture
def recipe(bert: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Gives a small recipe as a mapping, on the tiny BERT; sections are merged in."""

    def make(**sections: Any) -> dict[str, Any]:
        base: dict[str, Any] = {
            "name": "tiny",
            "checkpoint": str(bert),
            "task": {"name": "sentiment", "max_length": 32},
            "train": {"epochs": 2, "batch_size": 8, "learning_rate": 1e-3, "log_every": 1, "precision": "fp32"},
            "head": {"start": "random"},  # a fitted head would know all of so few rows at once
            "output": {"directory": str(tmp_path / "runs")},
        }
        for key, value in sections.items():
            old = base.get(key)
            base[key] = old | value if isinstance(old, dict) and isinstance(value, dict) else value
        return base

    return make


@pytest.fixture(scope="session")
def trained(checkpoints: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Gives the run folder of a family's tiny checkpoint after some steps of a task, made once."""
    made: dict[tuple[str, str], Path] = {}

    def get(family: str = "bert", task: str = "sentiment") -> Path:
        if (family, task) not in made:
            made[family, task] = train(checkpoints(family), task, tmp_path_factory.mktemp(f"runs-{family}"))
        return made[family, task]

    return get


@pytest.fixture(scope="session")
def with_head(checkpoints: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Gives the run folder of a tiny checkpoint that was trained under a head of textxfer's, made once."""
    made: dict[tuple[str, str, str], Path] = {}

    def get(family: str = "bert", task: str = "sentiment", pooling: str = "mean") -> Path:
        key = (family, task, pooling)
        if key not in made:
            head = {"name": "mlp", "pooling": pooling, "hidden": [8], "start": "random"}
            made[key] = train(checkpoints(family), task, tmp_path_factory.mktemp("-".join(key)), head=head)
        return made[key]

    return get
