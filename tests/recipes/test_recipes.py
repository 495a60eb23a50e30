"""Every recipe of ours loads, says what it is, and trains two steps with a tiny checkpoint in its place."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import textxfer

SMALL_DATA = Path(__file__).parents[2] / "recipes" / "small-data.yaml"
RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
FAMILY_OF = {"roberta": "roberta", "t5": "t5", "gpt2": "gpt2"}


def header(path: Path) -> str:
    lines = path.read_text().splitlines()
    return "\n".join(line for line in lines if line.startswith("#"))


def rows_for(recipe: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Gives rows under the names that the recipe says its columns have."""
    names = {"text": recipe.dataset.text, "label": recipe.dataset.label}
    return [{names.get(key, key): value for key, value in row.items()} for row in rows]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_header_says_what_how_and_how_well(path: Path) -> None:
    text = header(path)
    assert f"python -m textxfer.run recipes/{path.name}" in text
    assert re.search(r"Result: (not run yet|.*0\.\d+)", text.replace("\n# ", " ")), "what did a real run score?"


@pytest.mark.parametrize("path", [path for path in RECIPES if path != SMALL_DATA], ids=lambda path: path.stem)
def test_trains_two_steps(
    path: Path, checkpoints: Callable[[str], Path], reviews: Any, questions: Any, tmp_path: Path
) -> None:
    recipe = textxfer.load_recipe(path)
    family = next((name for prefix, name in FAMILY_OF.items() if path.stem.startswith(prefix)), "bert")
    answers = recipe.task.name == "question_answering"  # type: ignore[attr-defined]
    # The tiny checkpoints take 64 tokens, fewer than the strides of real recipes.
    lengths = ["task.max_length=48", "task.stride=8"] if answers else []
    two_steps = "train.max_steps=2"
    if recipe.train.phases is not None:
        two_steps = "train.phases=[{steps: 1, freeze: {layers: 1}}, {steps: 1}]"
    overrides = [
        f"checkpoint={checkpoints(family)}",
        two_steps,
        "train.patience=null",
        f"output.directory={tmp_path}",
        *lengths,
    ]
    splits = {"train": rows_for(recipe, questions if answers else reviews)} if recipe.dataset.hub else None
    limit = ["dataset.limit=40"] if splits is None else ["dataset.validation_fraction=0.2"]
    layers = ["freeze.layers=1"] if recipe.freeze.layers not in (0, "all") else []
    result = textxfer.run_recipe(path, *overrides, *limit, *layers, splits=splits)
    assert result.metrics["steps"] == 2
    assert (result.model / "model.safetensors").is_file()


def test_few_rows_take_a_road(bert: Path, tmp_path: Path) -> None:
    """A word about steps would turn off what the recipe is there to show."""
    overrides = [f"checkpoint={bert}", "dataset.limit=40", f"output.directory={tmp_path}"]
    result = textxfer.run_recipe(SMALL_DATA, *overrides)
    choices = json.loads((result.folder / "choices.json").read_text())
    assert choices["road"]["road"] == "contrastive"
    assert {each["head"] for each in choices["road"]["scores"]} == {"mean", "native"}
    assert result.metrics["steps"] == 0
    assert (result.model / "model.safetensors").is_file()
