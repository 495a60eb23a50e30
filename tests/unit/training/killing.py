"""Goes on with what SIGKILL leaves of a run before every single call that changes the disk.

Run by test_killing.py as `python -m tests.unit.training.killing MODE CHECKPOINT DIRECTORY`, in a process of its own, so
that it can fork: imports are paid once, and each run is a child. One run keeps a copy of the disk before each of its
changes, which is what a process that is killed there leaves: what it has not flushed is in neither. That copy and kill
leave the same is seen by a run that is killed indeed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from tests.unit.training.helpers import Watcher, assert_same_run, leave_blank, left_behind, make_recipe, splits
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


def before_changes(act: Callable[[int], object]) -> None:
    """Calls something before each change of the disk that this process makes from now on, with the change's number."""
    made, acting = 0, False

    def watched(change: Callable[..., Any]) -> Callable[..., Any]:
        def watching(*arguments: Any, **options: Any) -> Any:
            nonlocal made, acting
            if not acting:
                made, acting = made + 1, True
                act(made)
                acting = False
            return change(*arguments, **options)

        return watching

    for name in CHANGES:
        setattr(os, name, watched(getattr(os, name)))


def die_before(call: int) -> None:
    """Kills this process before its `call`-th change of the disk from now on."""
    before_changes(lambda made: made == call and os.kill(os.getpid(), signal.SIGKILL))


class AtModel(Watcher):
    """Acts when the model is there: before that, nothing of the run is on the disk."""

    def on_model(self, frozen: Any) -> None:
        self.act()


class Disk:
    """The folder of runs, and copies of it by number; 0 is what it was in the beginning."""

    def __init__(self, runs: Path, copies: Path) -> None:
        self.runs, self.copies = runs, copies
        runs.mkdir(exist_ok=True)
        self.keep(0)

    def keep(self, number: int) -> None:
        shutil.copytree(self.runs, self.copies / str(number), symlinks=True)

    def put_back(self, number: int) -> None:
        shutil.rmtree(self.runs)
        shutil.copytree(self.copies / str(number), self.runs, symlinks=True)

    def last(self) -> int:
        return max(int(path.name) for path in self.copies.iterdir())


def listing(folder: Path) -> dict[str, int | None]:
    """Gives the sizes of files by path, None for those that hold times, and for folders; no path names a process."""
    found = {re.sub(r"tmp-\d+", "tmp", str(path.relative_to(folder))): path for path in folder.rglob("*")}
    timed = (".json", ".jsonl", "")
    return {name: None if path.suffix in timed else path.stat().st_size for name, path in found.items()}


def goes_on(recipe: dict[str, Any], folder: Path, kept: str | None) -> None:
    """Goes on with what is left of a run; one that it replaces must not be lost."""
    finished = folder / "metrics.json"
    if kept is not None and not (finished.exists() and finished.read_text() != kept):
        places = [folder, folder.parent / f".{folder.name}.previous"]
        places = [place for place in places if (place / "metrics.json").exists()]
        assert [(place / "metrics.json").read_text() for place in places] == [kept], "the old run is lost"
        assert (places[0] / "model" / "model.safetensors").exists()
    unfinished = (folder / "recipe.yaml").exists() and not finished.exists()
    options = {"resume": True} if kept is None or unfinished else {"overwrite": True}
    assert in_child(lambda: run_recipe(recipe, splits=splits(), **options)) == 0, "cannot go on"


def main() -> None:
    Figure.savefig = leave_blank  # type: ignore[method-assign, assignment]
    mode, checkpoint, directory = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    save_every = 1 if mode == "new" else "never"
    recipe = make_recipe(checkpoint, directory / "runs", train=STEPS | {"save_every": save_every})
    folder, kept = directory / "runs" / recipe["name"], None
    # And everything is imported, for all children.
    whole = run_recipe(recipe, f"output.directory={directory / 'whole'}", splits=splits()).folder
    assert left_behind(whole) == []
    if mode == "replaced":
        run_recipe(recipe, "train.seed=7", splits=splits())
        kept = (folder / "metrics.json").read_text()
    disk = Disk(directory / "runs", directory / "copies")

    def run(act: Callable[[], None]) -> int:
        observers = [AtModel(act=act)]
        return in_child(lambda: run_recipe(recipe, splits=splits(), overwrite=kept is not None, observers=observers))

    assert run(lambda: before_changes(disk.keep)) == 0
    assert_same_run(folder, whole)
    moments = disk.last()
    for moment in (moments // 3, moments // 2):
        disk.put_back(0)
        assert run(lambda moment=moment: die_before(moment)) == -signal.SIGKILL
        assert listing(disk.runs) == listing(disk.copies / str(moment)), f"a copy is not what a kill leaves at {moment}"
    for moment in range(1, moments + 1):
        disk.put_back(moment)
        try:
            goes_on(recipe, folder, kept)
            assert_same_run(folder, whole)
        except AssertionError as error:
            raise AssertionError(f"before change {moment} of the disk") from error
    print(json.dumps(moments))


if __name__ == "__main__":
    main()
