"""A run's recipe as others may see it: local files by name and content, not by where they lie."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from textxfer.recipe.schema import Recipe
from textxfer.recipe.writing import to_yaml

LOCAL = {"checkpoint.id", "dataset.path", "dataset.drop", "output.directory", "train.prefix_cache.directory"}
"""Fields that can hold a path."""
LISTS = ("plugins.", "adapt.texts.", "checkpoint.auto.")
"""Lists that can hold paths."""
HEAD = """\
# The recipe of the run, every default spelled out. Local files are named NAME@sha256:HASH, a folder by the hash of what
# `sha256sum` prints of the files in it; put the paths of your own copies in their place to run it again.
"""


def public_name(path: str) -> str:
    """Gives a Hub id or a package as it is, and of a path no more than its name (of a run's model: the run's)."""
    if not is_local(path):
        return path
    pure = PurePath(path)
    name = pure.parent.name if pure.name == "model" else pure.name
    return name.strip(".") or "folder"


def is_local(path: str) -> bool:
    """Says whether a resolved recipe's value is a path: those begin with a dot, or at the root."""
    return path.startswith(".") or os.path.isabs(path)


def hashes_of(recipe: Recipe) -> dict[str, str]:
    """Gives the SHA-256 of each local file that a recipe with absolute paths names, by its field."""
    named = {"dataset.path": recipe.dataset.path, "dataset.drop": recipe.dataset.drop}
    named |= {f"plugins.{place}": plugin for place, plugin in enumerate(recipe.plugins)}
    named |= {f"adapt.texts.{place}": path for place, path in enumerate(recipe.adapt.texts if recipe.adapt else ())}
    base = recipe.checkpoint.id or ""
    named["checkpoint.id"] = os.path.join(base, "model") if os.path.isdir(os.path.join(base, "model")) else base
    found: dict[str, str] = {}
    for field, path in named.items():
        with contextlib.suppress(OSError):  # what the run needs of it has been read; the rest may be out of reach
            found |= {field: content_hash(Path(path))} if path is not None and os.path.isabs(path) else {}
    return found


def public_recipe(resolved: Mapping[str, Any], hashes: Mapping[str, str]) -> dict[str, Any]:
    """Gives a resolved recipe with `NAME@sha256:HASH` for local paths, without a hash where none is known.

    Args:
        resolved: As recipe.yaml has it.
        hashes: By field; see `hashes_of`.
    """

    def reduced(value: Any, field: str) -> Any:
        if isinstance(value, Mapping):
            return {key: reduced(item, f"{field}.{key}".lstrip(".")) for key, item in value.items()}
        if isinstance(value, list):
            return [reduced(item, f"{field}.{place}") for place, item in enumerate(value)]
        if not isinstance(value, str) or not (field in LOCAL or field.startswith(LISTS)):
            return value
        known = f"@sha256:{hashes[field]}" if field in hashes else ""
        return f"{public_name(value)}{known}"

    found: dict[str, Any] = reduced(resolved, "")
    return found


def public_text(resolved: Mapping[str, Any], hashes: Mapping[str, str]) -> str:
    """Gives `public_recipe` as YAML that opens with what it is."""
    return HEAD + to_yaml(public_recipe(resolved, hashes))


def content_hash(path: Path) -> str:
    """Gives a file's hash; a folder's is that of a line for each file in it, by name."""
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file())
        lines = (f"{content_hash(file)}  {file.name}\n" for file in files)
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
