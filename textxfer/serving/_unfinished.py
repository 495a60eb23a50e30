"""The life of an output file: what stands there, how far it is, how to go on with it."""

from __future__ import annotations

import contextlib
import glob
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from textxfer.disk import reason, write_pieces
from textxfer.errors import OutputError
from textxfer.serving._outputs import discard_parts, parts_folder

FORMAT = 1
ENDINGS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet"}
ARGUMENTS = {"model": "MODEL", "inputs": "--text, --text-pair, --question or --context"}
"""What settings are called on the command line, where that is not their own name."""


@dataclass(frozen=True)
class Done:
    """How far an output file is.

    Attributes:
        rows: Rows of the input whose predictions are written.
        bad_rows: How many of them have none.
        size: What of the output holds them: bytes, of a Parquet file parts.
        digest: Of those rows of the input.
    """

    rows: int = 0
    bad_rows: int = 0
    size: int = 0
    digest: str = ""


class Unfinished:
    """An output file, and `OUT.state` beside it for as long as it is unfinished.

    Args:
        path: Of the file: .jsonl, .csv or .parquet.
        resume: Go on with an unfinished file.
        overwrite: Begin anew where there is a file.

    Raises:
        OutputError: There is a file and neither was said, both were said, or the place cannot be written.
    """

    def __init__(self, path: Path, resume: bool = False, overwrite: bool = False) -> None:
        self.path, self.resume, self.overwrite = path, resume, overwrite
        self.state = path.with_name(f"{path.name}.state")
        self.identity: dict[str, Any] = {}
        if path.suffix.lower() not in ENDINGS:
            what = f"{path.suffix} files" if path.suffix else "files without ending"
            raise OutputError(f"{path}: predictions are written as {' '.join(ENDINGS)}, not as {what}")
        if resume and overwrite:
            raise OutputError("--resume and --overwrite exclude each other: go on with the file, or begin anew")
        self._check()

    @property
    def kind(self) -> str:
        """Whether it is "jsonl", "csv" or "parquet"."""
        return ENDINGS[self.path.suffix.lower()]

    def found(self, identity: Mapping[str, Any]) -> Done:
        """Says how far the file is: nothing is done where it is begun anew.

        Args:
            identity: What must be the same to go on: names and JSON values.

        Raises:
            OutputError: It was begun with another model or in another way, or is damaged.
        """
        self.identity = dict(identity)
        if self.overwrite or not self.state.exists():
            return Done()
        known, done = self._read()
        others = [ARGUMENTS.get(key, f"--{key}") for key, value in self.identity.items() if known.get(key) != value]
        if others:
            raise OutputError(
                f"{self.path}: was begun with another {' and another '.join(others)}; give the same to go on with it, "
                "or --overwrite to begin anew"
            )
        if not self._holds(done):
            raise OutputError(f"{self.path}: was changed since it was begun; --overwrite begins anew")
        return done

    def note(self, done: Done) -> None:
        """Makes sure that the file will be gone on with from here, also after a power cut.

        Raises:
            OutputError: The disk is full, or the like.
        """
        state = {"format": FORMAT, "identity": self.identity, "done": asdict(done)}
        write_pieces(self.state, [json.dumps(state, indent=2) + "\n"])

    def finish(self) -> None:
        """Deletes what only an unfinished file needs."""
        self._sweep()
        self.state.unlink(missing_ok=True)
        discard_parts(self.path)

    def leave(self) -> str:
        """Cuts off what was not noted, and says how to go on."""
        with contextlib.suppress(OSError, OutputError):
            self._sweep()
            if self.state.exists():
                _, done = self._read()
                if done.rows:
                    if self.kind != "parquet":
                        os.truncate(self.path, done.size)
                    return f"{self.path}: the first {done.rows:,} rows are kept; --resume goes on from there"
                self.path.unlink(missing_ok=True)
                self.finish()
        return f"{self.path}: nothing was written"

    def _check(self) -> None:
        try:
            there, begun = os.path.lexists(self.path), self.state.exists()
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be read: {reason(error)}") from error
        if self.path.is_dir():
            raise OutputError(f"{self.path}: is a folder; name a file")
        if begun and not (self.resume or self.overwrite):
            raise OutputError(f"{self.path}: is unfinished; --resume goes on with it, --overwrite begins anew")
        if there and not begun and self.resume:
            raise OutputError(
                f"{self.path}: is finished, or not of this command (there is no {self.state.name} beside it); "
                "--overwrite replaces it"
            )
        if there and not begun and not self.overwrite:
            raise OutputError(
                f"{self.path}: is there already; --overwrite replaces it (--resume goes on with an unfinished one)"
            )
        if not self.path.parent.is_dir():
            raise OutputError(f"{self.path}: there is no folder {self.path.parent}")
        for place in (self.path.parent, *([self.path] if there else [])):
            if not os.access(place, os.W_OK):
                raise OutputError(f"{self.path}: {place} cannot be written")

    def _read(self) -> tuple[dict[str, Any], Done]:
        try:
            state = json.loads(self.state.read_text(encoding="utf-8"))
            if state["format"] != FORMAT:
                raise ValueError(f"it is of format {state['format']}")
            return state["identity"], Done(**state["done"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise OutputError(f"{self.state}: cannot be read: {reason(error)}; --overwrite begins anew") from error

    def _holds(self, done: Done) -> bool:
        """Says whether all that was noted is still there."""
        if self.kind == "parquet":
            return all((parts_folder(self.path) / f"{number}.parquet").exists() for number in range(done.size))
        return done.size == 0 or (self.path.is_file() and self.path.stat().st_size >= done.size)

    def _sweep(self) -> None:
        """Deletes states that a killed process did not finish writing."""
        for left in self.path.parent.glob(f".{glob.escape(self.state.name)}.tmp-*"):
            left.unlink(missing_ok=True)
