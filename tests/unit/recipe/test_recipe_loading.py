"""What `load_recipe` makes of a right recipe: shorthands, paths, overrides, extends."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.recipe.conftest import BASE
from textxfer.errors import RecipeError
from textxfer.recipe.loading import load_recipe
from textxfer.recipe.schema import Recipe

LEAST = {"checkpoint": "some/model", "dataset": "data", "task": "sentiment"}


def test_the_least_recipe_has_the_documented_defaults(write: Callable[..., Path], tmp_path: Path) -> None:
    recipe = load_recipe(write(BASE, "first-try.yaml"))
    assert (recipe.name, recipe.folder) == ("first-try", Path("runs/first-try"))
    assert recipe.dataset.path == str(tmp_path / "data")
    assert (recipe.task.name, recipe.task.max_length) == ("sentiment", 256)
    assert (recipe.freeze.layers, recipe.freeze.embeddings) == (0, None)
    assert recipe.evaluate.metrics == ("accuracy", "macro_f1")
    assert load_recipe({**LEAST, "task": "question_answering"}).evaluate.metrics == ("exact_match", "answer_f1")
    assert load_recipe({**LEAST, "task": {"name": "sentiment", "ordered": True}}).evaluate.metrics[2:] == (
        "mean_distance",
        "within_one",
    )


def test_a_loaded_recipe_cannot_be_changed() -> None:
    recipe = load_recipe(LEAST)
    with pytest.raises(ValueError, match="frozen"):
        recipe.train.epochs = 5


def test_a_mapping_says_the_same_as_a_file(write: Callable[..., Path]) -> None:
    path = write(BASE + "train: {epochs: 2}\n", "run.yaml")
    same = LEAST | {"dataset": path.parent / "data", "train": {"epochs": 2}}
    assert load_recipe(same) == load_recipe(path)


def test_a_mapping_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(BASE)
    mapping: dict[str, Any] = {"extends": str(tmp_path / "base.yaml"), "task": {"labels": ["a", "b"]}}
    load_recipe(mapping, "train.epochs=1")
    assert mapping == {"extends": str(tmp_path / "base.yaml"), "task": {"labels": ["a", "b"]}}


def test_rows_from_python_need_no_data_set() -> None:
    without = {key: value for key, value in LEAST.items() if key != "dataset"}
    assert load_recipe(without, rows_given=True).dataset.path is None
    with pytest.raises(RecipeError, match="dataset: is missing"):
        load_recipe(without)


# Checkpoints


@pytest.mark.parametrize(
    ("written", "name", "revision"),
    [
        ("org/name", "org/name", None),
        ("org/name@v1.0", "org/name", "v1.0"),
        ("org/name@refs/pr/3", "org/name", "refs/pr/3"),
        ("bert@main", "bert", "main"),
        ({"id": "org/name", "revision": "abc"}, "org/name", "abc"),
        ("package:some_package/model", "package:some_package/model", None),
    ],
)
def test_a_checkpoint_and_its_revision(written: Any, name: str, revision: str | None) -> None:
    checkpoint = load_recipe({**LEAST, "checkpoint": written}).checkpoint
    assert (checkpoint.id, checkpoint.revision) == (name, revision)


def test_a_folder_is_no_hub_id(write: Callable[..., Path], tmp_path: Path) -> None:
    """A folder beside the recipe goes before a Hub id of that name, also where its name has an @."""
    for folder in ("org/name", "v@2"):
        (tmp_path / folder).mkdir(parents=True)
        path = write(f"checkpoint: {folder}\ndataset: d\ntask: topic\n")
        assert load_recipe(path).checkpoint.id == str(tmp_path / folder)
        assert load_recipe(path).checkpoint.revision is None
    missing = load_recipe(write("checkpoint: ./not@here\ndataset: d\ntask: topic\n")).checkpoint
    assert (missing.id, missing.revision) == (str(tmp_path / "not@here"), None)


def test_paths_are_relative_to_the_real_place_of_the_recipe(write: Callable[..., Path], tmp_path: Path) -> None:
    path = write("checkpoint: a/b\ndataset: ../data\ntask: topic\n", "deep/below/r.yaml")
    (tmp_path / "link").symlink_to(path.parent)
    assert load_recipe(tmp_path / "link" / "r.yaml").dataset.path == str(tmp_path / "deep" / "data")


# Overrides


def test_overrides_are_read_like_the_recipe(write: Callable[..., Path]) -> None:
    recipe = load_recipe(
        write(BASE),
        "train.learning_rate=5e-5",
        "task.labels=[no, yes]",
        "freeze={layers: 2}",
        "freeze.embeddings=false",
        "train.class_weights.no=2.5",
        "train.dropout=",
        "name='012'",
    )
    assert recipe.train.learning_rate == 5e-5
    assert recipe.task.labels == ("no", "yes")
    assert (recipe.freeze.layers, recipe.freeze.embeddings) == (2, False)
    assert recipe.train.class_weights == {"no": 2.5}
    assert recipe.train.dropout is None
    assert recipe.name == "012"


def test_an_override_may_be_a_shorthand(write: Callable[..., Path]) -> None:
    path = write("checkpoint: a/b@v1\ndataset: {hub: c/d, revision: v2, text: words}\ntask: sentiment\n")
    recipe = load_recipe(path, "checkpoint=e/f", "dataset=here.csv", "task=topic", "task.multi_label=true")
    assert (recipe.checkpoint.id, recipe.checkpoint.revision) == ("e/f", None)
    assert (recipe.dataset.hub, recipe.dataset.revision, recipe.dataset.text) == (None, None, "words")
    assert recipe.dataset.path == os.path.abspath("here.csv")
    assert (recipe.task.name, recipe.task.multi_label) == ("topic", True)


@pytest.mark.parametrize("order", [1, -1])
def test_overrides_stand_in_any_order(write: Callable[..., Path], order: int) -> None:
    path = write("checkpoint: a/b@v1\ndataset: d\ntask: topic\n")
    checkpoint = load_recipe(path, *["checkpoint.revision=v3", "checkpoint.id=e/f"][::order]).checkpoint
    assert (checkpoint.id, checkpoint.revision) == ("e/f", "v3")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=1", "command line: train.epoch: unknown key `epoch`; did you mean `epochs`?"),
        ("train.epochs=one", "command line: train.epochs: must be a whole number, not `one`"),
        ("epochs=1", "command line: epochs: unknown key `epochs`"),
        ("train.epochs", "command line: `train.epochs` is not of the form key=value"),
        ("=1", "command line: `=1` is not of the form key=value"),
        ("train..epochs=1", "command line: `train..epochs=1` is not of the form key=value"),
        ("train.epochs=[1", "command line: train.epochs: `[1` is not YAML: a `[` opens here that is not closed"),
        ("train.epochs=!!int x", "command line: train.epochs: `!!int x`: cannot be read by its tag"),
        ("task=topics", "command line: task.name: unknown task `topics`; did you mean `topic`?"),
        ("extends=base.yaml", "command line: extends: stands in a recipe, not on the command line"),
        ("train.patience=9", "command line: train.patience: is 9, but 3 epochs are evaluated 3 times"),
        ("checkpoint=a@", "command line: checkpoint.id: `a@` is not of the form id@revision"),
        ("train=5", "command line: train: must be a section of `key: value` lines, not `5`"),
    ],
)
def test_a_wrong_override_is_told_as_the_command_line(
    override: str, message: str, problems: Callable[..., list[str]]
) -> None:
    [problem] = problems(BASE, override)
    assert problem.startswith(message)


def test_an_override_mends_a_recipe(problems: Callable[..., list[str]]) -> None:
    assert problems(BASE + "train: {epochs: 0}\n", "train.epochs=1") == []
    assert problems(BASE + "train: {patience: 3}\n", "train.epochs=9") == []


# Extends


def test_a_recipe_extends_another(write: Callable[..., Path], tmp_path: Path) -> None:
    write(
        "name: base\ncheckpoint: a/b@v1\ndataset: {path: data, text: words}\ntask: {name: topic, max_length: 64}\n"
        "train: {epochs: 2, seed: 1}\nplugins: [none.py]\n",
        "shared/base.yaml",
    )
    (tmp_path / "shared" / "none.py").write_text("")
    child = load_recipe(write("extends: shared/base.yaml\ntask: {labels: [x, y]}\ntrain: {seed: 7}\n", "child.yaml"))
    assert child.name == "child"
    assert (child.checkpoint.id, child.checkpoint.revision) == ("a/b", "v1")
    assert (child.dataset.path, child.dataset.text) == (str(tmp_path / "shared" / "data"), "words")
    assert (child.task.max_length, child.task.labels) == (64, ("x", "y"))
    assert (child.train.epochs, child.train.seed) == (2, 7)
    assert child.plugins == (str(tmp_path / "shared" / "none.py"),)


def test_another_checkpoint_or_data_set_takes_back_what_belonged_to_the_first(write: Callable[..., Path]) -> None:
    write("checkpoint: a/b@v1\ndataset: {hub: c/d, config: x, revision: v2, limit: 5}\ntask: topic\n", "base.yaml")
    child = load_recipe(write("extends: base.yaml\ncheckpoint: e/f\ndataset: rows.csv\n"))
    assert (child.checkpoint.id, child.checkpoint.revision) == ("e/f", None)
    assert (child.dataset.hub, child.dataset.config, child.dataset.revision) == (None, None, None)
    assert child.dataset.limit == 5


def test_mistakes_of_both_recipes_have_their_own_places(write: Callable[..., Path], tmp_path: Path) -> None:
    write(BASE + "train: {epoch: 2}\n", "base.yaml")
    path = write("extends: base.yaml\ntrain: {sed: 2}\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    base, child = (line.replace(f"{tmp_path}/", "") for line in caught.value.lines)
    assert base.startswith("base.yaml:4:9: train.epoch: unknown key `epoch`; did you mean `epochs`?")
    assert child.startswith("r.yaml:2:9: train.sed: unknown key `sed`; did you mean `seed`?")


def test_extending_stops_after_one_level(write: Callable[..., Path]) -> None:
    write(BASE, "a.yaml")
    write("extends: a.yaml\n", "b.yaml")
    with pytest.raises(RecipeError, match=r"b\.yaml:1:1: extends: a recipe that is extended cannot extend another"):
        load_recipe(write("extends: b.yaml\n", "c.yaml"))
    with pytest.raises(RecipeError, match="cannot extend another"):
        load_recipe(write("extends: me.yaml\n", "me.yaml"))


def test_extending_what_is_not_there(write: Callable[..., Path]) -> None:
    path = write("extends: gone.yaml\ntrain: {epoch: 2}\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    text = str(caught.value)
    assert "r.yaml:1:1: extends: " in text
    assert "gone.yaml: there is no such recipe" in text
    assert "train.epoch: unknown key" in text


def test_a_mapping_can_extend_a_file(write: Callable[..., Path]) -> None:
    path = write(BASE + "train: {epochs: 9}\n")
    assert load_recipe({"extends": str(path), "train": {"seed": 3}}).train.epochs == 9


def test_recipe_is_the_public_class() -> None:
    assert isinstance(load_recipe(LEAST), Recipe)
