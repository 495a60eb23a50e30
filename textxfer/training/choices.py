"""What a recipe leaves open, settled before the first step: `checkpoint: {auto: ...}` and `freeze: {layers: auto}`.

What was chosen, and why, is in choices.json of the run folder. A run that is gone on with takes it from there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textxfer.recipe.merging import id_and_revision
from textxfer.training.assemble import Prepared
from textxfer.training.environment import is_recipe_of, recipe_fingerprint
from textxfer.training.observers import Observer, tell
from textxfer.training.processes import on_main
from textxfer.training.rows import Rows
from textxfer.training.run_folder import CHOICES, ENVIRONMENT, RunFolder

if TYPE_CHECKING:
    from accelerate import Accelerator

    from textxfer.recipe.schema import Recipe

Made = dict[str, Any]


@dataclass
class Choices:
    """Settles what a recipe leaves open.

    Attributes:
        known: What was chosen before, of choices.json.
        accelerator: Gives the run's, always the same; the main process chooses for all.
        observers: Who is told.
        made: What choices.json is to say: {"checkpoint": a ranking, "depth": a curve}, each where it was asked for.
    """

    known: Mapping[str, Any]
    accelerator: Callable[[], Accelerator]
    observers: list[Observer]
    made: Made = field(default_factory=dict)

    def checkpoint(self, recipe: Recipe, rows: Rows) -> Recipe:
        """Gives the recipe with one checkpoint.

        Raises:
            CheckpointError: None of those to choose from can be used.
            DataError: The rows do not have one label each, or are too few.
        """
        from textxfer.training.ranking import rank_checkpoints

        names = recipe.checkpoint.auto
        if names is None:
            return recipe

        def rank() -> Made:
            ranking = rank_checkpoints(recipe, rows, names, self.accelerator())
            return ranking.to_dict() | {"lines": list(ranking.lines())}

        made = self._made("checkpoint", rank, f"ranks {len(names)} checkpoints by what they make of training rows")
        name, revision = id_and_revision(made["ranked"][0]["checkpoint"])
        chosen = recipe.checkpoint.model_copy(update={"id": name, "revision": revision, "auto": None})
        return recipe.model_copy(update={"checkpoint": chosen})

    def depth(self, prepared: Prepared) -> Prepared:
        """Gives the run with a number of frozen layers.

        Raises:
            CheckpointError: The weights cannot be loaded.
            DataError: The rows do not have one label each, or are too few.
        """
        from textxfer.training.depth import choose_depth

        recipe = prepared.recipe
        if recipe.freeze.layers != "auto":
            return prepared

        def choose() -> Made:
            depth = choose_depth(prepared.checkpoint, prepared.rows, self.accelerator())
            return depth.to_dict() | {"lines": list(depth.lines())}

        layers = self._made("depth", choose, "looks at each layer of the checkpoint")["layers"]
        frozen = recipe.freeze.model_copy(update={"layers": layers})
        return replace(prepared, recipe=recipe.model_copy(update={"freeze": frozen}))

    def _made(self, what: str, make: Callable[[], Made], note: str) -> Made:
        if what not in self.known:
            tell(self.observers, "on_note", note)
            made = on_main(self.accelerator(), make)
            for line in made.pop("lines"):
                tell(self.observers, "on_note", line)
        else:
            made = dict(self.known[what])
        self.made[what] = made
        return made


def known_choices(recipe: Recipe, folder: RunFolder) -> Mapping[str, Any]:
    """Gives what an unfinished run of this recipe, to be gone on with, has chosen; empty where there is none."""
    if not folder.resume or folder.holds != "an unfinished run":
        return {}
    known = folder.read_json(ENVIRONMENT).get("fingerprints", {})
    same = is_recipe_of(recipe_fingerprint(recipe.resolved(folder.path)), known)
    return choices_of(folder.path) if same else {}


def choices_of(path: Path) -> Mapping[str, Any]:
    """Gives choices.json of a run; empty where nothing was left open."""
    file = path / CHOICES
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
