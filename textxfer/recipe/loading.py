"""`load_recipe`: a file or a mapping, and overrides, to a `Recipe`; all mistakes reported at once."""

from __future__ import annotations

import copy
import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from textxfer import registry
from textxfer.errors import RecipeError
from textxfer.recipe.checks import completed, find_problems, task_of
from textxfer.recipe.merging import apply_overrides, merged, normalise
from textxfer.recipe.problems import COMMAND_LINE, Mark, Problem, from_validation
from textxfer.recipe.reading import MOST_BYTES, Document, read_text
from textxfer.recipe.schema import Recipe
from textxfer.recipe.sections import PATTERNS, RUN_NAME
from textxfer.section import NATIVE, HeadSection, Section

MOST_FILES_SHOWN = 10


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
    if isinstance(source, Mapping):
        document, name = _from_mapping(source), "run"
    else:
        document, name = _from_file(Path(source)), Path(source).stem
    document = apply_overrides(document, overrides)
    _settle_name(document, name)
    if rows_given:
        document.data.setdefault("dataset", {})
    _load_plugins(document)
    schema = Recipe.made_of(_task_config(document), _head_config(document))
    recipe = None
    try:
        recipe = schema.model_validate(document.data)
    except ValidationError as error:
        told = {problem.path for problem in document.problems}
        found = from_validation(error, document.data, schema)
        document.problems.extend(_with_owner(problem) for problem in found if problem.path not in told)
    _check_together(document, recipe, schema, rows_given)
    _stop_if_wrong(document)
    assert recipe is not None
    return completed(recipe)


def load_section(name: str, kind: type[Section], values: Mapping[str, Any]) -> Any:
    """Reads one section that stands on the command line alone.

    Args:
        name: Its key in a recipe.
        kind: Its class.
        values: By field; paths are relative to the current folder.

    Raises:
        RecipeError: One line for each mistake.
    """
    document = Document(data={name: _plain(values)}, marks={(): Mark(COMMAND_LINE)})
    normalise(document, Path.cwd())
    try:
        return kind.model_validate(document.data[name])
    except ValidationError as error:
        found = from_validation(error, document.data[name], kind)
        document.problems.extend(Problem((name, *problem.path), problem.message) for problem in found)
    _stop_if_wrong(document)


def _from_file(path: Path) -> Document:
    document = _read(path)
    return _extended(document, path.parent)


def _from_mapping(source: Mapping[str, Any]) -> Document:
    document = Document(data=_plain(source), marks={(): Mark("recipe")})
    normalise(document, Path.cwd())
    return _extended(document, Path.cwd())


def _extended(document: Document, folder: Path) -> Document:
    """Lays a recipe over the one it extends, if it does."""
    base_name = document.data.get("extends")
    if not isinstance(base_name, str):
        return document
    del document.data["extends"]
    try:
        base = _read(folder / os.path.expanduser(base_name))
    except RecipeError as error:
        document.problems.extend(Problem(("extends",), line) for line in error.lines)
        return document
    if base.data.pop("extends", None) is not None:
        mark = base.mark(("extends",))
        base.problems.append(Problem(("extends",), "a recipe that is extended cannot extend another", mark))
    base.data.pop("name", None)
    return merged(base, document)


def _read(path: Path) -> Document:
    if path.is_dir():
        raise RecipeError(f"{path}: is a folder; name a recipe file in it{_recipes_in(path, path.name)}")
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise RecipeError(f"{path}: there is no such recipe{_recipes_in(path.parent, path.name)}") from None
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > MOST_BYTES:
        raise RecipeError(f"{path}: is larger than {MOST_BYTES >> 10} KiB; is it a recipe?")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise RecipeError(f"{path}:{line}: is not UTF-8 (byte {content[error.start]:#04x}); save it as UTF-8") from None
    document = read_text(text, str(path))
    if not document.data:
        _stop_if_wrong(document)
    normalise(document, path.parent.resolve())
    return document


def _recipes_in(folder: Path, wanted: str) -> str:
    """Says which recipes a folder holds, those with like names first."""
    try:
        there = sorted(path.name for path in folder.glob("*.yaml"))
    except OSError:
        there = []
    near = difflib.get_close_matches(wanted, there, n=1, cutoff=0.6)
    hint = f"; did you mean `{folder / near[0]}`?" if near else ""
    if not there:
        return hint
    shown = [*there[:MOST_FILES_SHOWN], "..."] if len(there) > MOST_FILES_SHOWN else there
    return f"{hint} (there are: {', '.join(shown)})"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else copy.copy(value)


def _settle_name(document: Document, default: str) -> None:
    """Names the run after the file where the recipe does not name it."""
    if "name" in document.data:
        return
    if not re.search(RUN_NAME, default):
        message = f"is missing, and the file's own name, `{default}`, cannot be a run's: use {PATTERNS[RUN_NAME]}"
        document.problems.append(Problem(("name",), message))
        default = "run"
    document.data["name"] = default


def _load_plugins(document: Document) -> None:
    plugins = document.data.get("plugins")
    for place, plugin in enumerate(plugins if isinstance(plugins, list) else ()):
        if not isinstance(plugin, str):
            continue  # the schema says so
        try:
            registry.load_plugin(Path(plugin))
        except RecipeError as error:
            document.problems.append(Problem(("plugins", f"[{place}]"), str(error)))


def _task_config(document: Document) -> type[Section]:
    """Gives the task's own section class; where the task is wrong, notes it and gives the bare one."""
    task = document.data.get("task")
    name = task.get("name") if isinstance(task, dict) else task
    path = ("task", "name") if isinstance(task, dict) and "name" in task else ("task",)
    legal = f"(there are: {', '.join(registry.names('tasks'))})"
    if isinstance(name, str):
        try:
            return registry.config("tasks", name)
        except RecipeError as error:
            document.problems.append(Problem(path, str(error)))
    elif isinstance(task, dict) and "name" not in task:
        document.problems.append(Problem(path, f"has no `name`: say which task {legal}"))
    elif task is None:
        document.problems.append(Problem(path, f"is missing: say which task {legal}"))
    else:
        document.problems.append(Problem(path, f"must be a task's name or a section with its `name` {legal}"))
    document.data["task"] = {}
    return Section


def _head_config(document: Document) -> type[HeadSection]:
    """Gives the head's own section class, the native one's where none is named; where it is wrong, notes it."""
    head = document.data.get("head")
    name = head.get("name", NATIVE) if isinstance(head, dict) else head
    path = ("head", "name") if isinstance(head, dict) and "name" in head else ("head",)
    legal = f"(there are: {', '.join(registry.names('heads'))})"
    if "head" not in document.data:
        name = NATIVE
    if isinstance(name, str):
        try:
            found = registry.config("heads", name)
        except RecipeError as error:
            document.problems.append(Problem(path, str(error)))
        else:
            if issubclass(found, HeadSection):
                return found
            if found is Section:  # one that has no fields of its own
                return HeadSection
            document.problems.append(Problem(path, f"`{name}` was registered, but its Config is no HeadSection"))
    else:
        document.problems.append(Problem(path, f"must be a head's name or a section with its `name` {legal}"))
    document.data.pop("head", None)
    return HeadSection


def _with_owner(problem: Problem) -> Problem:
    """Adds to a key that a head does not know which head does."""
    if problem.path[:1] != ("head",) or len(problem.path) != 2 or not problem.message.startswith("unknown key"):
        return problem
    key = problem.path[1]
    owners = [name for name in registry.names("heads") if key in registry.config("heads", name).model_fields]
    if not owners:
        return problem
    hint = f"`{key}` belongs to {' and '.join(owners)}: `head: {{name: {owners[0]}, {key}: ...}}`"
    return replace(problem, message=f"{problem.message}; {hint}")


def _check_together(document: Document, recipe: Recipe | None, schema: type[Recipe], rows_given: bool) -> None:
    """Notes fields that do not fit each other, in those sections whose every field is right."""
    wrong = {problem.path[:1] for problem in document.problems}
    if recipe is None:
        right = {key: value for key, value in document.data.items() if (key,) not in wrong}
        head = _section_of(schema, "head").model_construct()  # a plugin's may have fields without a default
        bare = {"name": "run", "checkpoint": {"id": "?"}, "dataset": {}, "task": {}, "head": head}
        if ("task",) in wrong:
            schema = Recipe.made_of(Section, _section_of(schema, "head"))
        recipe = schema.model_validate(bare | right)
    task = None if ("task",) in wrong else task_of(recipe)
    found = find_problems(recipe, task, rows_given)
    document.problems.extend(problem for problem in found if problem.path[:1] not in wrong)


def _section_of(schema: type[Recipe], name: str) -> Any:
    return schema.model_fields[name].annotation


def _stop_if_wrong(document: Document) -> None:
    if not document.problems:
        return
    placed = [_placed(problem, document) for problem in document.problems]
    placed.sort(key=lambda problem: problem.order)
    raise RecipeError(*dict.fromkeys(str(problem) for problem in placed))


def _placed(problem: Problem, document: Document) -> Problem:
    return problem if problem.mark else Problem(problem.path, problem.message, document.mark(problem.path))
