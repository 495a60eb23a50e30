"""`Recipe`: the whole of a recipe."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, create_model

from textxfer.recipe.freeze_sections import Freeze
from textxfer.recipe.hub_section import Hub
from textxfer.recipe.sections import (
    RUN_NAME,
    Adapt,
    Checkpoint,
    Dataset,
    Evaluate,
    Lora,
    Output,
    Train,
)
from textxfer.recipe.small_data_section import SmallData, unused_fields
from textxfer.section import HeadSection, Section

SHORTHANDS = {"checkpoint": "id", "dataset": "path", "task": "name", "head": "name", "small_data": "road"}
"""`section: VALUE` is short for `section: {key: VALUE}`."""
NEEDED = ("checkpoint", "dataset", "task")
"""Sections that a recipe must have."""


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


class Recipe(Section):
    """One YAML file that fully states a run: a checkpoint, a data set, a task, and how to train and judge."""

    name: Annotated[str, Field(pattern=RUN_NAME)]
    """Name of the run folder; `adapted` is taken. Default: the recipe's file name without `.yaml`."""
    extends: str | None = None
    """A recipe whose fields hold where this one says nothing (one level). Paths in it are relative to it. Naming
    another checkpoint or data set here takes back the revision and configuration named there."""
    plugins: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = ()
    """Python files that register tasks, heads or metrics of your own."""
    checkpoint: Checkpoint
    dataset: Dataset
    task: SerializeAsAny[Section]
    adapt: Adapt | None = None
    freeze: Freeze = Freeze()
    lora: Lora | None = None
    head: SerializeAsAny[HeadSection] = HeadSection()
    train: Train = Train()
    small_data: SmallData = SmallData()
    calibrate: Literal["auto", "off"] = "auto"
    """Whether probabilities are made to mean what they say. `auto`: a temperature is fitted on validation and folded
    into the last layer (the head `text2text` has none: textxfer applies it), thresholds of a model with several labels
    a text are tuned, and a third of 300 validation rows or more is held back for label sets at a stated coverage.
    `off`: the model is saved as it was trained."""
    suspects: Literal["auto", "on", "off"] = "auto"
    """Whether a run of one label a text ends with a look for training rows whose label is probably wrong, which the
    report shows and suspects.csv lists: as many as the evidence bears. `auto`: where there are 100 rows a label or more
    on average, and it takes seconds, and less than an eighth of the training's arithmetic (up to a few thousand short
    texts); `textxfer suspects RUN` does it later. `on`: whatever it takes, and with fewer rows, of which no more than
    5 % are then named: a rough guess."""
    evaluate: Evaluate = Evaluate()
    output: Output = Output()
    hub: Hub = Hub()

    @classmethod
    def made_of(cls, task: type[Section], head: type[HeadSection]) -> type[Recipe]:
        """Gives the recipe class whose `task` and `head` sections have the fields of these."""
        return _made_of(task, head)

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.output.directory) / self.name

    def resolved(self, folder: Path) -> dict[str, Any]:
        """Gives the recipe as plain data with every default spelled out, its paths relative to `folder`.

        Running the result again, from the same place, repeats the run.
        """
        data = self.model_dump(mode="json", exclude={"extends"})  # it was followed when the recipe was read
        for key, path in (("path", self.dataset.path), ("drop", self.dataset.drop)):
            if path is not None:
                data["dataset"][key] = _relative(path, folder)
        checkpoint = data["checkpoint"]
        if checkpoint["id"] is not None:
            checkpoint["id"] = relative_place(checkpoint["id"], folder)
        if checkpoint["auto"] is not None:
            checkpoint["auto"] = [relative_place(name, folder) for name in checkpoint["auto"]]
        if self.adapt is not None:
            places = self.adapt.texts
            data["adapt"]["texts"] = [_relative(place, folder) if os.path.isabs(place) else place for place in places]
        data["plugins"] = [_relative(plugin, folder) for plugin in self.plugins]
        usual = Train().model_dump(mode="json")  # what a road has no use for would be a mistake beside its name
        few = self.small_data
        unused = unused_fields(few.road, self.head.name, own_rate=few.learning_rate is not None)
        data["train"] |= {name: usual[name] for name in unused}
        if self.train.phases is not None:  # they stand in for these, which would say something else
            del data["freeze"], data["train"]["epochs"], data["train"]["max_steps"]
            data["train"]["phases"] = [phase.model_dump(mode="json", exclude_none=True) for phase in self.train.phases]
        return data


@functools.cache
def _made_of(task: type[Section], head: type[HeadSection]) -> type[Recipe]:
    return create_model("Recipe", __base__=Recipe, task=(task, ...), head=(head, Field(default_factory=head)))


def relative_place(name: str, folder: Path) -> str:
    """Gives a checkpoint's name, as it is relative to `folder` where it is a path; `merging.place_of` takes it back."""
    return _relative(name, folder) if os.path.isabs(name) else name


def _relative(path: str, folder: Path) -> str:
    """Gives a path that begins with a dot, so that nobody takes it for a Hub id."""
    try:
        relative = Path(os.path.relpath(path, folder.resolve())).as_posix()
    except ValueError:  # another drive
        return path
    return relative if relative.startswith(".") else f"./{relative}"
