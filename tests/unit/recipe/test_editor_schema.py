"""The schema for editors and the reference for people say what the loader does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from tests.unit.recipe.json_schema import accepts
from tests.unit.recipe.strategies import recipes
from textxfer import registry
from textxfer.recipe import editor_schema
from textxfer.recipe.reading import read_text
from textxfer.recipe.schema import Recipe

RECIPES = Path(__file__).parents[3] / "recipes"
SCHEMA = editor_schema.json_schema()
LEAST = {"checkpoint": "a/b", "dataset": "d", "task": "topic"}


def test_the_schema_in_recipes_is_up_to_date() -> None:
    file, command = RECIPES / "recipe.schema.json", editor_schema.COMMANDS[0]
    assert json.loads(file.read_text(encoding="utf-8")) == SCHEMA, f"{file.name} is out of date; run: {command}"


def test_the_reference_in_recipes_is_up_to_date() -> None:
    file, command = RECIPES / "REFERENCE.md", editor_schema.COMMANDS[1]
    assert file.read_text(encoding="utf-8") == editor_schema.reference(), f"{file.name} is out of date; run: {command}"


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_schema_takes_our_own_recipes(path: Path) -> None:
    assert accepts(SCHEMA, read_text(path.read_text(encoding="utf-8"), path.name).data)


@settings(deadline=None)
@given(recipes)
def test_the_schema_takes_what_the_loader_takes(recipe: dict[str, Any]) -> None:
    assert accepts(SCHEMA, recipe)


@pytest.mark.parametrize(
    "change",
    [
        {"task": {"name": "topic", "labels": [1, "b", True]}},
        {"plugins": ["./mine.py"], "task": "mine"},
        {"plugins": ["./mine.py"], "task": {"name": "mine", "anything": 1}},
        {"evaluate": {"metrics": ["accuracy", "one_of_a_plugin"]}},
        {"head": "mlp"},
        {"head": {"start": "random"}},
        {"head": {"name": "native", "start": "probe"}},
        {"head": {"name": "mlp", "hidden": [], "pooling": "max"}},
        {"plugins": ["./mine.py"], "head": {"name": "mine", "anything": 1}},
        {"freeze": {"layers": "all"}},
        {"train": {"class_weights": {"a": 1, "b": 2.5}, "micro_batch_size": "auto"}},
        {"train": {"prefix_cache": {"memory": "4GiB"}}},
        {"train": {"prefix_cache": "off"}},
        {"name": "a-b.c_1", "output": {"directory": "/tmp"}},
    ],
)
def test_the_schema_takes(change: dict[str, Any]) -> None:
    assert accepts(SCHEMA, LEAST | change)


@pytest.mark.parametrize(
    "change",
    [
        {"trian": {}},
        {"task": "sentimant"},
        {"task": {"name": "topic", "stride": 1}},
        {"task": {"max_length": 64}},
        {"dataset": {"path": "d", "colour": "red"}},
        {"head": "mpl"},
        {"head": {"hidden": [8]}},
        {"head": {"name": "mean", "pooling": "max"}},
        {"head": {"name": "mlp", "hidden": [0]}},
        {"train": {"epochs": 0}},
        {"train": {"seed": -1}},
        {"train": {"seeds": [1, -2]}},
        {"train": {"seed": 2**32}},
        {"dataset": {"path": "d", "split_seed": -1}},
        {"adapt": {"texts": "task", "seed": -1}},
        {"train": {"epochs": 1.5}},
        {"train": {"learning_rate": 0}},
        {"train": {"precision": "fp8"}},
        {"freeze": {"layers": "some"}},
        {"train": {"class_weights": {"a": 0}}},
        {"train": {"prefix_cache": {"memory": "much"}}},
        {"evaluate": {"metrics": []}},
        {"name": "a/b"},
    ],
)
def test_the_schema_refuses(change: dict[str, Any]) -> None:
    assert not accepts(SCHEMA, LEAST | change)


@pytest.mark.parametrize("section", ["checkpoint", "dataset", "task"])
def test_what_is_needed_may_stand_in_the_extended_recipe(section: str) -> None:
    without = {key: value for key, value in LEAST.items() if key != section}
    assert not accepts(SCHEMA, without)
    assert accepts(SCHEMA, without | {"extends": "base.yaml"})
    assert accepts(SCHEMA, {"extends": "base.yaml", "task": {"max_length": 64}})


def test_every_field_is_explained_in_both() -> None:
    reference = editor_schema.reference()
    parts = [SCHEMA, *SCHEMA["$defs"].values()]
    for part in parts:
        for name, field in part["properties"].items():
            described = field.get("description") or "$ref" in field or "anyOf" in field
            assert described, name
            assert f"`{name}`" in reference, name
    assert set(Recipe.model_fields) == set(SCHEMA["properties"])


def test_the_reference_names_every_task_and_metric() -> None:
    reference = editor_schema.reference()
    assert reference.startswith("<!-- Generated; do not edit.")
    for name in (*registry.built_in("tasks"), *registry.built_in("heads"), *registry.built_in("metrics")):
        assert name in reference


def test_the_reference_says_type_default_and_meaning_in_words() -> None:
    lines = editor_schema.reference().splitlines()
    for line in (
        "| `epochs` | whole number from 1 | `3` | Passes over the training rows. |",
        "| `weight_decay` | number from 0 | `0.01` | AdamW's weight decay; norms and biases have none. |",
        "| `multi_label` | true or false | `false` | Whether a text may have any number of labels; see "
        "`dataset.label_delimiter`. |",
    ):
        assert line in lines
    assert any(line.startswith("| `id` | text |  | A folder") for line in lines)
    assert any(line.startswith("| `memory` | a size such as `4GiB`") for line in lines)
    assert any(line.startswith("| `layers` | whole number from 0, or `all`, `auto` | `0` |") for line in lines)


def test_what_plugins_register_changes_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {("metrics", "mine"): (object(), __name__)})
    assert "mine" in registry.names("metrics")
    assert editor_schema.json_schema() == SCHEMA
