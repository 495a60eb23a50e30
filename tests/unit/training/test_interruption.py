"""A run that is stopped by a signal and resumed is the run that was not stopped."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.training.helpers import (
    Watcher,
    assert_same_run,
    assert_same_weights,
    log,
    make_recipe,
    signaller,
    splits,
)
from textxfer.errors import Interrupted
from textxfer.run import RunResult, run_recipe
from textxfer.training.stopping import StopSignal

Small = Callable[..., dict[str, Any]]


def stopped_then_resumed(recipe: dict[str, Any], watcher: Watcher, rows: Any = None) -> RunResult:
    """Runs until the watcher's signal, then goes on to the end."""
    with pytest.raises(Interrupted):
        run_recipe(recipe, splits=rows or splits(), observers=[watcher])
    return run_recipe(recipe, splits=rows or splits(), resume=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", range(1, 8))
def test_stopped_at_any_step_it_goes_on_bit_for_bit(small: Small, whole_run: RunResult, step: int, number: int) -> None:
    resumed = stopped_then_resumed(small(), signaller("on_step", step, number))
    assert_same_run(resumed.folder, whole_run.folder)


@pytest.mark.parametrize(("event", "step"), [("on_start", 0), ("on_log", 3), ("on_scores", 4)])
def test_stopped_at_other_moments_it_goes_on_bit_for_bit(
    small: Small, whole_run: RunResult, event: str, step: int
) -> None:
    resumed = stopped_then_resumed(small(), signaller(event, step, signal.SIGINT))
    assert_same_run(resumed.folder, whole_run.folder)


@pytest.mark.parametrize("call", [1, 2, 3, 4], ids=["first", "last", "final on validation", "final on test"])
def test_stopped_during_an_evaluation_it_goes_on_bit_for_bit(
    small: Small, whole_run: RunResult, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    check, calls = StopSignal.check_alone, []

    def check_with_signal(self: StopSignal) -> None:
        calls.append(1)
        if len(calls) == call:
            signal.raise_signal(signal.SIGINT)
        check(self)

    monkeypatch.setattr(StopSignal, "check_alone", check_with_signal)
    with pytest.raises(Interrupted):
        run_recipe(small(), splits=splits())
    resumed = run_recipe(small(), splits=splits(), resume=True)
    assert len(calls) > call
    assert_same_run(resumed.folder, whole_run.folder)


def test_a_signal_at_the_last_step_stops_before_the_evaluation(small: Small, whole_run: RunResult) -> None:
    resumed = stopped_then_resumed(small(), signaller("on_step", 8, signal.SIGTERM))
    assert_same_run(resumed.folder, whole_run.folder)


def test_a_run_can_be_stopped_again_and_again(small: Small, whole_run: RunResult) -> None:
    for step in range(1, 8):
        with pytest.raises(Interrupted):
            run_recipe(small(), splits=splits(), resume=True, observers=[signaller("on_step", step, signal.SIGINT)])
    resumed = run_recipe(small(), splits=splits(), resume=True)
    assert_same_run(resumed.folder, whole_run.folder)


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_other_families_resume_bit_for_bit(checkpoints: Callable[[str], Path], tmp_path: Path, family: str) -> None:
    recipe = make_recipe(checkpoints(family), tmp_path / "runs")
    whole = run_recipe(recipe, "name=whole", splits=splits())
    resumed = stopped_then_resumed(recipe, signaller("on_step", 3, signal.SIGINT))
    assert_same_run(resumed.folder, whole.folder)


def test_a_frozen_model_resumes_bit_for_bit_and_saves_only_what_is_trained(small: Small) -> None:
    recipe = small(freeze={"layers": "all"})
    whole = run_recipe(recipe, "name=whole", splits=splits())
    with pytest.raises(Interrupted):
        run_recipe(recipe, splits=splits(), observers=[signaller("on_step", 3, signal.SIGINT)])
    state = next((Path(recipe["output"]["directory"]) / "tiny" / "resume").iterdir())
    assert (state / "weights.safetensors").stat().st_size < 5000
    resumed = run_recipe(recipe, splits=splits(), resume=True)
    assert_same_run(resumed.folder, whole.folder)


@pytest.mark.parametrize("step", [1, 2, 3, 5])
def test_early_stopping_is_the_same_after_a_stop(small: Small, step: int) -> None:
    # A rate this small changes no prediction: the first evaluation stays the best.
    recipe = small(train={"learning_rate": 1e-9, "patience": 2, "evaluate_every": 2, "epochs": 4})
    whole = run_recipe(recipe, "name=whole", splits=splits())
    assert whole.metrics["stopped_early"]
    assert (whole.metrics["steps"], whole.metrics["best_step"]) == (6, 2)
    resumed = stopped_then_resumed(recipe, signaller("on_step", step, signal.SIGINT))
    assert_same_run(resumed.folder, whole.folder)


def test_without_a_validation_split_it_resumes_to_the_last_weights(small: Small) -> None:
    rows = {name: part for name, part in splits().items() if name != "validation"}
    recipe = small(dataset={"validation_fraction": 0})
    whole = run_recipe(recipe, "name=whole", splits=rows)
    resumed = stopped_then_resumed(recipe, signaller("on_step", 5, signal.SIGINT), rows)
    assert_same_run(resumed.folder, whole.folder)
    assert resumed.metrics["best_step"] == 8


def test_the_message_says_what_is_saved_and_how_to_go_on(small: Small) -> None:
    with pytest.raises(Interrupted) as caught:
        run_recipe(small(), splits=splits(), observers=[signaller("on_step", 3, signal.SIGTERM)])
    assert caught.value.exit_code == 143
    assert caught.value.lines[0] == "stopped after step 3 of 8"
    assert "up to step 3 is saved in" in caught.value.lines[1]
    assert "--resume goes on from there" in caught.value.lines[1]
    watcher = Watcher()
    run_recipe(small(), splits=splits(), resume=True, observers=[watcher])
    assert "goes on after step 3" in watcher.notes
    assert watcher.steps == [4, 5, 6, 7, 8]


def test_a_second_ctrl_c_stops_at_once_and_keeps_what_was_saved(small: Small, whole_run: RunResult) -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    recipe = small(train={"save_every": 2})
    with pytest.raises(Interrupted) as caught:
        run_recipe(recipe, splits=splits(), observers=[Watcher("on_step", 3, twice)])
    assert caught.value.exit_code == 130
    assert caught.value.lines[0] == "stopped at once"
    assert "up to step 2 is saved" in str(caught.value)
    watcher = Watcher()
    resumed = run_recipe(recipe, splits=splits(), resume=True, observers=[watcher])
    assert watcher.steps[0] == 3
    assert_same_run(resumed.folder, whole_run.folder)


def test_handlers_are_put_back(small: Small) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    run_recipe(small(), splits=splits())
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    with pytest.raises(Interrupted):
        run_recipe(small(), splits=splits(), overwrite=True, observers=[signaller("on_step", 1, signal.SIGINT)])
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_it_runs_in_another_thread(small: Small, whole_run: RunResult) -> None:
    results: list[RunResult] = []
    thread = threading.Thread(target=lambda: results.append(run_recipe(small(), splits=splits())))
    thread.start()
    thread.join()
    assert_same_run(results[0].folder, whole_run.folder)


def test_a_shrunken_micro_batch_stays_shrunken_after_a_stop(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropout is drawn for each micro-batch, so its size is part of the state."""
    from textxfer.training.step import Stepper

    gradients, failed = Stepper._gradients, []

    def gradients_once_too_large(self: Stepper, indices: Any, step: int) -> Any:
        if step == 1 and self.micro_batch_size >= 8:
            failed.append(step)
            raise RuntimeError("CUDA out of memory.")
        return gradients(self, indices, step)

    monkeypatch.setattr(Stepper, "_gradients", gradients_once_too_large)
    whole = run_recipe(small(), "name=whole", splits=splits())
    assert failed == [1]
    resumed = stopped_then_resumed(small(), signaller("on_step", 3, signal.SIGINT))
    assert_same_weights(resumed.folder, whole.folder)


def test_a_stopped_run_may_go_on_in_smaller_micro_batches(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after memory ran out: the size that the recipe says now holds, not the one that was saved."""
    from textxfer.training.step import Stepper

    recipe = small(train={"micro_batch_size": 8, "dropout": 0.0})
    with pytest.raises(Interrupted):
        run_recipe(recipe, splits=splits(), observers=[signaller("on_step", 3, signal.SIGINT)])
    gradients, sizes = Stepper._gradients, []

    def noting(self: Stepper, indices: Any, step: int) -> Any:
        sizes.append(self.micro_batch_size)
        return gradients(self, indices, step)

    monkeypatch.setattr(Stepper, "_gradients", noting)
    run_recipe(recipe, "train.micro_batch_size=2", splits=splits(), resume=True)
    assert sizes == [2] * 5


def test_the_log_of_a_stopped_run_has_each_step_once(small: Small) -> None:
    resumed = stopped_then_resumed(small(train={"log_every": 1}), signaller("on_step", 4, signal.SIGINT))
    lines = log(resumed.folder)
    assert [line["step"] for line in lines if "split" not in line] == list(range(1, 9))
    assert [(line["step"], line["split"]) for line in lines if "split" in line] == [
        (4, "train"),
        (4, "validation"),
        (8, "train"),
        (8, "validation"),
    ]
