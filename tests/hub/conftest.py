"""Fixtures: a loopback Hub, and users of it with empty caches."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hub.client import Client
from tests.hub.server import Hub
from tests.hub.storage import Account

TOKENS = {
    "token-of-user": Account("user", organizations=("team",)),
    "token-of-reader": Account("user", role="read"),
    "token-of-stranger": Account("stranger"),
}


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A Hub without repositories that knows `user`, a read-only token of theirs, and `stranger`."""
    with Hub() as running:
        for token, account in TOKENS.items():
            running.add_account(token, account)
        yield running


@pytest.fixture
def client(hub: Hub, tmp_path: Path) -> Callable[..., Client]:
    """Makes a user of the Hub with an empty HF_HOME, an empty folder to work in, and environment variables as given."""
    numbers = itertools.count()

    def make(token: str | None = None, **settings: Any) -> Client:
        place = tmp_path / f"client-{next(numbers)}"
        folder = place / "work"
        folder.mkdir(parents=True)
        return Client(hub.url, place / "home", folder, token, {name: str(value) for name, value in settings.items()})

    return make


@pytest.fixture
def reviews_csv(reviews: list[dict[str, Any]], write_csv: Callable[..., Path], tmp_path: Path) -> dict[str, bytes]:
    """The files of a data set repository: forty rows to train on, twelve to validate, eight to test."""
    parts = {"train": reviews, "validation": reviews[:12], "test": reviews[12:20]}
    card = b"---\nlicense: apache-2.0\n---\n# Reviews\n"
    files = {f"{name}.csv": write_csv(tmp_path / "reviews" / f"{name}.csv", rows) for name, rows in parts.items()}
    return {"README.md": card} | {name: path.read_bytes() for name, path in files.items()}


@pytest.fixture
def hub_recipe() -> Callable[..., dict[str, Any]]:
    """Gives a recipe of two steps whose checkpoint and rows come from the Hub."""

    def make(**changes: Any) -> dict[str, Any]:
        return {
            "name": "from-hub",
            "checkpoint": "user/tiny@v1",
            "dataset": {"hub": "user/reviews"},
            "task": {"name": "sentiment", "max_length": 32},
            "train": {"max_steps": 2, "batch_size": 4, "log_every": 1, "precision": "fp32"},
        } | changes

    return make
