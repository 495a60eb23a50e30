"""`fit` through whole small runs: evaluations, patience, the choice of the best, divergence, precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.training.helpers import Watcher, assert_same_weights, log, rows, splits, weights
from textxfer.errors import RecipeError, TrainingDiverged
from textxfer.recipe.loading import load_recipe
from textxfer.run import RunResult, run_recipe
from textxfer.training.assemble import assemble
from textxfer.training.precision import make_accelerator
from textxfer.training.prepare import prepare
from textxfer.training.step import Stepper, Taken

Small = Callable[..., dict[str, Any]]


def evaluated(result: RunResult) -> list[int]:
    return [line["step"] for line in log(result.folder) if line.get("split") == "validation"]


@pytest.mark.parametrize(
    ("train", "steps"),
    [
        ({}, [4, 8]),
        ({"evaluate_every": 3}, [3, 6, 8]),
        ({"evaluate_every": 8}, [8]),
        ({"evaluate_every": 500}, [8]),
        ({"max_steps": 5}, [4, 5]),
        ({"max_steps": 3}, [3]),
        ({"max_steps": 100}, [4, 8]),
    ],
)
def test_it_evaluates_when_told_and_after_the_last_step(small: Small, train: dict[str, Any], steps: list[int]) -> None:
    result = run_recipe(small(train=train), splits=splits())
    assert evaluated(result) == steps
    assert result.metrics["steps"] == steps[-1]


def test_an_evaluation_changes_nothing_that_is_trained(small: Small) -> None:
    base = {"dataset": {"validation_fraction": 0}}
    without = {name: part for name, part in splits().items() if name != "validation"}
    one = run_recipe(small(**base), "name=one", splits=without)
    watched = run_recipe(small(train={"evaluate_every": 1}), "name=two", splits=splits())
    losses = [[line["loss"] for line in log(result.folder) if "split" not in line] for result in (one, watched)]
    assert losses[0] == losses[1]


def test_without_a_validation_split_the_last_weights_are_kept(small: Small) -> None:
    without = {name: part for name, part in splits().items() if name != "validation"}
    result = run_recipe(small(dataset={"validation_fraction": 0}), splits=without)
    assert evaluated(result) == []
    assert "validation" not in result.metrics
    assert result.metrics["best_step"] == result.metrics["steps"] == 8
    assert set(result.metrics["test"]) == {"accuracy", "macro_f1", "calibration_error"}


def test_without_a_test_split_the_run_finishes_and_says_so(small: Small) -> None:
    without = {name: part for name, part in splits().items() if name != "test"}
    watcher = Watcher()
    result = run_recipe(small(), splits=without, observers=[watcher])
    assert "test" not in result.metrics
    assert not (result.folder / "predictions.jsonl").exists()
    assert any(note.startswith("no test split") for note in watcher.notes)


def test_select_by_and_patience_need_a_validation_split(small: Small) -> None:
    without = {name: part for name, part in splits().items() if name != "validation"}
    sections = {"dataset": {"validation_fraction": 0}, "evaluate": {"select_by": "accuracy"}, "train": {"patience": 1}}
    with pytest.raises(RecipeError) as caught:
        run_recipe(small(**sections), splits=without)
    assert caught.value.lines == (
        "evaluate.select_by: there is no validation split to choose the best weights on",
        "train.patience: there is no validation split to watch",
    )


def test_patience_that_can_never_fire_is_an_error(small: Small) -> None:
    with pytest.raises(RecipeError) as caught:
        run_recipe(small(train={"patience": 3, "evaluate_every": 3}), splits=splits())
    assert str(caught.value) == (
        "train.patience: is 3, but the run evaluates 3 times (8 steps, every 3): it can never fire"
    )


def test_patience_stops_a_run_that_gains_nothing(small: Small) -> None:
    train = {"learning_rate": 1e-9, "patience": 1, "evaluate_every": 2}
    result = run_recipe(small(train=train), splits=splits())
    assert evaluated(result) == [2, 4]
    assert (result.metrics["steps"], result.metrics["best_step"], result.metrics["stopped_early"]) == (4, 2, True)


def scores_of(result: RunResult, metric: str) -> dict[int, float]:
    """Gives the scores of each evaluation by step."""
    return {line["step"]: line[metric] for line in log(result.folder) if line.get("split") == "validation"}


def spoilt() -> dict[str, Any]:
    """Gives splits whose validation labels are turned round, so that what is learnt makes them worse."""
    other = {"good": "bad", "bad": "good"}
    return splits() | {"validation": [row | {"label": other[row["label"]]} for row in rows(8, 100)]}


LEARNING = {"learning_rate": 1e-2, "epochs": 8, "evaluate_every": 1, "warmup_ratio": 0, "log_every": 4}


def test_the_weights_of_the_best_evaluation_are_the_ones_saved(small: Small) -> None:
    result = run_recipe(small(train=LEARNING), splits=spoilt())
    scores, best = scores_of(result, "macro_f1"), result.metrics["best_step"]
    assert best == max(scores, key=lambda step: (scores[step], -step))
    assert scores[best] > scores[32], "the test wants a run whose last step is not its best"
    assert result.metrics["validation"]["macro_f1"] == pytest.approx(scores[best])


def test_of_some_metrics_less_is_better(small: Small) -> None:
    result = run_recipe(
        small(
            task={"ordered": True, "labels": ["bad", "good"]},
            train=LEARNING,
            evaluate={"metrics": ["mean_distance"], "select_by": "mean_distance"},
        ),
        splits=spoilt(),
    )
    scores, best = scores_of(result, "mean_distance"), result.metrics["best_step"]
    assert best == min(scores, key=lambda step: (scores[step], step))
    assert scores[best] < scores[32], "the test wants a run whose last step is not its best"
    assert result.metrics["validation"]["mean_distance"] == pytest.approx(scores[best])


def test_a_nan_in_the_weights_is_named_with_step_rate_norm_and_rows(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = Stepper.take

    def take_poisoned(self: Stepper, indices: Any, step: int, rate: float) -> Taken:
        if step == 3:
            with torch.no_grad():
                self.parameters[0].view(-1)[:] = float("nan")
        return take(self, indices, step, rate)

    monkeypatch.setattr(Stepper, "take", take_poisoned)
    recipe = small(train={"batching": "random", "log_every": 100})
    with pytest.raises(TrainingDiverged) as caught:
        run_recipe(recipe, splits=splits())
    message = caught.value.lines[0]
    assert message.startswith("step 4: the loss is nan (learning rate 7.14e-04, gradient norm nan, rows ")
    named = message.partition("rows ")[2].partition(")")[0].split(", ")
    assert len(named) == 4  # the last batch of the epoch
    assert all(name.startswith("train-") for name in named)
    assert caught.value.exit_code == 2


def test_a_gradient_that_is_not_finite_stops_the_run_before_it_is_saved(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    gradients = Stepper._gradients

    def gradients_with_infinity(self: Stepper, indices: Any, step: int) -> Taken:
        taken = gradients(self, indices, step)
        return Taken(taken.loss, torch.tensor(math.inf)) if step == 2 else taken

    monkeypatch.setattr(Stepper, "_gradients", gradients_with_infinity)
    with pytest.raises(TrainingDiverged, match=r"step 3: the loss is 0\.\d+ \(.*gradient norm inf"):
        run_recipe(small(train={"save_every": 1}), splits=splits())


def test_many_rows_are_counted_not_listed(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    gradients = Stepper._gradients

    def gradients_of_nothing(self: Stepper, indices: Any, step: int) -> Taken:
        return Taken(gradients(self, indices, step).loss * math.nan, torch.tensor(0.0))

    monkeypatch.setattr(Stepper, "_gradients", gradients_of_nothing)
    with pytest.raises(TrainingDiverged, match=r"(train-\d+, ){7}train-\d+ and 20 more\)"):
        run_recipe(small(train={"batch_size": 28}), splits=splits())


def test_bf16_on_the_cpu_trains(small: Small) -> None:
    train = {"precision": "bf16", "learning_rate": 1e-2, "epochs": 6, "warmup_ratio": 0}
    result = run_recipe(small(train=train), splits=splits())
    losses = [line["loss"] for line in log(result.folder) if "split" not in line]
    assert losses[-1] < losses[0]
    fp32 = run_recipe(small(train=train | {"precision": "fp32"}), "name=fp32", splits=splits())
    theirs = [line["loss"] for line in log(fp32.folder) if "split" not in line]
    assert losses != theirs
    assert losses[0] == pytest.approx(theirs[0], abs=0.02)


@pytest.mark.parametrize("layers", [0, 1])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_evaluations_have_no_dropout(small: Small, precision: Any, layers: int) -> None:
    recipe = load_recipe(small(train={"dropout": 0.5}, freeze={"layers": layers}), rows_given=True)
    training = assemble(prepare(recipe, splits()), make_accelerator(precision))
    stepper = training.start(True).stepper
    before = training.judge("validation")
    stepper.gradients(np.arange(8), 0)  # in training mode, and without a step
    for _ in range(2):
        again = training.judge("validation")
        assert again.scores.loss == before.scores.loss
        assert np.array_equal(again.predictions.probabilities, before.predictions.probabilities)  # type: ignore[arg-type]


def test_fp16_without_a_gpu_is_refused(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "1")
    with pytest.raises(RecipeError) as caught:
        run_recipe(small(train={"precision": "fp16"}), splits=splits())
    assert str(caught.value) == (
        "train.precision: fp16 needs a CUDA GPU, and this run is on cpu; take bf16, fp32 or auto"
    )


def test_losses_of_the_log_are_means_since_the_last_line(small: Small) -> None:
    each = run_recipe(small(train={"log_every": 1}), "name=each", splits=splits())
    some = run_recipe(small(train={"log_every": 3}), "name=some", splits=splits())
    assert_same_weights(each.folder, some.folder)
    ones = [line for line in log(each.folder) if "split" not in line]
    losses = [line["loss"] for line in ones]
    means = [sum(losses[:3]) / 3, sum(losses[3:6]) / 3, sum(losses[6:]) / 2]
    threes = [line for line in log(some.folder) if "split" not in line]
    assert [line["loss"] for line in threes] == pytest.approx(means, rel=1e-4)
    assert [line["grad_norm"] for line in threes] == [ones[2]["grad_norm"], ones[5]["grad_norm"], ones[7]["grad_norm"]]
    assert [line["learning_rate"] for line in ones] == pytest.approx(
        [1e-3 * (8 - step) / 7 if step else 1e-3 for step in range(8)], rel=1e-5
    )


def test_training_learns_what_is_to_be_learnt(small: Small) -> None:
    result = run_recipe(small(train=LEARNING | {"epochs": 15}), splits=splits())
    losses = [line["loss"] for line in log(result.folder) if "split" not in line]
    assert losses[-1] < 0.3 < 0.6 < losses[0]
    assert result.metrics["validation"]["accuracy"] > 0.7


def test_seeds_make_different_runs_and_the_same_seed_the_same(small: Small, whole_run: RunResult) -> None:
    again = run_recipe(small(), "name=again", splits=splits())
    assert_same_weights(again.folder, whole_run.folder)
    other = run_recipe(small(train={"seed": 1}), "name=other", splits=splits())
    assert any(not tensor.equal(weights(other.folder)[name]) for name, tensor in weights(again.folder).items())


def test_what_is_frozen_is_bit_identical_afterwards(small: Small, bert: Path) -> None:
    from safetensors.torch import load_file

    result = run_recipe(small(freeze={"layers": 1}), splits=splits())
    before, after = load_file(bert / "model.safetensors"), weights(result.folder)
    frozen = [name for name in before if name.startswith(("embeddings.", "encoder.layer.0."))]
    trained = [name for name in before if name.startswith("encoder.layer.1.") and "key.bias" not in name]
    assert len(frozen) > 15
    assert all(before[name].equal(after[f"bert.{name}"]) for name in frozen)
    assert not any(before[name].equal(after[f"bert.{name}"]) for name in trained)
