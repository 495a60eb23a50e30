"""The life of a run folder: who may begin, what is moved aside, what marks the end."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from textxfer.errors import OutputError


class RunFolder:
    """One run's folder. Nothing is written before `begin`.

    Args:
        path: `runs/<name>`.
        resume: Go on with an unfinished run.
        overwrite: Begin anew where there is a run.

    Raises:
        OutputError: There is a run and neither was said, both were said, another process works in it, or the place
            cannot be written.
    """

    def __init__(self, path: Path, resume: bool = False, overwrite: bool = False) -> None:
        self.path = path
        if resume and overwrite:
            raise OutputError("--resume and --overwrite exclude each other: go on with the run, or begin anew")
        self.resumes = resume and self.exists and not self.finished
        if self.exists and not (resume or overwrite):
            state = "a finished" if self.finished else "an unfinished"
            go_on = "leaves it as it is" if self.finished else "goes on with it"
            raise OutputError(
                f"{path}: holds {state} run; --resume {go_on}, --overwrite begins anew (and deletes the old one when the "
                "new one has finished)"
            )
        self._check_writable()
        self.lock = FileLock(path.parent / f".{path.name}.lock")

    @property
    def exists(self) -> bool:
        """Whether there is anything at the place."""
        return self.path.exists()

    @property
    def finished(self) -> bool:
        """Whether the run there has finished: metrics.json is written last."""
        return (self.path / "metrics.json").is_file()

    @property
    def resume_folder(self) -> Path:
        """Where the state of an unfinished run is."""
        return self.path / "resume"

    @property
    def previous(self) -> Path:
        """Where the run that is being replaced waits."""
        return self.path.parent / f".{self.path.name}.previous"

    def begin(self, recipe: Mapping[str, Any], environment: Mapping[str, Any]) -> None:
        """Makes the folder, or goes on in it, just before the first step."""
        self._take_lock()
        if self.resumes:
            return
        try:
            if self.exists and self.previous.exists():
                shutil.rmtree(self.path)  # an unfinished run in the place of the one that waits
            elif self.exists:
                self.path.rename(self.previous)
            self.path.mkdir(parents=True)
            text = "# The resolved recipe: running it again repeats the run.\n"
            self.write_text("recipe.yaml", text + yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True))
            self.write_json("environment.json", environment)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror or error}") from error

    def finish(self, metrics: Mapping[str, Any]) -> None:
        """Deletes what only an unfinished run needs, writes metrics.json, and lets the previous run go."""
        self.write_json("metrics.json", metrics)
        shutil.rmtree(self.resume_folder, ignore_errors=True)
        shutil.rmtree(self.previous, ignore_errors=True)

    def release(self) -> None:
        """Lets other processes work in the folder."""
        self.lock.release(force=True)
        Path(self.lock.lock_file).unlink(missing_ok=True)

    def write_json(self, name: str, data: Any) -> None:
        """Writes a JSON file, whole or not at all."""
        self.write_text(name, json.dumps(data, indent=2, ensure_ascii=False) + "\n")

    def write_lines(self, name: str, records: Iterable[Mapping[str, Any]]) -> None:
        """Writes a JSON object a line, whole or not at all."""
        self.write_text(name, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))

    def write_text(self, name: str, text: str) -> None:
        """Writes a text file, whole or not at all.

        Raises:
            OutputError: It cannot be written.
        """
        place = self.path / name
        temporary = place.with_name(f".{place.name}.tmp-{os.getpid()}")
        try:
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
            temporary.replace(place)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise OutputError(f"{place}: cannot be written: {error.strerror or error}") from error

    def _check_writable(self) -> None:
        nearest = next(parent for parent in self.path.absolute().parents if parent.exists())
        if not nearest.is_dir():
            raise OutputError(f"{self.path}: {nearest} is not a folder (output.directory)")
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise OutputError(f"{self.path}: {nearest} cannot be written (output.directory)")

    def _take_lock(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.lock.acquire(timeout=0)
        except Timeout:
            raise OutputError(f"{self.path}: another process is working in it; wait, or change `name`") from None
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror or error}") from error
