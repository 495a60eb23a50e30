"""Fingerprints change with content, and with nothing else."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch

from tests.unit.training.helpers import make_recipe, rows
from textxfer.recipe.loading import load_recipe
from textxfer.records import Split, Splits
from textxfer.training.environment import data_fingerprint, recipe_fingerprint, weight_fingerprint


def of(train: list[dict[str, Any]], validation: list[dict[str, Any]] | None = None, origin: str = "a.csv") -> str:
    parts = [Split(datasets.Dataset.from_list(part), origin) if part else None for part in (train, validation)]
    return data_fingerprint(Splits(*parts))  # type: ignore[arg-type]


def test_data_are_known_by_their_content() -> None:
    assert of(rows(5)) == of(rows(5), origin="elsewhere.jsonl")
    changed = rows(5)
    changed[3]["label"] = "bad" if changed[3]["label"] == "good" else "good"
    others = [of(changed), of(rows(4)), of(rows(5)[::-1]), of(rows(3), rows(5)[3:]), of(rows(5), rows(1))]
    assert len({of(rows(5)), *others}) == 6


def test_weights_are_known_by_their_content() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    same, bias, buffer = (copy.deepcopy(model) for _ in range(3))
    with torch.no_grad():
        bias[0].bias[0] += 1e-6
        buffer[1].running_mean[0] += 1e-6
    assert weight_fingerprint(same) == weight_fingerprint(model)
    assert len({weight_fingerprint(each) for each in (model, bias, buffer)}) == 3


def recipe_of(bert: Path, place: Path, **sections: Any) -> str:
    recipe = load_recipe(make_recipe(bert, place, **sections), rows_given=True)
    return recipe_fingerprint(recipe.resolved(recipe.folder))


def test_a_recipe_is_known_by_what_changes_the_model(bert: Path, tmp_path: Path) -> None:
    plain = recipe_of(bert, tmp_path)
    assert plain == recipe_of(bert, tmp_path, train={"log_every": 7, "save_every": 3})
    assert plain == recipe_of(bert, tmp_path, hub={"repo": "org/name", "license": "mit"})
    others = [
        recipe_of(bert, tmp_path, train={"seed": 1}),
        recipe_of(bert, tmp_path, freeze={"layers": 1}),
        recipe_of(bert, tmp_path, evaluate={"metrics": ["accuracy"]}),
        recipe_of(bert, tmp_path, task={"name": "topic"}),
    ]
    assert len({plain, *others}) == 5


def test_the_name_of_a_run_does_not_change_the_model(bert: Path, tmp_path: Path) -> None:
    one, other = (
        load_recipe(make_recipe(bert, tmp_path, name=name), rows_given=True).resolved(tmp_path / "x")
        for name in ("one", "other")
    )
    assert recipe_fingerprint(one) == recipe_fingerprint(other)


@pytest.mark.parametrize("count", [0, 1])
def test_empty_validation_is_not_no_validation(count: int) -> None:
    assert (of(rows(5), rows(count)) == of(rows(5))) == (count == 0)
