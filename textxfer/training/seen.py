"""Whether a checkpoint was trained on the rows of a recipe, as far as what lies beside its weights tells.

A run of textxfer leaves its recipe and fingerprints, and names the checkpoint that it began with, which may be a run,
too. Other models have a card that may name their data sets. Where neither says anything, nothing is known.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textxfer.recipe.merging import place_of
from textxfer.recipe.public import content_hash
from textxfer.recipe.reading import read_text
from textxfer.training.environment import data_fingerprint
from textxfer.training.run_folder import ENVIRONMENT, RECIPE

if TYPE_CHECKING:
    from textxfer.modeling.checkpoint import Checkpoint
    from textxfer.recipe.schema import Recipe
    from textxfer.records import Splits
    from textxfer.training.rows import Rows

CARD = "README.md"
HASHED = "@sha256:"
"""Stands before the hash of a local file in the recipe of a model on the Hub."""
MOST_RUNS = 10
"""Of a chain of runs, each of which began with the one before it."""
VERY_ROWS = "was trained on these very rows"
SAME_SET = "was trained on this data set"
BEGAN = "began with a checkpoint that"


def flattered(name: str, seen: str) -> str:
    """Says that what was found of a checkpoint is not to be trusted, and what to do: a line under a table's star.

    Args:
        name: As the table has it.
        seen: How it was trained on the rows: "was trained on this data set".
    """
    return (
        f"* {name} {seen}, so that its scores say more of what it remembers than of how it suits them; leave it out, "
        "or rank on rows that it has not seen"
    )


def leak(recipe: Recipe, rows: Rows, checkpoint: Checkpoint, keeps_head: bool) -> str | None:
    """Says that rows held back from training may be rows that the checkpoint was trained on; None where that is not so.

    A run on the very rows held the same ones back.

    Args:
        recipe: With absolute paths.
        rows: Its rows.
        checkpoint: The one that is trained further.
        keeps_head: Whether its head is, too.
    """
    if not rows.held_back:
        return None
    said = OwnRows(recipe, rows.splits, keeps_head).seen_by(checkpoint)
    if said is None or said.endswith(VERY_ROWS):
        return None
    held_back = " and ".join(rows.held_back)
    return (
        f"the checkpoint {said}, and the rows may have been cut otherwise then: scores on {held_back} rows that it has "
        "learned say too much; take the `dataset.split_seed` and fractions of that time, or rows of their own"
    )


@dataclass(frozen=True)
class OwnRows:
    """The rows of a recipe, by all that others may know them by.

    Attributes:
        recipe: With absolute paths.
        splits: Checked and cut.
        with_head: Whether it matters what a checkpoint's head has seen.
    """

    recipe: Recipe
    splits: Splits
    with_head: bool = False

    def seen_by(self, checkpoint: Checkpoint) -> str | None:
        """Says how a checkpoint was trained on the rows ("was trained on ..."); None where nothing is known of it."""
        place = checkpoint.adapter or checkpoint.location
        on_hub = checkpoint.revision is not None and checkpoint.adapter is None
        said = self._of_hub(place, checkpoint.revision) if on_hub else self._of_folder(Path(place))
        if said is None and checkpoint.adapter is not None and checkpoint.revision is None:
            said = self._of_folder(Path(checkpoint.location))
            return None if said is None else f"{BEGAN} {said}"
        return said

    @cached_property
    def _fingerprint(self) -> str:
        return data_fingerprint(self.splits)

    @cached_property
    def _content(self) -> str | None:
        """The hash of the file or folder that the rows come from."""
        path = self.recipe.dataset.path
        try:
            return content_hash(Path(path)) if path is not None else None
        except OSError:
            return None

    def _of_folder(self, folder: Path, most: int = MOST_RUNS) -> str | None:
        if os.path.isfile(folder / "model" / "config.json") and not os.path.isfile(folder / "config.json"):
            folder = folder / "model"  # of a run
        said = self._of_run(folder.parent if _is_part_of_run(folder) else folder, most)
        return said or self._of_card(folder / CARD)

    def _of_run(self, run: Path, most: int) -> str | None:
        told, known = _recipe(run / RECIPE), _json(run / ENVIRONMENT)
        if self.with_head or not _kept_backbone(told):
            fingerprint, data = _part(known, "fingerprints").get("data"), told.get("dataset")
            if fingerprint is not None and fingerprint == self._fingerprint:
                return VERY_ROWS
            if isinstance(data, Mapping) and "task" in told and self._is_set(data, run, known):
                return SAME_SET
        before = told.get("checkpoint")
        name = before.get("id") if isinstance(before, Mapping) else before
        place = Path(place_of(name, run)) if isinstance(name, str) else None
        if place is None or most == 0 or not place.is_absolute() or not os.path.isdir(place):
            return None
        said = self._of_folder(place, most - 1)
        return None if said is None else f"{BEGAN} {said.removeprefix(f'{BEGAN} ')}"

    def _is_set(self, data: Mapping[str, Any], run: Path, known: Mapping[str, Any]) -> bool:
        """Says whether a run's data set is that of the rows: by its place, or by what is in it."""
        own, path, hub = self.recipe.dataset, data.get("path"), data.get("hub")
        if None not in (own.train, data.get("train")) and own.train != data.get("train"):
            return False  # another file of the folder, or another split
        if isinstance(hub, str):
            return (hub, data.get("config")) == (own.hub, own.config)
        if own.path is None or not isinstance(path, str):
            return False
        if (run / path).resolve() == Path(own.path).resolve():
            return True
        content = _part(known, "files").get("dataset.path") or path.rpartition(HASHED)[2]
        return content == self._content

    def _of_card(self, card: Path) -> str | None:
        """Says what a card's metadata tell of the data set; those of a model on the Hub name it there."""
        import yaml
        from huggingface_hub import metadata_load

        if self.recipe.dataset.hub is None:
            return None
        try:
            metadata = metadata_load(card) or {}
        except (OSError, ValueError, yaml.YAMLError):
            return None
        named = metadata.get("datasets") or []
        names = [str(name) for name in (named if isinstance(named, list) else [named])]
        found = next((name for name in names if _is_same_name(name, self.recipe.dataset.hub)), None)
        return None if found is None else f"was trained on {found}, as its card says"

    def _of_hub(self, name: str, revision: str | None) -> str | None:
        """Says what a repository's recipe and card tell; nothing where they cannot be had."""
        recipe = _fetched(name, RECIPE, revision)
        said = self._of_run(recipe.parent, 0) if recipe is not None else None
        if said is not None or self.recipe.dataset.hub is None:
            return said
        card = _fetched(name, CARD, revision)
        return self._of_card(card) if card is not None else None


def _is_part_of_run(folder: Path) -> bool:
    """Says whether a folder is what a run makes in its own, and not one that lies beside a recipe by chance."""
    return folder.name in ("model", "adapter") and os.path.isfile(folder.parent / RECIPE)


def _kept_backbone(told: Mapping[str, Any]) -> bool:
    """Says whether a run left the backbone as it was, so that its head alone has seen the rows."""
    freeze = _part(told, "freeze")
    return freeze.get("layers") == "all" and freeze.get("embeddings") is not False and freeze.get("thaw_every") is None


def _is_same_name(one: str, other: str) -> bool:
    """Says whether two ids name one data set; the Hub's oldest ones are known with and without an owner."""
    first, second = one.lower(), other.lower()
    old = "/" not in first or "/" not in second
    return first == second or (old and first.rpartition("/")[2] == second.rpartition("/")[2])


def _recipe(file: Path) -> Mapping[str, Any]:
    try:
        return read_text(file.read_text(encoding="utf-8"), str(file)).data
    except (OSError, ValueError):
        return {}


def _json(file: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, Mapping) else {}


def _part(known: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = known.get(key)
    return part if isinstance(part, Mapping) else {}


def _fetched(name: str, file: str, revision: str | None) -> Path | None:
    import huggingface_hub

    try:
        return Path(huggingface_hub.hf_hub_download(name, file, revision=revision))
    except Exception:  # it is not there, or the line broke off: nothing is known then
        return None
