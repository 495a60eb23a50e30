"""The resolved recipe repeats the run: written and read again, it is the same recipe."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings

from tests.unit.recipe.strategies import recipes
from textxfer.recipe.loading import load_recipe
from textxfer.recipe.schema import Recipe
from textxfer.recipe.writing import to_yaml


def again(recipe: Recipe, folder: Path) -> Recipe:
    """Reads what a run would write into `folder`."""
    path = folder / "recipe.yaml"
    path.write_text(to_yaml(recipe.resolved(folder)), encoding="utf-8")
    return load_recipe(path)


@settings(deadline=None, max_examples=150)
@given(recipes)
def test_the_resolved_recipe_loads_to_an_equal_one(mapping: dict[str, Any]) -> None:
    recipe = load_recipe(mapping)
    with tempfile.TemporaryDirectory() as folder:
        assert again(recipe, Path(folder)) == recipe


def test_every_default_is_spelled_out(tmp_path: Path) -> None:
    recipe = load_recipe({"checkpoint": "a/b", "dataset": "d", "task": "topic"})
    resolved = recipe.resolved(tmp_path)
    assert resolved["train"].keys() == type(recipe.train).model_fields.keys()
    assert resolved["task"] == {"name": "topic", "labels": None, "multi_label": False, "max_length": 256}
    assert resolved["evaluate"]["metrics"] == ["accuracy", "macro_f1"]
    assert "extends" not in resolved


def test_paths_hold_from_the_run_folder(tmp_path: Path, monkeypatch: Any) -> None:
    """Also where the folder of runs is a link to another disk, and where a file's name could be a Hub id or a home."""
    disk = tmp_path / "disk" / "far" / "away"
    for folder in (disk, tmp_path / "home" / "org" / "name", tmp_path / "home" / "v@2", tmp_path / "home" / "~x"):
        folder.mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "home")
    (tmp_path / "home" / "runs").symlink_to(disk)
    for checkpoint in ("org/name", "v@2", "./~x"):
        recipe = load_recipe({"checkpoint": checkpoint, "dataset": "./~rows.csv", "task": "topic"})
        for folder in (Path("runs/mine"), tmp_path / "home"):
            folder.mkdir(exist_ok=True)
            resolved = recipe.resolved(folder)
            assert resolved["dataset"]["path"].startswith(".")
            assert again(recipe, folder) == recipe


def test_a_recipe_that_extended_another_stands_alone(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("checkpoint: a/b\ndataset: rows\ntask: topic\n")
    (tmp_path / "child.yaml").write_text("extends: base.yaml\ntrain: {seed: 3}\n")
    recipe = load_recipe(tmp_path / "child.yaml")
    (tmp_path / "run").mkdir()
    repeated = again(recipe, tmp_path / "run")
    assert repeated == recipe
    assert repeated.train.seed == 3


def test_checkpoints_to_choose_from_hold_from_the_run_folder(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org" / "name").mkdir(parents=True)
    names = ["org/name", "org/other@v1", "./here", "package:some/where"]
    recipe = load_recipe({"checkpoint": {"auto": names}, "dataset": "d", "task": "topic", "freeze": {"layers": "auto"}})
    assert recipe.checkpoint.auto == (f"{tmp_path}/org/name", "org/other@v1", f"{tmp_path}/here", "package:some/where")
    assert again(recipe, tmp_path) == recipe
    resolved = recipe.resolved(tmp_path / "runs" / "mine")
    assert resolved["checkpoint"]["auto"] == ["../../org/name", "org/other@v1", "../../here", "package:some/where"]


def test_one_checkpoint_takes_back_several_and_the_other_way_round(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("checkpoint: {auto: [a/b, c/d]}\ndataset: rows\ntask: topic\n")
    one = load_recipe(tmp_path / "base.yaml", "checkpoint=e/f").checkpoint
    assert (one.id, one.auto) == ("e/f", None)
    (tmp_path / "child.yaml").write_text("extends: base.yaml\ncheckpoint: e/f@v1\n")
    child = load_recipe(tmp_path / "child.yaml")
    assert (child.checkpoint.id, child.checkpoint.revision, child.checkpoint.auto) == ("e/f", "v1", None)
    several = load_recipe(tmp_path / "child.yaml", "checkpoint.auto=[x/y, z/w]").checkpoint
    assert (several.id, several.revision, several.auto) == (None, None, ("x/y", "z/w"))
