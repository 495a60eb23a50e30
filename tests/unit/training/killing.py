"""Kills runs with SIGKILL before every single call that changes the disk, and goes on with what is left.

Run by test_killing.py as `python -m tests.unit.training.killing MODE CHECKPOINT DIRECTORY`, in a process of its own, so
that it can fork: imports are paid once, and each run is a child that may be killed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.unit.training.helpers import Watcher, assert_same_run, left_behind, make_recipe, splits
from textxfer.run import run_recipe

CHANGES = ("fsync", "rename", "replace", "mkdir", "unlink", "rmdir")
STEPS = {"epochs": 1, "batch_size": 16, "evaluate_every": 1, "log_every": 1}


def in_child(work: Callable[[], object]) -> int:
    """Calls something in a child and gives its exit status, negative for a signal."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die_before(call: int) -> None:
    """Kills this process before its `call`-th change of the disk from now on."""
    made = 0

    def counted(change: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*arguments: Any, **options: Any) -> Any:
            nonlocal made
            made += 1
            if made == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return change(*arguments, **options)

        return counting

    for name in CHANGES:
        setattr(os, name, counted(getattr(os, name)))


class Killer(Watcher):
    """Begins to count when the model is there: before that, nothing of the run is on the disk."""

    def __init__(self, call: int) -> None:
        super().__init__()
        self.call = call

    def on_model(self, frozen: Any) -> None:
        die_before(self.call)


def new_run(recipe: dict[str, Any], whole: Path, call: int) -> bool:
    """Kills a new run, resumes it, compares; says whether there was anything left to kill."""
    recipe = {**recipe, "name": f"new{call}"}
    folder = Path(recipe["output"]["directory"]) / recipe["name"]
    status = in_child(lambda: run_recipe(recipe, splits=splits(), observers=[Killer(call)]))
    assert status in (0, -signal.SIGKILL), f"call {call}: the run ended with {status}"
    assert in_child(lambda: run_recipe(recipe, splits=splits(), resume=True)) == 0, f"call {call}: cannot be resumed"
    assert_same_run(folder, whole)
    return status != 0


def replaced_run(recipe: dict[str, Any], whole: Path, call: int) -> bool:
    """Kills a run that replaces a finished one, which must not be lost; then lets it finish."""
    folder = Path(recipe["output"]["directory"]) / f"replaced{call}"
    previous = folder.parent / f".{folder.name}.previous"
    recipe = {**recipe, "name": folder.name}
    shutil.copytree(folder.parent / "old", folder)
    kept = (folder / "metrics.json").read_text()
    status = in_child(lambda: run_recipe(recipe, splits=splits(), overwrite=True, observers=[Killer(call)]))
    assert status in (0, -signal.SIGKILL), f"call {call}: the run ended with {status}"
    finished = folder / "metrics.json"
    if not (finished.exists() and finished.read_text() != kept):
        places = [place for place in (folder, previous) if (place / "metrics.json").exists()]
        assert [(place / "metrics.json").read_text() for place in places] == [kept], f"call {call}: the old run is lost"
        assert (places[0] / "model" / "model.safetensors").exists()
    unfinished = (folder / "recipe.yaml").exists() and not finished.exists()
    options: dict[str, Any] = {"resume": True} if unfinished else {"overwrite": True}
    assert in_child(lambda: run_recipe(recipe, splits=splits(), **options)) == 0, f"call {call}: cannot go on"
    assert_same_run(folder, whole)
    return status != 0


def main() -> None:
    mode, checkpoint, directory = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    save_every = 1 if mode == "new" else "never"
    recipe = make_recipe(checkpoint, directory, train=STEPS | {"save_every": save_every})
    whole = directory / "whole"
    run_recipe(recipe, "name=whole", splits=splits())  # and everything is imported, for all children
    run_recipe(recipe, "name=old", "train.seed=7", splits=splits())
    assert left_behind(whole) == []
    call = 1
    while {"new": new_run, "replaced": replaced_run}[mode](recipe, whole, call):
        shutil.rmtree(directory / f"{mode}{call}")
        call += 1
    print(json.dumps(call - 1))


if __name__ == "__main__":
    main()
