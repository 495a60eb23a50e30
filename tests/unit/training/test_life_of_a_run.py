"""A run folder from before the first step to after the last, through `run_recipe`."""

from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.training.helpers import (
    Watcher,
    assert_same_run,
    left_behind,
    metrics,
    signaller,
    splits,
)
from textxfer.errors import CheckpointError, DataError, Interrupted, OutputError, RecipeError, TrainingDiverged
from textxfer.run import RunResult, run_recipe
from textxfer.training.run_folder import RunFolder
from textxfer.training.step import Stepper

Small = Callable[..., dict[str, Any]]


def place(recipe: dict[str, Any]) -> Path:
    return Path(recipe["output"]["directory"]) / recipe["name"]


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Plants a NaN in the weights before some step (from 0)."""

    def plant(step: int) -> None:
        take = Stepper.take

        def take_poisoned(self: Stepper, indices: Any, number: int, rate: float) -> Any:
            if number == step:
                with torch.no_grad():
                    self.parameters[-1].fill_(float("nan"))
            return take(self, indices, number, rate)

        monkeypatch.setattr(Stepper, "take", take_poisoned)

    return plant


# Before the first step


@pytest.mark.parametrize(
    ("sections", "error"),
    [
        ({"checkpoint": "/nowhere"}, CheckpointError),
        ({"freeze": {"layers": 9}}, RecipeError),
        ({"train": {"precision": "fp16"}}, RecipeError),
        ({"train": {"patience": 5, "evaluate_every": 3}}, RecipeError),
        ({"evaluate": {"metrics": ["distance"]}}, RecipeError),
    ],
)
def test_a_run_that_fails_before_its_first_step_leaves_no_folder(
    small: Small, sections: dict[str, Any], error: type[Exception]
) -> None:
    recipe = small(**sections)
    with pytest.raises(error):
        run_recipe(recipe, splits=splits())
    assert not place(recipe).parent.exists()


def test_rows_that_are_wrong_leave_no_folder_and_do_not_touch_the_old_run(small: Small) -> None:
    old = run_recipe(small(), splits=splits())
    before = {path: path.stat().st_mtime_ns for path in old.folder.rglob("*")}
    bad = splits()
    bad["test"][0]["label"] = "unheard of"
    with pytest.raises(DataError):
        run_recipe(small(), splits=bad, overwrite=True)
    assert {path: path.stat().st_mtime_ns for path in old.folder.rglob("*")} == before
    assert left_behind(old.folder) == []


def test_where_there_is_a_run_nothing_is_even_loaded(small: Small) -> None:
    old = run_recipe(small(), splits=splits())
    watcher = Watcher()
    with pytest.raises(
        OutputError, match=r"holds a finished run; --resume leaves it as it is, --overwrite begins anew"
    ):
        run_recipe(small(checkpoint="/nowhere"), splits=splits(), observers=[watcher])
    assert watcher.notes == []
    assert left_behind(old.folder) == []


def test_an_unfinished_run_wants_a_flag(small: Small) -> None:
    with pytest.raises(Interrupted):
        run_recipe(small(), splits=splits(), observers=[signaller("on_step", 2, signal.SIGINT)])
    with pytest.raises(
        OutputError, match=r"holds an unfinished run; --resume goes on with it, --overwrite begins anew"
    ):
        run_recipe(small(), splits=splits())


@pytest.mark.parametrize("flags", [{}, {"overwrite": True}, {"resume": True}])
def test_a_run_and_several_seeds_share_no_folder(small: Small, flags: dict[str, bool]) -> None:
    one, several = small(train={"max_steps": 1}), small(train={"max_steps": 1, "seeds": [1, 2]})
    for first, second, message in (
        (
            one,
            several,
            r"holds a run with one seed, which several cannot replace; change `name` \(as in name=tiny-seeds",
        ),
        (several | {"name": "b"}, one | {"name": "b"}, "holds several seeds, which a run with one cannot replace"),
    ):
        run_recipe(first, splits=splits())
        before = {path: path.stat().st_mtime_ns for path in place(first).rglob("*")}
        with pytest.raises(OutputError, match=message):
            run_recipe(second, splits=splits(), **flags)
        assert {path: path.stat().st_mtime_ns for path in place(first).rglob("*")} == before


# --resume


def test_resume_where_there_is_nothing_starts(small: Small, whole_run: RunResult) -> None:
    assert_same_run(run_recipe(small(), splits=splits(), resume=True).folder, whole_run.folder)


def test_resume_of_a_finished_run_gives_its_result_and_trains_nothing(small: Small) -> None:
    first = run_recipe(small(), splits=splits())
    watcher = Watcher()
    second = run_recipe(small(), splits=splits(), resume=True, observers=[watcher])
    assert second.metrics == json.loads(json.dumps(first.metrics))
    assert watcher.steps == []
    assert watcher.notes == [f"{first.folder} has finished already"]


def test_resume_of_a_finished_run_of_another_recipe_is_refused(small: Small) -> None:
    run_recipe(small(), splits=splits())
    with pytest.raises(OutputError, match="holds a finished run of another recipe; --overwrite begins anew, or change"):
        run_recipe(small(train={"epochs": 3}), splits=splits(), resume=True)


def test_resume_tidies_up_after_a_crash_at_the_very_end(small: Small) -> None:
    first = run_recipe(small(), splits=splits())
    (first.folder / "resume" / "state-1").mkdir(parents=True)
    (first.folder.parent / ".tiny.previous").mkdir()
    (first.folder.parent / ".tiny.lock").touch()
    run_recipe(small(), splits=splits(), resume=True)
    assert left_behind(first.folder) == []


def test_finished_metrics_that_cannot_be_read_are_an_error(small: Small) -> None:
    first = run_recipe(small(), splits=splits())
    (first.folder / "metrics.json").write_text('{"format": 1, ')
    with pytest.raises(OutputError, match=r"metrics\.json: cannot be read: .*; --overwrite begins the run anew"):
        run_recipe(small(), splits=splits(), resume=True)


# --overwrite


def old_run(small: Small) -> tuple[Path, dict[str, Any]]:
    """Trains another run into the place, and gives its place and scores."""
    result = run_recipe(small(train={"seed": 7}), splits=splits())
    return result.folder, metrics(result.folder)


def test_overwrite_replaces_the_old_run(small: Small, whole_run: RunResult) -> None:
    folder, _ = old_run(small)
    run_recipe(small(), splits=splits(), overwrite=True)
    assert_same_run(folder, whole_run.folder)


def test_overwrite_where_there_is_nothing_starts(small: Small, whole_run: RunResult) -> None:
    assert_same_run(run_recipe(small(), splits=splits(), overwrite=True).folder, whole_run.folder)


def test_the_old_run_outlives_a_new_one_that_is_stopped_overwritten_and_resumed(
    small: Small, whole_run: RunResult
) -> None:
    folder, scores = old_run(small)
    previous = folder.parent / ".tiny.previous"
    for _ in range(2):
        with pytest.raises(Interrupted) as caught:
            run_recipe(small(), splits=splits(), overwrite=True, observers=[signaller("on_step", 3, signal.SIGINT)])
        assert metrics(previous) == scores
        assert f"the run before it is kept in {previous} until a new one has finished" in str(caught.value)
    with pytest.raises(Interrupted):
        run_recipe(small(), splits=splits(), resume=True, observers=[signaller("on_step", 6, signal.SIGINT)])
    assert metrics(previous) == scores
    run_recipe(small(), splits=splits(), resume=True)
    assert_same_run(folder, whole_run.folder)


def test_the_old_run_outlives_a_new_one_that_diverges(small: Small, poison: Callable[[int], None]) -> None:
    folder, scores = old_run(small)
    poison(2)
    with pytest.raises(TrainingDiverged):
        run_recipe(small(), splits=splits(), overwrite=True)
    assert metrics(folder.parent / ".tiny.previous") == scores


# What the user is told when a run fails


def test_a_run_that_diverges_says_what_is_saved(small: Small, poison: Callable[[int], None]) -> None:
    recipe = small(train={"save_every": 2})
    poison(3)
    with pytest.raises(TrainingDiverged) as caught:
        run_recipe(recipe, splits=splits())
    first, second = caught.value.lines
    assert first.startswith("step 4: the loss is nan (learning rate 7.14e-04, gradient norm nan, rows train-")
    assert "try a smaller train.learning_rate" in first
    assert second == (
        f"the run up to step 2 is saved in {place(recipe)}: --resume goes on from there with the same recipe, "
        "--overwrite begins anew"
    )
    assert str(caught.value) == f"{first}\n{second}"


def test_a_run_that_fails_with_nothing_saved_says_so(small: Small, poison: Callable[[int], None]) -> None:
    recipe = small()
    poison(0)
    with pytest.raises(TrainingDiverged) as caught:
        run_recipe(recipe, splits=splits())
    assert caught.value.lines[1] == f"no state of the run was saved; --overwrite begins it anew in {place(recipe)}"


def test_an_error_of_our_own_carries_a_note_of_what_is_saved(small: Small, whole_run: RunResult) -> None:
    def fail() -> None:
        raise ZeroDivisionError("an observer's own mistake")

    recipe = small(train={"save_every": 2})
    with pytest.raises(ZeroDivisionError) as caught:
        run_recipe(recipe, splits=splits(), observers=[Watcher("on_step", 5, fail)])
    assert "up to step 4 is saved" in caught.value.__notes__[0]
    assert not (place(recipe).parent / ".tiny.lock").exists()
    resumed = run_recipe(recipe, splits=splits(), resume=True)
    assert_same_run(resumed.folder, whole_run.folder)


def test_a_disk_that_fills_up_while_saving_loses_nothing_that_was_saved(
    small: Small, whole_run: RunResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small(train={"save_every": 2})
    watcher = Watcher("on_step", 4, lambda: monkeypatch.setattr("textxfer.training.resume.flush_folder", full_disk))
    with pytest.raises(OutputError) as caught:
        run_recipe(recipe, splits=splits(), observers=[watcher])
    assert caught.value.exit_code == 2
    assert caught.value.lines[0] == (
        f"{place(recipe) / 'resume'}: the state of the run cannot be saved: No space left on device"
    )
    assert "up to step 2 is saved" in caught.value.lines[1]
    monkeypatch.undo()
    watcher = Watcher()
    resumed = run_recipe(recipe, splits=splits(), resume=True, observers=[watcher])
    assert watcher.steps[0] == 3
    assert_same_run(resumed.folder, whole_run.folder)


@pytest.mark.parametrize("full", ["save", "predictions", "card", "metrics"])
def test_a_disk_that_fills_up_at_the_end_loses_no_step(
    small: Small, whole_run: RunResult, monkeypatch: pytest.MonkeyPatch, full: str
) -> None:
    recipe = small(train={"save_every": 4})
    with monkeypatch.context() as patch:
        if full == "save":
            patch.setattr("transformers.PreTrainedModel.save_pretrained", full_disk)
        else:
            method = {"predictions": "write_lines", "card": "write_text", "metrics": "write_json"}[full]
            original = getattr(RunFolder, method)

            def write(self: RunFolder, name: str, content: Any) -> None:
                patch.setattr(os, "fsync", full_disk)
                original(self, name, content)

            patch.setattr(RunFolder, method, write)
        with pytest.raises(OutputError) as caught:
            run_recipe(recipe, splits=splits())
    assert "No space left on device" in caught.value.lines[0]
    assert "up to step 8 is saved" in caught.value.lines[1]
    assert not (place(recipe) / "metrics.json").exists()
    watcher = Watcher()
    resumed = run_recipe(recipe, splits=splits(), resume=True, observers=[watcher])
    assert watcher.steps == []
    assert_same_run(resumed.folder, whole_run.folder)


def test_a_log_that_cannot_be_written_is_an_error_that_names_it(small: Small) -> None:
    recipe = small()
    with pytest.raises(OutputError, match=r"log\.jsonl: cannot be written: Is a directory"):
        run_recipe(recipe, splits=splits(), observers=[Watcher("on_step", 1, (place(recipe) / "log.jsonl").mkdir)])


def test_a_second_run_in_the_folder_is_refused_while_one_works_in_it(small: Small) -> None:
    caught: list[OutputError] = []

    def run_beside() -> None:
        with pytest.raises(OutputError) as refused:
            run_recipe(small(), splits=splits(), resume=True)
        caught.append(refused.value)

    first = run_recipe(small(), splits=splits(), observers=[Watcher("on_step", 3, run_beside)])
    assert "another process is working in it; wait, or change `name`" in str(caught[0])
    assert left_behind(first.folder) == []
