"""The shelves: which tasks, metrics, sources and architectures there are, found without importing them.

A member of a shelf is one module in the shelf's package; its file name is its name in the recipe, and in the module
it bears that name (a metric: `macro_f1`) or that name in capitals (a class: `QuestionAnswering`). A module may hold
several members: the package's `MEMBERS` then maps each name to its module.
Members from elsewhere come by `register` (from a plugin module or an entry point of `textxfer.plugins`).
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.metadata
import importlib.util
import pkgutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from textxfer.errors import RecipeError
from textxfer.section import Section

ENTRY_POINTS = "textxfer.plugins"

Member = TypeVar("Member")
_registered: dict[tuple[str, str], tuple[Any, str]] = {}


def register(family: str, name: str) -> Callable[[Member], Member]:
    """Adds a class or an object to a shelf under a name; the way in for plugins.

    Use it as a decorator, or call the result: `register("metrics", "kappa")(Metric(...))`. A `Config` (a `Section`)
    in the calling module holds the member's settings.

    Args:
        family: The shelf: `tasks`, `metrics`, `sources` or `heads`.
        name: The name that recipes use.

    Returns:
        A function that gives its argument back unchanged.

    Raises:
        RecipeError: The name is that of a built-in member, or was registered by another module.
    """
    module = sys._getframe(1).f_globals["__name__"]

    def add(member: Member) -> Member:
        taken = name in _built_in(family) or _registered.get((family, name), (None, module))[1] != module
        if taken:
            raise RecipeError(f"{family}: the name `{name}` is taken; register it under another")
        _registered[family, name] = (member, module)
        return member

    return add


def names(family: str) -> tuple[str, ...]:
    """Gives the sorted names of a shelf, without importing its members."""
    _load_entry_points()
    extra = {name for shelf, name in _registered if shelf == family}
    return tuple(sorted(set(_built_in(family)) | extra))


def load(family: str, name: str) -> Any:
    """Imports one member of a shelf and gives it.

    Raises:
        RecipeError: There is no such name; the message suggests the nearest one.
    """
    _load_entry_points()
    if (family, name) in _registered:
        return _registered[family, name][0]
    module = importlib.import_module(_module_of(family, name))
    capitals = "".join(part.capitalize() for part in name.split("_"))
    return getattr(module, name, None) or getattr(module, capitals)


def config(family: str, name: str) -> type[Section]:
    """Gives the `Config` that stands beside a member in its module, or an empty `Section`."""
    load(family, name)
    found = getattr(sys.modules[_module_of(family, name)], "Config", Section)
    assert issubclass(found, Section), f"the Config of {family}/{name} is not a Section"
    return found


def load_plugin(path: Path) -> ModuleType:
    """Runs a Python file once, so that the members it registers exist.

    Raises:
        RecipeError: The file does not exist or does not run.
    """
    module_name = f"textxfer_plugin_{path.stem}"
    loaded = sys.modules.get(module_name)
    if loaded is not None and loaded.__file__ == str(path):
        return loaded
    if not path.is_file():
        raise RecipeError(f"plugins: there is no file {path}")
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module_name]
        raise RecipeError(f"plugins: {path} does not run: {type(error).__name__}: {error}") from error
    return module


def unknown(name: str, legal: Iterable[str], what: str = "name") -> str:
    """Says that a name is unknown, which one was probably meant, and which there are."""
    legal = list(legal)
    near = difflib.get_close_matches(name, legal, n=1, cutoff=0.6)
    hint = f"; did you mean `{near[0]}`?" if near else ""
    return f"unknown {what} `{name}`{hint} (there are: {', '.join(legal)})"


def _module_of(family: str, name: str) -> str:
    if (family, name) in _registered:
        return _registered[family, name][1]
    modules = _built_in(family)
    if name not in modules:
        raise RecipeError(unknown(name, names(family), what=family.removesuffix("s")))
    return modules[name]


@functools.cache
def _built_in(family: str) -> dict[str, str]:
    package = importlib.import_module(f"textxfer.{family}")
    members: dict[str, str] = dict(getattr(package, "MEMBERS", {}))
    stems = [info.name for info in pkgutil.iter_modules(package.__path__) if not info.name.startswith("_")]
    shared = set(members.values())
    for stem in stems:
        if stem not in shared:
            members.setdefault(stem, stem)
    return {name: f"textxfer.{family}.{stem}" for name, stem in members.items()}


@functools.cache
def _load_entry_points() -> None:
    for entry_point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        entry_point.load()
