"""Which files of a run go to the Hub, and in which form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from textxfer.errors import PushError
from textxfer.publishing.model_card import README, at_home

HEAD = ("head.json", "head.safetensors")
"""What a model whose head is one of textxfer's has beside a stock one's files."""
MODEL_FILES = (
    README,
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*-of-*.safetensors",
    *HEAD,
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)
"""Patterns of what goes from a run's `model/`; nothing else in it does."""
RUN_FILES = ("metrics.json", "report.html", "recipe.yaml")
"""What goes from the run's own folder."""
NEEDED = ("config.json", "tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True)
class Upload:
    """A file to be.

    Attributes:
        name: Its path in the repository.
        content: What is in it, or the file that holds it.
    """

    name: str
    content: bytes | Path

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size


def is_ours(name: str) -> bool:
    """Says whether a file of a repository bears a name that a push would write."""
    return any(fnmatchcase(name, pattern) for pattern in (*MODEL_FILES, *RUN_FILES))


def finished_run(path: Path) -> Path:
    """Gives the folder of a finished run.

    Args:
        path: It, its model's folder, or that of several seeds, of which the best one's is given.

    Raises:
        PushError: There is none.
    """
    if path.name == "model" and (path.parent / "recipe.yaml").is_file():
        path = path.parent
    if (path / "seeds.json").is_file():
        try:
            path = path / f"seed-{json.loads((path / 'seeds.json').read_text(encoding='utf-8'))['best_seed']}"
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise PushError(f"{path / 'seeds.json'}: cannot be used: {error}; name the folder of one seed") from error
    if not path.is_dir():
        raise PushError(f"{path}: there is no such folder; name that of a finished run: runs/NAME")
    if not (path / "recipe.yaml").is_file():
        raise PushError(f"{path}: is no run (it has no recipe.yaml); name the folder of a finished run: runs/NAME")
    if not (path / "metrics.json").is_file():
        raise PushError(f"{path}: the run has not finished; go on with it by --resume, then push")
    return path


def uploads(run: Path, repo: str) -> list[Upload]:
    """Gives the files of a finished run that go to a repository, by name; the same each time.

    Raises:
        PushError: The model's folder is not whole, or something cannot be read.
    """
    model = run / "model"
    found = {path.name: path for path in model.iterdir() if _goes(path)} if model.is_dir() else {}
    missing = [name for name in NEEDED if name not in found]
    missing += [] if any(name.startswith("model") for name in found) else ["model.safetensors"]
    missing += [name for name in HEAD if name not in found] if found.keys() & set(HEAD) else []
    if missing:
        raise PushError(f"{model}: has no {', '.join(missing)}; put the files of the run back, or run the recipe again")
    if README not in found:
        raise PushError(
            f"{model}: has no {README}, the model card; `textxfer report {run}` writes it anew, with the report"
        )
    try:
        files = {name: Upload(name, path) for name, path in found.items()}
        files[README] = Upload(README, at_home(found[README].read_text(encoding="utf-8"), repo).encode())
        files |= {name: Upload(name, run / name) for name in RUN_FILES if (run / name).is_file()}
        files["recipe.yaml"] = Upload("recipe.yaml", _public_recipe(run).encode())
    except (OSError, UnicodeDecodeError) as error:
        raise PushError(f"{run}: cannot be read: {error}") from error
    return [files[name] for name in sorted(files)]


def _goes(path: Path) -> bool:
    return path.is_file() and any(fnmatchcase(path.name, pattern) for pattern in MODEL_FILES)


def _public_recipe(run: Path) -> str:
    from textxfer.recipe.public import public_text
    from textxfer.recipe.reading import read_text

    document = read_text((run / "recipe.yaml").read_text(encoding="utf-8"), str(run / "recipe.yaml"))
    if document.problems:
        raise PushError(*map(str, document.problems))
    return public_text(document.data, _hashes(run))


def _hashes(run: Path) -> Mapping[str, Any]:
    try:
        return dict(json.loads((run / "environment.json").read_text(encoding="utf-8")).get("files") or {})
    except (OSError, ValueError) as error:
        raise PushError(f"{run / 'environment.json'}: cannot be read: {error}; run the recipe again") from error
