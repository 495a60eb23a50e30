"""`load_recipe`: a file or a mapping, and overrides, to a `Recipe`; all mistakes reported at once."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from textxfer import registry
from textxfer.errors import RecipeError
from textxfer.recipe.checks import completed, find_problems
from textxfer.recipe.problems import Mark, Problem, from_validation
from textxfer.recipe.reading import Document, read_text, read_value
from textxfer.recipe.schema import SHORTHANDS, Recipe
from textxfer.section import Section


def load_recipe(
    source: str | os.PathLike[str] | Mapping[str, Any], *overrides: str, rows_given: bool = False
) -> Recipe:
    """Reads a recipe, applies overrides and checks everything that can be checked without data or weights.

    Args:
        source: Path of a YAML file, or the recipe as a mapping.
        *overrides: `key.key=value`, the value in YAML; paths in them are relative to the current folder.
        rows_given: Rows come from Python, so the recipe need not say where data are.

    Returns:
        The recipe, with absolute paths and the task's metrics filled in.

    Raises:
        RecipeError: One line for each mistake, with its place.
    """
    document = _from_mapping(source) if isinstance(source, Mapping) else _from_file(Path(source))
    if not document.problems:
        for override in overrides:
            _apply(override, document)
    _stop_if(document.problems, document)
    if rows_given:
        document.data.setdefault("dataset", {})
    for plugin in document.data.get("plugins") or []:
        registry.load_plugin(Path(str(plugin)))
    schema = Recipe.for_task(_task_config(document))
    try:
        recipe = schema.model_validate(document.data)
    except ValidationError as error:
        _stop_if([*document.problems, *from_validation(error, schema)], document)
        raise
    _stop_if([*document.problems, *find_problems(recipe, rows_given=rows_given)], document)
    return completed(recipe)


def _from_file(path: Path) -> Document:
    document = _read(path)
    base_name = document.data.get("extends")
    if isinstance(base_name, str) and not document.problems:
        base = _read(path.parent / base_name)
        if "extends" in base.data:
            mark = base.mark(("extends",))
            base.problems.append(Problem(("extends",), "a recipe that is extended cannot extend another", mark))
        base.data.pop("name", None)
        document = _merged(base, document)
    document.data.setdefault("name", path.stem)
    return document


def _read(path: Path) -> Document:
    if path.is_dir():
        raise RecipeError(f"{path}: is a folder; name a recipe file in it")
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = sorted(path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        others = f" (there are: {', '.join(str(other) for other in near)})" if near else ""
        raise RecipeError(f"{path}: there is no such recipe{others}") from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from None
    document = read_text(text, str(path))
    _expand(document)
    _make_absolute(document.data, path.parent)
    return document


def _from_mapping(source: Mapping[str, Any]) -> Document:
    document = Document(data=_plain(source), marks={(): Mark("recipe")})
    document.data.setdefault("name", "run")
    _expand(document)
    _make_absolute(document.data, Path.cwd())
    return document


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else copy.copy(value)


def _expand(document: Document) -> None:
    """Writes shorthands out, and `id@revision` into its two parts."""
    for section, key in SHORTHANDS.items():
        value = document.data.get(section)
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            document.data[section] = {key: value}
    checkpoint = document.data.get("checkpoint")
    name = checkpoint.get("id") if isinstance(checkpoint, dict) else None
    if isinstance(name, str) and "@" in name and not Path(name).exists():
        checkpoint["id"], _, checkpoint["revision"] = name.rpartition("@")


def _make_absolute(data: dict[str, Any], folder: Path) -> None:
    dataset, checkpoint = data.get("dataset"), data.get("checkpoint")
    if isinstance(dataset, dict) and isinstance(dataset.get("path"), str):
        dataset["path"] = str(_inside(folder, dataset["path"]))
    if isinstance(checkpoint, dict) and isinstance(checkpoint.get("id"), str):
        local = _inside(folder, checkpoint["id"])
        looks_local = checkpoint["id"].startswith((".", "~", "/"))
        if local.is_dir() or looks_local:
            checkpoint["id"] = str(local)
    if isinstance(data.get("plugins"), list):
        data["plugins"] = [str(_inside(folder, item)) if isinstance(item, str) else item for item in data["plugins"]]


def _inside(folder: Path, name: str) -> Path:
    return Path(os.path.abspath(folder / Path(name).expanduser()))


def _merged(base: Document, child: Document) -> Document:
    def merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
        both = dict(below)
        for key, value in above.items():
            old = both.get(key)
            both[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        return both

    data = merge(base.data, child.data)
    return Document(data, base.marks | child.marks, [*base.problems, *child.problems])


def _apply(override: str, document: Document) -> None:
    """Writes one `key.key=value` into the document."""
    mark = Mark("command line")
    dotted, equals, text = override.partition("=")
    path = tuple(dotted.split("."))
    if not equals or not all(path):
        document.problems.append(Problem((), f"`{override}` is not of the form key=value", mark))
        return
    try:
        value = read_value(text)
    except RecipeError as error:
        document.problems.append(Problem(path, str(error), mark))
        return
    part = {}
    for key in reversed(path):
        part = {key: value if key == path[-1] and not part else part}
    single = Document(part)
    _expand(single)
    _make_absolute(single.data, Path.cwd())
    for length in range(1, len(path) + 1):
        document.marks[path[:length]] = mark
    document.data = _merged(document, single).data


def _task_config(document: Document) -> type[Section]:
    """Gives the task's own section class; where the task is wrong, notes it and gives the bare one."""
    task = document.data.get("task")
    name = task.get("name") if isinstance(task, dict) else None
    if task is None:
        return Section
    if not isinstance(name, str):
        document.problems.append(Problem(("task", "name"), "is missing: say which task"))
        return Section
    try:
        return registry.config("tasks", name)
    except RecipeError as error:
        document.problems.append(Problem(("task", "name"), str(error)))
        document.data["task"] = {}
        return Section


def _stop_if(problems: list[Problem], document: Document) -> None:
    if not problems:
        return
    placed = [problem if problem.mark else _placed(problem, document) for problem in problems]
    placed.sort(key=lambda problem: (problem.mark.line if problem.mark else 0, problem.path))
    raise RecipeError(*(str(problem) for problem in placed))


def _placed(problem: Problem, document: Document) -> Problem:
    return Problem(problem.path, problem.message, document.mark(problem.path))
