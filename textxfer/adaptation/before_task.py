"""What a recipe's `adapt` section does: the task starts from the adapted checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from textxfer.adaptation.adapt import adapt
from textxfer.adaptation.texts import collect
from textxfer.adaptation.work import Work, prepare
from textxfer.errors import TextxferError
from textxfer.modeling.checkpoint import Checkpoint, open_checkpoint
from textxfer.recipe.sections import ADAPTED, Adapt
from textxfer.records import Splits
from textxfer.training.observers import Observer, tell

if TYPE_CHECKING:
    from accelerate import Accelerator

LETTERS = 12
"""Of the hash that names an adaptation's folder."""


def work_of(settings: Adapt, checkpoint: Checkpoint, splits: Splits | None, precision: str) -> Work:
    """Gathers the texts of an `adapt` section and does all else that needs no weights.

    Raises:
        TextxferError: The texts or the checkpoint are wrong.
    """
    return prepare(checkpoint, collect(settings, splits), settings, precision)


def place_of(directory: Path, work: Work) -> Path:
    """Gives the folder of an adaptation, in a folder of runs: the same for all that need the same one."""
    return directory / ADAPTED / work.key[:LETTERS]


def adapted(work: Work, directory: Path, accelerator: Accelerator, observers: Sequence[Observer] = ()) -> Checkpoint:
    """Gives the checkpoint that a recipe's task starts from: adapted now, or by an earlier run.

    An adaptation that was cut off is gone on with.

    Args:
        work: Of the recipe's checkpoint and its `adapt` section.
        directory: Folder of runs, in which adaptations are kept.
        accelerator: Of the run.
        observers: Told what happens.
    """
    try:
        result = adapt(work, place_of(directory, work), accelerator, resume=True, observers=observers)
    except TextxferError as error:
        error.reword(*map(_of_run, error.lines))
        raise
    how = "was adapted to these texts before and is used again" if result.reused else "is adapted"
    tell(observers, "on_note", f"the checkpoint {how} ({result.folder}): {result}")
    return open_checkpoint(str(result.model))


def _of_run(line: str) -> str:
    """Gives a sentence of `textxfer adapt` as one of a run, which goes on with an adaptation by itself."""
    line = line.replace("; wait, or change `name`", "; wait until it has finished")
    line = line.replace("--resume goes on from there with the same recipe", "the same recipe goes on from there")
    return line.replace("--overwrite begins", "`textxfer adapt RECIPE --overwrite` begins")
