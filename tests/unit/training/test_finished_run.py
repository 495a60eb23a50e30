"""What a finished run leaves behind: names and keys that other programs read."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.unit.training.helpers import (
    assert_same_run,
    assert_same_weights,
    left_behind,
    metrics,
    signaller,
    splits,
    weights,
)
from textxfer.errors import Interrupted
from textxfer.run import RunResult, run_recipe
from textxfer.training.run_folder import RunFolder

Small = Callable[..., dict[str, Any]]


def test_the_resolved_recipe_runs_again_to_the_same_weights(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_csv: Callable[..., Path]
) -> None:
    for name, rows in splits().items():
        write_csv(tmp_path / "data" / f"{name}.csv", rows)
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "again.yaml").write_text(
        f"checkpoint: {os.path.relpath(bert, tmp_path / 'recipes')}\ndataset: ../data\ntask: sentiment\n"
        "train: {epochs: 2, batch_size: 8, learning_rate: 1e-3}\nfreeze: {layers: 1}\n"
    )
    monkeypatch.chdir(tmp_path)
    first = run_recipe("recipes/again.yaml", "train.seed=3")
    assert first.folder == Path("runs/again")
    resolved = yaml.safe_load((first.folder / "recipe.yaml").read_text())
    assert resolved["dataset"]["path"] == "../../data"
    assert resolved["train"]["seed"] == 3
    second = run_recipe("runs/again/recipe.yaml", "name=second")
    assert_same_weights(first.folder, second.folder)
    assert metrics(first.folder) == metrics(second.folder)
    third = run_recipe("runs/again/recipe.yaml", resume=True)
    assert third.folder.samefile(first.folder)


def test_a_stopped_run_goes_on_from_its_own_recipe_too(bert: Path, small: Small, tmp_path: Path) -> None:
    # max_length is more than the checkpoint takes: the recipe in the folder says what is done.
    recipe = small(task={"max_length": 500})
    with pytest.raises(Interrupted):
        run_recipe(recipe, splits=splits(), observers=[signaller("on_step", 3, signal.SIGINT)])
    place = Path(recipe["output"]["directory"]) / "tiny" / "recipe.yaml"
    assert yaml.safe_load(place.read_text())["task"]["max_length"] == 64
    resumed = run_recipe(place, f"output.directory={tmp_path / 'runs'}", splits=splits(), resume=True)
    whole = run_recipe(recipe, "name=whole", splits=splits())
    assert_same_run(resumed.folder, whole.folder)
    assert run_recipe(recipe, splits=splits(), resume=True).folder == resumed.folder


def test_metrics_are_written_last_but_for_the_report_of_them(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    finish = RunFolder.finish

    def note_and_finish(self: RunFolder, data: Any) -> None:
        written.extend(sorted(str(path.relative_to(self.path)) for path in self.path.rglob("*") if path.is_file()))
        finish(self, data)

    monkeypatch.setattr(RunFolder, "finish", note_and_finish)
    result = run_recipe(small(), splits=splits())
    after = sorted(str(path.relative_to(result.folder)) for path in result.folder.rglob("*") if path.is_file())
    assert sorted([*written, "metrics.json", "report.html"]) == after


def test_names_and_keys_are_those_of_the_contract(whole_run: RunResult) -> None:
    folder = whole_run.folder
    assert left_behind(folder) == []
    model = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md"}
    assert {path.name for path in (folder / "model").iterdir()} == model
    found = json.loads((folder / "metrics.json").read_text())
    assert set(found) >= {
        "format", "validation", "test", "per_label", "confusion", "timing", "trainable_parameters",
        "total_parameters", "best_step", "num_examples", "intervals", "detectable", "selective", "calibration",
        "overfitting", "padding_share",
    }  # fmt: skip
    assert found["format"] == 1
    assert set(found["validation"]) == set(found["test"]) == {"accuracy", "macro_f1", "calibration_error"}
    assert set(found["per_label"]["test"]["good"]) == {"precision", "recall", "f1", "support"}
    assert found["confusion"]["test"]["labels"] == ["bad", "good"]
    timing = {"train_seconds", "prefix_seconds", "probe_seconds", "evaluate_seconds", "total_seconds"}
    timing.add("examples_per_second")
    assert set(found["timing"]) == timing
    assert found["timing"]["total_seconds"] >= found["timing"]["train_seconds"] > 0
    assert found["num_examples"] == {"train": 28, "validation": 7, "test": 5}
    assert found["best_step"] in (4, 8)
    about = json.loads((folder / "environment.json").read_text())
    assert set(about) >= {"python", "packages", "device", "seed", "checkpoint", "checkpoint_revision", "fingerprints"}
    assert set(about["fingerprints"]) == {"recipe", "resolved", "data", "weights", "processes"}
    assert about["packages"]["torch"] == torch.__version__


def test_the_log_has_the_keys_of_the_contract(whole_run: RunResult) -> None:
    lines = [json.loads(line) for line in (whole_run.folder / "log.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "split" not in line]
    assert [set(line) for line in steps] == [{"step", "epoch", "loss", "grad_norm", "learning_rate"}] * 3
    assert [line["step"] for line in steps] == [3, 6, 8]
    evaluations = [line for line in lines if "split" in line]
    assert [(line["step"], line["epoch"], line["split"]) for line in evaluations] == [
        (4, 1.0, "train"),
        (4, 1.0, "validation"),
        (8, 2.0, "train"),
        (8, 2.0, "validation"),
    ]
    assert set(evaluations[0]) == {"step", "epoch", "split", "loss", "calibration_error", "accuracy", "macro_f1"}


def test_predictions_have_a_line_for_each_test_row(whole_run: RunResult) -> None:
    lines = [json.loads(line) for line in (whole_run.folder / "predictions.jsonl").read_text().splitlines()]
    assert len(lines) == 5
    for line in lines:
        assert set(line) == {"id", "reference", "prediction", "probabilities", "text"}
        assert set(line["probabilities"]) == {"good", "bad"}
    right = sum(line["reference"] == line["prediction"] for line in lines)
    assert right / 5 == pytest.approx(whole_run.metrics["test"]["accuracy"])


def test_a_resumed_run_counts_the_time_of_all_its_parts(small: Small) -> None:
    recipe = small()
    with pytest.raises(Interrupted):
        run_recipe(recipe, splits=splits(), observers=[signaller("on_step", 7, signal.SIGINT)])
    state = json.loads(
        next(((Path(recipe["output"]["directory"]) / "tiny") / "resume").iterdir()).joinpath("state.json").read_text()
    )
    resumed = run_recipe(recipe, splits=splits(), resume=True)
    timing = resumed.metrics["timing"]
    assert timing["train_seconds"] > state["progress"]["seconds"] > 0
    assert timing["total_seconds"] > timing["train_seconds"]


def test_runs_of_different_precision_follow_each_other_in_one_process(small: Small) -> None:
    one = run_recipe(small(), "name=one", splits=splits())
    bf16 = run_recipe(small(train={"precision": "bf16"}), "name=bf16", splits=splits())
    two = run_recipe(small(), "name=two", splits=splits())
    assert_same_run(one.folder, two.folder)
    about = [json.loads((result.folder / "environment.json").read_text())["precision"] for result in (one, bf16, two)]
    assert about == ["fp32", "bf16", "fp32"]
    assert any(not tensor.equal(weights(one.folder)[name]) for name, tensor in weights(bf16.folder).items())
    assert all(tensor.dtype == torch.float32 for tensor in weights(bf16.folder).values())
