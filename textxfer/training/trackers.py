"""Curves of a run in TensorBoard, Weights & Biases and the like, through Accelerate's own trackers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from textxfer.errors import RecipeError
from textxfer.records import Scores
from textxfer.training.observers import Observer, StepLog

if TYPE_CHECKING:
    from accelerate import Accelerator

PACKAGES = {"comet_ml": "comet-ml"}
"""Packages whose name is not the tracker's."""


def check_trackers(names: tuple[str, ...]) -> None:
    """Makes sure that trackers are installed.

    Raises:
        RecipeError: One is not; says what to install.
    """
    from accelerate.tracking import get_available_trackers

    there = {str(getattr(name, "value", name)) for name in get_available_trackers()}
    missing = [name for name in names if name not in there]
    if missing:
        packages = " ".join(PACKAGES.get(name, name) for name in missing)
        raise RecipeError(f"train.trackers: {', '.join(missing)}: not installed; `pip install {packages}`")


class Trackers(Observer):
    """Sends losses and scores to the trackers of an accelerator.

    Args:
        accelerator: Made with `log_with`.
        run: The run's name.
        recipe: As it is carried out; goes along as the run's settings.
    """

    def __init__(self, accelerator: Accelerator, run: str, recipe: Mapping[str, Any]) -> None:
        self.accelerator = accelerator
        accelerator.init_trackers(run, config=dict(_flat(recipe)))

    def on_log(self, log: StepLog) -> None:
        """Sends loss, gradient norm and learning rate."""
        values = {"loss": log.loss, "grad_norm": log.grad_norm, "learning_rate": log.learning_rate}
        self.accelerator.log({f"train/{name}": value for name, value in values.items()}, step=log.step)

    def on_scores(self, step: int, epoch: float, split: str, scores: Scores, best: bool) -> None:
        """Sends every metric and the loss of a split."""
        loss = {} if scores.loss is None else {"loss": scores.loss}
        name = "train_sample" if split == "train" else split
        self.accelerator.log({f"{name}/{key}": value for key, value in {**loss, **scores.values}.items()}, step=step)

    def on_end(self) -> None:
        """Closes the trackers."""
        self.accelerator.end_training()


def _flat(settings: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """Gives settings as (dotted name, text or number), which every tracker takes."""
    pairs: list[tuple[str, Any]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            pairs.extend(_flat(value, f"{before}{name}."))
        else:
            pairs.append((before + name, value if isinstance(value, (int, float, str)) else str(value)))
    return pairs
