"""What a recipe's `adapt` section does: the task starts from the adapted checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from textxfer.adaptation.adapt import adapt
from textxfer.adaptation.texts import collect
from textxfer.adaptation.work import Work, prepare
from textxfer.modeling.checkpoint import Checkpoint, open_checkpoint
from textxfer.recipe.sections import Adapt
from textxfer.records import Splits
from textxfer.training.observers import Observer, tell

if TYPE_CHECKING:
    from accelerate import Accelerator

    from textxfer.recipe.schema import Recipe

FOLDER = "adapted"
"""In the folder of runs: one folder for each adaptation, named by what it depends on."""
LETTERS = 12


def work_of(settings: Adapt, checkpoint: Checkpoint, splits: Splits | None) -> Work:
    """Gathers the texts of an `adapt` section and does all else that needs no weights.

    Raises:
        TextxferError: The texts or the checkpoint are wrong.
    """
    return prepare(checkpoint, collect(settings, splits), settings)


def place_of(recipe: Recipe, work: Work) -> Path:
    """Gives the folder of a recipe's adaptation: the same for all runs that need the same one."""
    return Path(recipe.output.directory) / FOLDER / work.key[:LETTERS]


def adapted(
    recipe: Recipe,
    checkpoint: Checkpoint,
    splits: Splits,
    accelerator: Accelerator,
    observers: Sequence[Observer] = (),
) -> Checkpoint:
    """Gives the checkpoint that a recipe's task starts from: adapted now, or by an earlier run.

    An adaptation that was cut off is gone on with.

    Args:
        recipe: With an `adapt` section.
        checkpoint: The recipe's.
        splits: Of its task.
        accelerator: Of the run.
        observers: Told what happens.
    """
    assert recipe.adapt is not None
    work = work_of(recipe.adapt, checkpoint, splits)
    result = adapt(work, place_of(recipe, work), accelerator, resume=True, observers=observers)
    how = "was adapted to these texts before and is used again" if result.reused else "is adapted"
    tell(observers, "on_note", f"the checkpoint {how} ({result.folder}): {result}")
    return open_checkpoint(str(result.model))
