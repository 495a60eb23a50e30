"""Our own step on given rows, in one process or several: what is compared with the plain step."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.unit.training.helpers import make_recipe
from textxfer.recipe.loading import load_recipe
from textxfer.training.assemble import Prepared, Training, assemble, prepare
from textxfer.training.precision import make_accelerator
from textxfer.training.step import Stepper

RATE = 1e-2


@dataclass(frozen=True)
class Ready:
    """A run before its first step."""

    prepared: Prepared
    training: Training
    accelerator: Any
    stepper: Stepper
    untouched: Any

    @property
    def tokenizer(self) -> Any:
        return self.prepared.checkpoint.tokenizer


def ready(checkpoint: Path, rows: Any, **sections: Any) -> Ready:
    """Assembles a run without dropout, for as many processes as this is run in."""
    accelerator = make_accelerator("fp32")
    sections["train"] = {"dropout": 0.0, "weight_decay": 0.1} | sections.get("train", {})
    recipe = load_recipe(make_recipe(checkpoint, Path("unused"), **sections), rows_given=True)
    prepared = prepare(recipe, rows)
    training = assemble(prepared, accelerator)
    untouched = copy.deepcopy(training.model)
    return Ready(prepared, training, accelerator, training.start(True).stepper, untouched)


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
