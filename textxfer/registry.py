"""The shelves: which tasks, heads, metrics and sources there are, found without importing them.

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
import os
import pkgutil
import sys
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from textxfer.errors import RecipeError
from textxfer.section import Section

ENTRY_POINTS = "textxfer.plugins"

DOORS = ("heads", "metrics", "tasks")
"""Shelves that take members from elsewhere."""

Member = TypeVar("Member")
_registered: dict[tuple[str, str], tuple[Any, str]] = {}


def register(family: str, name: str) -> Callable[[Member], Member]:
    """Adds a class or an object to a shelf under a name; the way in for plugins.

    Use it as a decorator, or call the result: `register("metrics", "kappa")(Metric(...))`. A `Config` (a `Section`)
    in the calling module holds the member's settings.

    Args:
        family: The shelf: `tasks`, `heads` or `metrics`.
        name: The name that recipes use.

    Returns:
        A function that gives its argument back unchanged.

    Raises:
        RecipeError: There is no such door, or the name is that of a built-in member or of another module's.
    """
    if family not in DOORS:
        raise RecipeError(unknown(family, DOORS, what="shelf"))
    module = sys._getframe(1).f_globals["__name__"]

    def add(member: Member) -> Member:
        owner = built_in(family).get(name) or _registered.get((family, name), (None, module))[1]
        if owner != module:
            raise RecipeError(f"{family}: the name `{name}` is taken by {owner}; register it under another")
        _registered[family, name] = (member, module)
        return member

    return add


def names(family: str) -> tuple[str, ...]:
    """Gives the sorted names of a shelf, without importing its members."""
    _load_entry_points()
    extra = {name for shelf, name in _registered if shelf == family}
    return tuple(sorted(set(built_in(family)) | extra))


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
    path = Path(os.path.abspath(path))
    module_name = f"textxfer_plugin_{path.stem}_{zlib.crc32(os.fsencode(path)):08x}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    if not os.path.isfile(path):
        raise RecipeError(f"there is no plugin file {path}")
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module_name]
        raise RecipeError(f"the plugin {path} does not run: {type(error).__name__}: {error}") from error
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
    modules = built_in(family)
    if name not in modules:
        raise RecipeError(unknown(name, names(family), what=family.removesuffix("s")))
    return modules[name]


@functools.cache
def built_in(family: str) -> dict[str, str]:
    """Gives the names of a shelf's own members, sorted, each with its module; without those of plugins."""
    package = importlib.import_module(f"textxfer.{family}")
    members: dict[str, str] = dict(getattr(package, "MEMBERS", {}))
    stems = [info.name for info in pkgutil.iter_modules(package.__path__) if not info.name.startswith("_")]
    shared = set(members.values())
    for stem in stems:
        if stem not in shared:
            members.setdefault(stem, stem)
    return {name: f"textxfer.{family}.{members[name]}" for name in sorted(members)}


@functools.cache
def _load_entry_points() -> None:
    for entry_point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        try:
            entry_point.load()
        except Exception as error:
            package = entry_point.dist.name if entry_point.dist else entry_point.value
            raise RecipeError(
                f"the plugin `{entry_point.name}` of the package {package} does not load: {type(error).__name__}: "
                f"{error}; mend or uninstall it"
            ) from error
