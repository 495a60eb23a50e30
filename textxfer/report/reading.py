"""What a run folder's files hold, as far as they are there."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from textxfer.errors import OutputError
from textxfer.recipe.public import public_name, public_text
from textxfer.report.rows import AnswerRow, LabelRow, each_line, read_rows
from textxfer.training.run_folder import ABOUT_SUSPECTS, CHOICES, ENVIRONMENT, METRICS, RECIPE, SUSPECTS

LOG, PREDICTIONS, FINDINGS = "log.jsonl", "predictions.jsonl", "findings.json"

Read = TypeVar("Read")


@dataclass(frozen=True)
class RunFiles:
    """A finished run as its files tell it; only the metrics are always there.

    Attributes:
        name: Of the run.
        metrics: metrics.json.
        recipe: The resolved recipe.
        recipe_text: Its YAML, as others may see it.
        environment: environment.json, without the place of the checkpoint.
        log: The lines of log.jsonl.
        rows: Labelled test rows with what was predicted.
        answers: The same for questions.
        findings: findings.json: what the data checks found.
        suspects: suspects.csv: rows whose label is probably wrong; None where nobody has looked for them.
        about_suspects: suspects.json: what there is to say of these rows; empty for runs of earlier versions.
        choices: choices.json: what the recipe left open and the run chose.
        notes: What could not be read, a sentence each.
    """

    name: str
    metrics: Mapping[str, Any]
    recipe: Mapping[str, Any]
    recipe_text: str
    environment: Mapping[str, Any]
    log: Sequence[Mapping[str, Any]]
    rows: Sequence[LabelRow]
    answers: Sequence[AnswerRow]
    findings: Mapping[str, Any]
    suspects: Sequence[Mapping[str, str]] | None
    about_suspects: Mapping[str, Any]
    choices: Mapping[str, Any]
    notes: Sequence[str]

    @property
    def split(self) -> str | None:
        """The split whose scores the report is about: test, else validation."""
        return next((split for split in ("test", "validation") if split in self.metrics), None)

    @property
    def scores(self) -> Mapping[str, float]:
        """The scores of that split."""
        return self.metrics.get(self.split, {}) if self.split else {}

    @property
    def num_rows(self) -> int:
        """The rows of that split; 0 where it is not known."""
        return int(self.metrics.get("num_examples", {}).get(self.split, 0))

    def of_split(self, key: str) -> Mapping[str, Any]:
        """Gives the part of a section of metrics.json that is about that split; empty where there is none."""
        return (self.metrics.get(key) or {}).get(self.split) or {}

    def setting(self, section: str, key: str) -> Any:
        """Gives a field of the recipe, None where it is not known."""
        part = self.recipe.get(section)
        return part.get(key) if isinstance(part, Mapping) else None


def read_run(folder: Path) -> RunFiles:
    """Reads a run folder.

    Raises:
        OutputError: There is no metrics.json, or it cannot be read: the folder holds no finished run.
    """
    notes: list[str] = []

    def read(name: str, how: Callable[[Path], Read], otherwise: Read) -> Read:
        """Reads a file that may be missing; one that is damaged is passed over with a note."""
        try:
            return how(folder / name)
        except FileNotFoundError:
            return otherwise
        except (OSError, ValueError, csv.Error) as error:
            notes.append(f"{name} cannot be read and is left out: {str(error).splitlines()[0]}")
            return otherwise

    nothing: Mapping[str, Any] = {}
    recipe = read(RECIPE, _yaml, nothing)
    environment = dict(read(ENVIRONMENT, read_mapping, nothing))
    if "checkpoint" in environment:
        environment["checkpoint"] = public_name(str(environment["checkpoint"]))
    no_rows: tuple[list[LabelRow], list[AnswerRow]] = ([], [])
    rows, answers = read(PREDICTIONS, lambda path: read_rows(path, notes), no_rows)
    return RunFiles(
        name=folder.resolve().name,
        metrics=_read_metrics(folder),
        recipe=recipe,
        recipe_text=public_text(recipe, environment.get("files") or {}) if recipe else "",
        environment=environment,
        log=read(LOG, lambda path: _lines(path, notes), []),
        rows=rows,
        answers=answers,
        findings=read(FINDINGS, read_mapping, nothing),
        suspects=read(SUSPECTS, _csv_rows, None),
        about_suspects=read(ABOUT_SUSPECTS, read_mapping, nothing),
        choices=read(CHOICES, read_mapping, nothing),
        notes=notes,
    )


def _read_metrics(folder: Path) -> Mapping[str, Any]:
    path = folder / METRICS
    try:
        return read_mapping(path)
    except FileNotFoundError:
        what = "the run has not finished" if (folder / RECIPE).is_file() else "this is no run folder"
        raise OutputError(f"{path}: there is no such file: {what}; name the folder of a finished run") from None
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: cannot be read: {error}; run the recipe again with --overwrite") from error


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def read_mapping(path: Path) -> Mapping[str, Any]:
    """Reads a file of JSON that must hold an object.

    Raises:
        OSError: It cannot be read.
        ValueError: It holds something else.
    """
    data = json.loads(_text(path))
    if not isinstance(data, dict):
        raise ValueError("it holds no JSON object")
    return data


def _yaml(path: Path) -> Mapping[str, Any]:
    from textxfer.recipe.reading import read_text

    document = read_text(_text(path), path.name)
    if document.problems:
        raise ValueError(document.problems[0].message)
    return dict(document.data)


def _lines(path: Path, notes: list[str]) -> list[Mapping[str, Any]]:
    lines: list[Mapping[str, Any]] = []
    each_line(path, lambda line: lines.append({**line, "step": line["step"]}), notes)  # no line of a log is without
    return lines


def _csv_rows(path: Path) -> list[Mapping[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:  # the mark that `suspects` writes
        return [{key: value or "" for key, value in row.items() if key} for row in csv.DictReader(file)]
