"""Our own step on given rows, in one process or several: what is compared with the plain step."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.unit.training.helpers import make_recipe
from textxfer.recipe.loading import load_recipe
from textxfer.training.assemble import Training, assemble
from textxfer.training.loop import fit
from textxfer.training.precision import make_accelerator
from textxfer.training.prepare import Prepared, prepare
from textxfer.training.progress import Progress
from textxfer.training.step import Stepper

RATE = 1e-2
Weights = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Ready:
    """A run before its first step."""

    prepared: Prepared
    training: Training
    accelerator: Any
    stepper: Stepper
    untouched: Any
    notes: tuple[str, ...]

    @property
    def tokenizer(self) -> Any:
        return self.prepared.checkpoint.tokenizer


def ready(checkpoint: Path, rows: Any, without: Sequence[str] = (), **sections: Any) -> Ready:
    """Assembles a run without dropout, for as many processes as this is run in.

    Args:
        checkpoint: Where to start.
        rows: Splits, or training rows.
        without: Fields of `train` that the recipe does not name.
        **sections: Of the recipe, merged into the usual ones.
    """
    accelerator = make_accelerator("fp32")
    sections["train"] = {"dropout": 0.0, "weight_decay": 0.1} | sections.get("train", {})
    made = make_recipe(checkpoint, Path("unused"), **sections)
    made["train"] = {key: value for key, value in made["train"].items() if key not in without}
    recipe = load_recipe(made, rows_given=True)
    prepared = prepare(recipe, rows)
    training = assemble(prepared, accelerator)
    untouched = copy.deepcopy(training.model)
    started = training.start(True)
    return Ready(prepared, training, accelerator, started.stepper, untouched, started.notes)


def our_step(run: Ready, indices: np.ndarray, number: int = 0) -> dict[str, Any]:
    """Takes a step; gives the same as `plain_step`, with this process's share of the loss."""
    stepper = run.stepper
    taken = stepper.gradients(indices, number)
    trained = {name: value for name, value in run.training.model.named_parameters() if value.requires_grad}
    gradients = {name: value.grad.clone() for name, value in trained.items() if value.grad is not None}
    stepper.optimizer.zero_grad()
    stepper.take(indices, number, RATE)
    weights = {name: value.detach().clone() for name, value in trained.items()}
    return {"loss": float(taken.loss), "norm": float(taken.grad_norm), "gradients": gradients, "weights": weights}


def train_through(run: Ready) -> list[Weights]:
    """Takes all steps of a run; gives its weights before the first, and at the end of each phase."""
    model = run.training.model

    def now() -> Weights:
        return {name: value.detach().clone() for name, value in model.named_parameters()}

    seen = [now()]

    def enter(number: int) -> Stepper:
        seen.append(now())
        return run.training.enter(number).stepper

    fit(run.stepper, run.prepared.plan, Progress(), enter=enter)
    return [*seen, now()]
