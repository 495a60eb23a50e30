"""What a recipe leaves open, settled before the first step: which checkpoint, how many layers are frozen, which road.

What was chosen, and why, is in choices.json of the run folder. A run that is gone on with takes it from there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from textxfer.recipe.checks import set_but_unused
from textxfer.recipe.merging import id_and_revision
from textxfer.training.depth import Depth, choose_depth
from textxfer.training.environment import is_recipe_of, recipe_fingerprint
from textxfer.training.few_rows import is_open, on_road
from textxfer.training.observers import Observer, tell
from textxfer.training.prepare import Prepared, planned_anew
from textxfer.training.processes import on_main
from textxfer.training.ranking import Ranking, rank_checkpoints
from textxfer.training.roads import Road, choose_road
from textxfer.training.rows import Rows
from textxfer.training.run_folder import CHOICES, ENVIRONMENT, RunFolder

if TYPE_CHECKING:
    from accelerate import Accelerator

    from textxfer.recipe.schema import Recipe

Found = TypeVar("Found", Ranking, Road, Depth)


@dataclass(frozen=True)
class Chosen:
    """What a run chose, and why.

    Attributes:
        checkpoint: The checkpoints in their order; None where the recipe names one.
        road: The road with few rows, and its head; None where there was no choice.
        depth: The number of frozen layers; None where the recipe gives it.
    """

    checkpoint: Ranking | None = None
    road: Road | None = None
    depth: Depth | None = None

    def to_dict(self, folder: Path) -> dict[str, Any]:
        """Gives what choices.json says in a run folder: what was chosen, paths relative to the folder."""
        told: dict[str, Any] = {}
        if self.checkpoint is not None:
            told["checkpoint"] = self.checkpoint.relative_to(folder).to_dict()
        if self.road is not None:
            told["road"] = self.road.to_dict()
        if self.depth is not None:
            told["depth"] = self.depth.to_dict()
        return told

    @classmethod
    def read(cls, folder: Path) -> Chosen:
        """Gives what choices.json of a run folder says; nothing where nothing was left open."""
        file = folder / CHOICES
        told: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        ranking, road, depth = (told.get(name) for name in ("checkpoint", "road", "depth"))
        return cls(
            Ranking.from_dict(ranking).absolute_from(folder) if ranking is not None else None,
            Road.from_dict(road) if road is not None else None,
            Depth.from_dict(depth) if depth is not None else None,
        )

    def __or__(self, other: Chosen) -> Chosen:
        """Gives both; where both chose, `other` holds."""
        return Chosen(other.checkpoint or self.checkpoint, other.road or self.road, other.depth or self.depth)


@dataclass
class Choices:
    """Settles what a recipe leaves open.

    Attributes:
        known: What was chosen before.
        accelerator: Gives the run's, always the same; the main process chooses for all.
        observers: Who is told.
        made: What is chosen so far.
    """

    known: Chosen
    accelerator: Callable[[], Accelerator]
    observers: list[Observer]
    made: Chosen = field(default_factory=Chosen)

    def checkpoint(self, recipe: Recipe, rows: Rows) -> Recipe:
        """Gives the recipe with one checkpoint.

        Raises:
            CheckpointError: None of those to choose from can be used.
            DataError: The rows do not have one label each, or are too few.
        """
        names = recipe.checkpoint.auto
        if names is None:
            return recipe
        note = f"ranks {len(names)} checkpoints by what they make of training rows"
        ranking = self._settled(
            self.known.checkpoint, note, lambda: rank_checkpoints(recipe, rows, names, self.accelerator())
        )
        self.made = replace(self.made, checkpoint=ranking)
        name, revision = id_and_revision(ranking.best.checkpoint)
        chosen = recipe.checkpoint.model_copy(update={"id": name, "revision": revision, "auto": None})
        return recipe.model_copy(update={"checkpoint": chosen})

    def road(self, prepared: Prepared, asked: Recipe) -> Prepared:
        """Gives the run on a road of `small_data`, with the head that goes with it; all processes take part.

        Args:
            prepared: The run.
            asked: Its recipe as it was given: what it says and the road has no use for is told.

        Raises:
            CheckpointError: The weights cannot be loaded.
        """
        recipe = prepared.recipe
        if not is_open(recipe):
            return prepared
        road = self._settled(
            self.known.road,
            "small_data: settles what is left open by cross-validation",
            lambda: choose_road(prepared, self.accelerator()),
            together=True,
        )
        self.made = replace(self.made, road=road)
        idle = set_but_unused(asked, road.road, road.head)
        if idle:
            listed = ", ".join(f"train.{name}" for name in idle)
            tell(self.observers, "on_note", f"not used: {listed}; the road {road.road} takes no steps on labels")
        rows = len(prepared.encoded["train"])
        return planned_anew(prepared, on_road(recipe, road.road, road.head, rows, road.lacking))

    def depth(self, prepared: Prepared) -> Prepared:
        """Gives the run with a number of frozen layers.

        Raises:
            CheckpointError: The weights cannot be loaded.
            DataError: The rows do not have one label each, or are too few.
        """
        recipe = prepared.recipe
        if recipe.freeze.layers != "auto":
            return prepared
        depth = self._settled(
            self.known.depth,
            "looks at each layer of the checkpoint",
            lambda: choose_depth(prepared.checkpoint, prepared.rows, self.accelerator()),
        )
        self.made = replace(self.made, depth=depth)
        frozen = recipe.freeze.model_copy(update={"layers": depth.layers})
        return planned_anew(prepared, recipe.model_copy(update={"freeze": frozen}))

    def _settled(self, known: Found | None, note: str, choose: Callable[[], Found], *, together: bool = False) -> Found:
        """Gives what is known, or chooses, and tells of it; the main process is right where all choose `together`."""
        if known is not None:
            return known
        tell(self.observers, "on_note", note)
        mine = choose() if together else None
        found = on_main(self.accelerator(), choose if mine is None else lambda: mine)
        for line in found.lines():
            tell(self.observers, "on_note", line)
        return found


def known_choices(recipe: Recipe, folder: RunFolder) -> Chosen:
    """Gives what an unfinished run of this recipe, to be gone on with, has chosen; nothing where there is none."""
    if not folder.resume or folder.holds != "an unfinished run":
        return Chosen()
    known = folder.read_json(ENVIRONMENT).get("fingerprints", {})
    same = is_recipe_of(recipe_fingerprint(recipe.resolved(folder.path)), known)
    return Chosen.read(folder.path) if same else Chosen()
