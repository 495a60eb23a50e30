from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from textxfer.errors import RecipeError
from textxfer.recipe.loading import load_recipe

BASE = "checkpoint: some/model\ndataset: data\ntask: sentiment\n"
"""The least a recipe can say."""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a recipe file and gives its path."""

    def to_file(text: str, name: str = "r.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return to_file


@pytest.fixture
def problems(write: Callable[..., Path], tmp_path: Path) -> Callable[..., list[str]]:
    """Gives the problems of a recipe's text, without the folder in front; [] where it is right."""

    def find(text: str, *overrides: str) -> list[str]:
        path = write(text)
        try:
            load_recipe(path, *overrides)
        except RecipeError as error:
            return [line.replace(f"{tmp_path}/", "") for line in error.lines]
        return []

    return find
