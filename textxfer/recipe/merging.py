"""Recipes laid over each other: shorthands written out, paths made absolute, a base recipe and overrides merged in."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from textxfer.errors import RecipeError
from textxfer.recipe.problems import COMMAND_LINE, Mark, Problem
from textxfer.recipe.reading import Document, read_value
from textxfer.recipe.schema import SHORTHANDS
from textxfer.recipe.sections import TASK_TEXTS
from textxfer.section import HeadSection

PACKAGE = "package:"
DATA_ENDINGS = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".txt")
BELONG_TO = {
    ("checkpoint", "id"): ("revision", "auto"),
    ("checkpoint", "auto"): ("id", "revision"),
    ("dataset", "path"): ("hub", "config", "revision", "drop"),
    ("dataset", "hub"): ("path", "config", "revision", "drop"),
}
"""Naming the one takes back the others that the base recipe named: they belong to another checkpoint or data set."""


def normalise(document: Document, folder: Path) -> None:
    """Writes shorthands out, and makes paths absolute that are relative to `folder`."""
    for section, key in SHORTHANDS.items():
        value = document.data.get(section)
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            document.data[section] = {key: value}
    _cut_revision(document, folder)
    _make_absolute(document.data, folder)


def merged(base: Document, child: Document) -> Document:
    """Lays one document over another: where both say something, `child` is right."""
    for (section, key), others in BELONG_TO.items():
        named = child.data.get(section)
        if isinstance(named, dict) and named.get(key) is not None:
            for other in others:
                named.setdefault(other, None)
    # Naming another head takes back the fields that not all heads have.
    old, new = base.data.get("head"), child.data.get("head")
    if isinstance(old, dict) and isinstance(new, dict) and new.get("name", old.get("name")) != old.get("name"):
        shared = HeadSection.model_fields.keys() - {"name"}
        base.data["head"] = {key: value for key, value in old.items() if key in shared}
    return _laid_over(base, child)


def apply_overrides(document: Document, overrides: Sequence[str]) -> Document:
    """Lays `key.key=value` texts over a document; paths in them are relative to the current folder."""
    together = Document()
    for override in overrides:
        together = _laid_over(together, _parse(override))
    return merged(document, together)


def _laid_over(base: Document, child: Document) -> Document:
    def merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
        both = dict(below)
        for key, value in above.items():
            old = both.get(key)
            both[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        return both

    data = merge(base.data, child.data)
    return Document(data, base.marks | child.marks, [*base.problems, *child.problems])


def _parse(override: str) -> Document:
    """Reads one `key.key=value`."""
    document, mark = Document(), Mark(COMMAND_LINE)
    dotted, equals, text = override.partition("=")
    path = tuple(dotted.strip().split("."))
    if not equals or not all(path):
        document.problems.append(Problem((), f"`{override}` is not of the form key=value, as in train.epochs=1", mark))
    elif path == ("extends",):
        document.problems.append(Problem(path, "stands in a recipe, not on the command line", mark))
    else:
        try:
            value = read_value(text)
        except RecipeError as error:
            document.problems.append(Problem(path, str(error), mark))
            return document
        for key in reversed(path):
            value = {key: value}
        document.data = value
        document.marks = {path[:length]: mark for length in range(1, len(path) + 1)}
        normalise(document, Path.cwd())
    return document


def _cut_revision(document: Document, folder: Path) -> None:
    """Cuts a checkpoint `id@revision` into its two parts."""
    checkpoint = document.data.get("checkpoint")
    if not isinstance(checkpoint, dict):
        return
    name = checkpoint.get("id")
    if not isinstance(name, str) or "@" not in name or _looks_local(name) or os.path.isdir(folder / name):
        return
    bare, _, revision = name.rpartition("@")
    if not bare or not revision:
        problem = f"`{name}` is not of the form id@revision"
    elif checkpoint.get("revision") is not None:
        problem = f"`{name}` names a revision, and so does `checkpoint.revision`; keep one"
    else:
        checkpoint["id"], checkpoint["revision"] = bare, revision
        return
    document.problems.append(Problem(("checkpoint", "id"), problem, document.mark(("checkpoint", "id"))))


def _make_absolute(data: dict[str, Any], folder: Path) -> None:
    dataset, checkpoint, plugins = data.get("dataset"), data.get("checkpoint"), data.get("plugins")
    for key in ("path", "drop"):
        if isinstance(dataset, dict) and isinstance(dataset.get(key), str):
            dataset[key] = _inside(folder, dataset[key])
    if isinstance(checkpoint, dict):
        if isinstance(checkpoint.get("id"), str):
            checkpoint["id"] = place_of(checkpoint["id"], folder)
        if isinstance(checkpoint.get("auto"), list):
            several = checkpoint["auto"]
            checkpoint["auto"] = [place_of(name, folder) if isinstance(name, str) else name for name in several]
    adapt = data.get("adapt")
    if isinstance(adapt, dict) and isinstance(adapt.get("texts"), (str, list)):
        places = [adapt["texts"]] if isinstance(adapt["texts"], str) else adapt["texts"]
        adapt["texts"] = [_place_of_texts(folder, place) if isinstance(place, str) else place for place in places]
    if isinstance(plugins, list):
        data["plugins"] = [_inside(folder, item) if isinstance(item, str) else item for item in plugins]


def place_of(checkpoint: str, folder: Path) -> str:
    """Gives the absolute path of a checkpoint that is a folder, relative to `folder`; other names as they are."""
    local = _inside(folder, checkpoint)
    is_folder = not checkpoint.startswith(PACKAGE) and (_looks_local(checkpoint) or os.path.isdir(local))
    return local if is_folder else checkpoint


def id_and_revision(name: str) -> tuple[str, str | None]:
    """Cuts a checkpoint's name `id@revision`, made absolute where it is a folder, into its two parts."""
    bare, at, revision = name.rpartition("@")
    return (bare, revision) if at and not _looks_local(name) else (name, None)


def _place_of_texts(folder: Path, name: str) -> str:
    """Makes a place of texts absolute where it is no Hub id and does not stand for the task's own texts."""
    local = _inside(folder, name)
    is_file = name.lower().endswith(DATA_ENDINGS) or os.path.exists(local)
    return local if name != TASK_TEXTS and (_looks_local(name) or is_file) else name


def _looks_local(name: str) -> bool:
    return name.startswith((".", "~", PACKAGE)) or os.path.isabs(name)


def _inside(folder: Path, name: str) -> str:
    return os.path.abspath(folder / os.path.expanduser(name))
