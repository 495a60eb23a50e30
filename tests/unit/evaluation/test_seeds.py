"""Several seeds of one recipe: mean, spread and the best on validation."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import pytest

import textxfer
from textxfer.errors import RecipeError
from textxfer.evaluation.seeds import over_seeds


def run(validation: float, test: float) -> dict[str, Any]:
    return {"validation": {"accuracy": validation}, "test": {"accuracy": test}}


def test_mean_and_sample_deviation_over_seeds() -> None:
    found = over_seeds({1: run(0.5, 0.4), 2: run(0.7, 0.6), 5: run(0.6, 0.9)}, "accuracy")
    values = [0.4, 0.6, 0.9]
    scores = found["test"]["accuracy"]
    assert scores == {"mean": pytest.approx(statistics.mean(values)), "sd": pytest.approx(0.2516611), "values": values}
    assert (found["seeds"], found["best_seed"]) == ([1, 2, 5], 2)


def test_the_best_seed_is_the_least_where_less_is_better() -> None:
    assert over_seeds({1: run(0.5, 0), 2: run(0.7, 0)}, "accuracy", greater_is_better=False)["best_seed"] == 1


def test_without_validation_the_first_seed_stands() -> None:
    found = over_seeds({3: {"test": {"accuracy": 1.0}}, 4: {"test": {"accuracy": 0.0}}}, "accuracy")
    assert found["best_seed"] == 3
    assert "validation" not in found


def test_a_recipe_with_seeds_runs_each_on_the_same_rows(recipe: Any, reviews: Any) -> None:
    result = textxfer.run_recipe(recipe(train={"seeds": [1, 2], "epochs": 1}), splits=reviews)
    runs = [result.folder / f"seed-{seed}" for seed in (1, 2)]
    scores = [json.loads((folder / "metrics.json").read_text()) for folder in runs]
    assert result.metrics == json.loads((result.folder / "seeds.json").read_text())
    assert result.metrics["validation"]["accuracy"]["values"] == [each["validation"]["accuracy"] for each in scores]
    data = [json.loads((folder / "environment.json").read_text())["fingerprints"]["data"] for folder in runs]
    assert data[0] == data[1]
    weights = [(folder / "model" / "model.safetensors").read_bytes() for folder in runs]
    assert weights[0] != weights[1]
    assert result.model.parent in runs


def test_seeds_are_gone_on_with(recipe: Any, reviews: Any) -> None:
    told = recipe(train={"seeds": [1, 2], "epochs": 1})
    first = textxfer.run_recipe(told, splits=reviews)
    before = (first.folder / "seed-1" / "metrics.json").stat().st_mtime_ns
    again = textxfer.run_recipe(told, splits=reviews, resume=True)
    assert (again.folder / "seed-1" / "metrics.json").stat().st_mtime_ns == before
    assert again.metrics == first.metrics


def test_one_alone_twice_the_same_or_a_seed_beside_them_is_an_error(recipe: Any, reviews: Any) -> None:
    for wrong, words in (
        ({"seeds": [1]}, "needs two seeds at least"),
        ({"seeds": [1, 1]}, "names `1` twice"),
        ({"seeds": [1, 2], "seed": 3}, "`train.seeds` stands in for it"),
    ):
        with pytest.raises(RecipeError, match=words):
            textxfer.run_recipe(recipe(train=wrong), splits=reviews)


def test_scores_go_to_tensorboard(recipe: Any, reviews: Any) -> None:
    pytest.importorskip("tensorboard")
    result = textxfer.run_recipe(recipe(train={"trackers": ["tensorboard"]}), splits=reviews)
    assert list(Path(result.folder, "trackers").rglob("events.out.tfevents.*"))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    seen = EventAccumulator(str(result.folder / "trackers" / "tiny")).Reload()
    assert {"train/loss", "validation/macro_f1"} <= set(seen.Tags()["scalars"])


def test_a_tracker_that_is_not_there_is_an_error_before_training(recipe: Any, reviews: Any) -> None:
    with pytest.raises(RecipeError, match=r"train.trackers: comet_ml: not installed; `pip install comet-ml`"):
        textxfer.run_recipe(recipe(train={"trackers": ["comet_ml"]}), splits=reviews)
