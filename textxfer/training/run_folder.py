"""The life of a run folder: who may begin, what is moved aside, what marks the end."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from textxfer.disk import discard, reason, write_pieces
from textxfer.errors import OutputError
from textxfer.recipe.writing import to_yaml

RECIPE = "recipe.yaml"
METRICS = "metrics.json"
SEEDS = "seeds.json"
ENVIRONMENT = "environment.json"
CHOICES = "choices.json"
SUSPECTS = "suspects.csv"
ABOUT_SUSPECTS = "suspects.json"


class RunFolder:
    """One run's folder. Nothing is written before `claim`.

    Beside it, hidden, may stand the run that it replaces (`.<name>.previous`), a lock while a process works in it, and
    for a moment a folder that is being made or deleted.

    Args:
        path: `runs/<name>`.
        resume: Go on with an unfinished run.
        overwrite: Begin anew where there is a run.

    Raises:
        OutputError: There is a run and neither was said, both were said, what stands there is no run, or the place
            cannot be written.
    """

    def __init__(self, path: Path, resume: bool = False, overwrite: bool = False) -> None:
        self.path, self.resume, self.overwrite = path, resume, overwrite
        self.lock = FileLock(self._beside("lock"))
        if resume and overwrite:
            raise OutputError("--resume and --overwrite exclude each other: go on with the run, or begin anew")
        self._check()

    @property
    def holds(self) -> Literal["nothing", "an unfinished run", "a finished run", "something else"]:
        """What stands at the place; metrics.json, written last, marks a finished run."""
        if not os.path.lexists(self.path) or (self.path.is_dir() and not any(self.path.iterdir())):
            return "nothing"
        if not (self.path / RECIPE).is_file():
            return "something else"
        return "a finished run" if (self.path / METRICS).is_file() else "an unfinished run"

    def keeps(self, file: str | None, field: str) -> None:
        """Stops before a file is lost that a recipe reads and that lies in the folder which is to be replaced."""
        if self.overwrite and file is not None and Path(file).resolve().is_relative_to(self.path.resolve()):
            raise OutputError(f"{field}: {file} lies in the run folder that --overwrite replaces; copy it elsewhere")

    @property
    def finished(self) -> bool:
        """Whether a finished run is there."""
        return self.holds == "a finished run"

    @property
    def resume_folder(self) -> Path:
        """Where the states of an unfinished run are."""
        return self.path / "resume"

    @property
    def previous(self) -> Path:
        """Where the run that is being replaced waits."""
        return self._beside("previous")

    def claim(self) -> bool:
        """Keeps other processes out until `release`, and makes sure that all is still as it was found.

        Returns:
            Whether an unfinished run is to be gone on with.

        Raises:
            OutputError: Another process works in the folder, or has done so since.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.lock.acquire(timeout=0)
            if self.holds == "nothing" and self.previous.exists():  # its replacement has gone: it stands again
                self._move_aside()
                self.previous.rename(self.path)
        except Timeout:
            raise OutputError(f"{self.path}: another process is working in it; wait, or change `name`") from None
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {reason(error)}") from error
        self._check()
        if self.resume and self.finished:
            raise OutputError(
                f"{self.path}: another process has finished this run in the meantime; its results are there"
            )
        return self.resume and self.holds == "an unfinished run"

    def begin(
        self, recipe: Mapping[str, Any], environment: Mapping[str, Any], choices: Mapping[str, Any] | None = None
    ) -> None:
        """Puts a new run in the place, just before its first step; an old one is moved aside.

        What is no whole recipe (it names no task) is written without the line that says how to run it.

        Args:
            recipe: Resolved.
            environment: For environment.json.
            choices: What the recipe left open and the run settled, and why, for choices.json.

        Raises:
            OutputError: It cannot be written.
        """
        new = self._beside("new")
        head = "# The recipe as it was carried out. To repeat the run: python -m textxfer.run THIS_FILE name=again\n"
        try:
            discard(new)
            new.mkdir()
            write_pieces(new / ENVIRONMENT, [_json(environment)])
            if choices:
                write_pieces(new / CHOICES, [_json(choices)])
                head += f"# Chosen by the run, see {CHOICES}: {', '.join(sorted(choices))}\n"
            text = to_yaml(recipe)
            write_pieces(new / RECIPE, [head, text] if "task" in recipe else [text])
            self._move_aside()
            new.rename(self.path)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {reason(error)}") from error
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def finish(self, metrics: Mapping[str, Any]) -> None:
        """Marks the run as finished, and deletes what only an unfinished one needs."""
        self.write_json(METRICS, metrics)
        self.tidy()

    def tidy(self) -> None:
        """Deletes what a finished run has no need of: saved states, the run it replaced, left-overs of a crash."""
        if not self.finished:
            return
        names = ("previous", "going", "previous.going", "new.going")
        left = [path for path in (self.resume_folder, *map(self._beside, names)) if os.path.lexists(path)]
        left += [path for pattern in (".*.tmp-*", "model.tmp-*", "model.old-*") for path in self.path.rglob(pattern)]
        try:
            if left or self._beside("lock").exists():  # `release` deletes the lock
                self.lock.acquire(timeout=0)
        except (Timeout, OSError):
            return  # another process is at it, or the place is for reading only
        for path in left:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)

    def release(self) -> None:
        """Lets other processes work in the folder; does nothing where it is not claimed."""
        if not self.lock.is_locked:
            return
        place = Path(self.lock.lock_file)
        with contextlib.suppress(OSError):  # Windows deletes no open file
            place.unlink(missing_ok=True)
        self.lock.release(force=True)

    def read_json(self, name: str) -> dict[str, Any]:
        """Reads a JSON file of the run.

        Raises:
            OutputError: It is missing or damaged.
        """
        try:
            data = json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            message = f"{self.path / name}: cannot be read: {reason(error)}; --overwrite begins the run anew"
            raise OutputError(message) from error
        return dict(data)

    def read_lines(self, name: str) -> list[dict[str, Any]]:
        """Reads a file of JSON lines; there are none where it is missing."""
        path = self.path / name
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    def write_json(self, name: str, data: Any) -> None:
        """Writes a JSON file, whole or not at all."""
        write_pieces(self.path / name, [_json(data)])

    def write_lines(self, name: str, records: Iterable[Mapping[str, Any]]) -> None:
        """Writes a JSON object a line, whole or not at all."""
        write_pieces(self.path / name, (json.dumps(record, ensure_ascii=False) + "\n" for record in records))

    def write_text(self, name: str, text: str) -> None:
        """Writes a text file, whole or not at all."""
        write_pieces(self.path / name, [text])

    def _beside(self, what: str) -> Path:
        return self.path.parent / f".{self.path.name}.{what}"

    def _move_aside(self) -> None:
        """Clears the place; the last finished run there is kept until the new one has finished."""
        if self.holds == "nothing":
            if self.path.is_dir():
                self.path.rmdir()
            return
        if self.previous.exists() and not self.finished:
            discard(self.path)  # it was to replace the one that waits, and never finished
            return
        discard(self.previous)
        self.path.rename(self.previous)

    def _check(self) -> None:
        """Stops where the folder cannot be used as asked."""
        try:
            holds = self.holds
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be read: {reason(error)} (output.directory)") from error
        if holds == "something else":
            raise OutputError(
                f"{self.path}: is there, but is no run (it has no {RECIPE}); nothing of it is touched: change `name` "
                "or output.directory"
            )
        if holds != "nothing" and not (self.resume or self.overwrite):
            go_on = "leaves it as it is" if holds == "a finished run" else "goes on with it"
            raise OutputError(
                f"{self.path}: holds {holds}; --resume {go_on}, --overwrite begins anew (and deletes the old one when "
                "the new one has finished)"
            )
        if self.resume and holds == "a finished run":
            return  # nothing will be written
        places = [next(parent for parent in self.path.absolute().parents if os.path.lexists(parent))]
        if not places[0].is_dir():
            raise OutputError(f"{self.path}: {places[0]} is not a folder (output.directory)")
        places += [self.path] if self.resume and holds == "an unfinished run" else []
        for place in places:
            if not os.access(place, os.W_OK | os.X_OK):
                raise OutputError(f"{self.path}: {place} cannot be written (output.directory)")


def write_seeds(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Writes what several runs of one recipe come to, beside their folders."""
    write_pieces(folder / SEEDS, [_json(metrics)])


def _json(data: Any) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
