"""What comes before the first step of a phase: what is frozen, stored states, the wrapping for processes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from textxfer.modeling.freezing import Frozen, hold
from textxfer.recipe.schema import Recipe
from textxfer.recipe.sections import in_bytes
from textxfer.training.graphs import make_plain
from textxfer.training.network import CacheOptions, Network
from textxfer.training.objective import example_weights, make_loss
from textxfer.training.optimizer import rates_in_words
from textxfer.training.step import Stepper
from textxfer.training.stopping import StopSignal
from textxfer.training.writing import loss_of

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

    from textxfer.training.prepare import Prepared


@dataclass(frozen=True)
class Started:
    """A run that is ready for its first step, or for the first of a phase.

    Attributes:
        stepper: Takes the steps.
        notes: What the user should know.
        probe_seconds: Time that the probe took.
    """

    stepper: Stepper
    notes: tuple[str, ...] = ()
    probe_seconds: float = 0.0


@dataclass(frozen=True)
class Entrance:
    """Makes a model ready for the phases of a run.

    Attributes:
        prepared: The run.
        network: What is computed of its model.
        optimizer: Of all weights that are trained in some phase. It keeps what it knows of each, whatever is frozen.
        accelerator: Of the run.
        frozen: What is not trained in each phase.
        stop: Asked between two batches.
    """

    prepared: Prepared
    network: Network
    optimizer: torch.optim.Optimizer
    accelerator: Accelerator
    frozen: tuple[Frozen, ...]
    stop: StopSignal | None = None

    def between(self) -> None:
        """Is called between two batches; raises to stop."""
        if self.stop is not None:
            self.stop.check_alone()

    def enter(self, phase: int) -> Started:
        """Gives the steps of a phase (from 0) that follows another; the module and what it stored give way."""
        notes = self.freeze(phase)
        make_plain(self.optimizer)
        self.accelerator.free_memory()
        return self.begin(phase, notes)

    def freeze(self, phase: int) -> list[str]:
        """Freezes what a phase freezes, and stores what that makes of the texts, where it pays; gives notes."""
        prepared, network, notes = self.prepared, self.network, []
        trained = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        hold(self.frozen[phase], trained)
        network.freeze(self.frozen[phase])
        # A second look at the training rows is what pays for storing.
        if prepared.recipe.train.prefix_cache != "off" and self._steps_alike(phase) > prepared.plan.steps_per_epoch:
            splits = tuple(name for name in ("train", "validation") if name in prepared.encoded)
            note = network.store(splits, _cache_options(prepared.recipe), self.accelerator, self.between)
            notes += [note] if note else []
        told = rates_in_words(network.model, self.optimizer, prepared.plan.phases[phase].learning_rate)
        return [*notes, told] if told else notes

    def _steps_alike(self, phase: int) -> int:
        """Gives the steps of a phase and of those next to it that freeze the same, so that each of them says the same.

        A run that is gone on with in one of them has to store what it would have had from the one before.
        """
        phases = self.prepared.plan.phases
        for _, numbers in itertools.groupby(range(len(phases)), key=lambda number: self.frozen[number].modules):
            alike = list(numbers)
            if phase in alike:
                break
        return sum(phases[number].steps for number in alike)

    def begin(self, phase: int, notes: Sequence[str] = (), probe_seconds: float = 0.0) -> Started:
        """Wraps module and optimizer for the processes, and gives what takes a phase's steps.

        Args:
            phase: Its number, from 0; what it freezes is frozen.
            notes: What the user should know already.
            probe_seconds: Time that a probe took.
        """
        prepared, network, train = self.prepared, self.network, self.prepared.recipe.train
        network.module, optimizer = self.accelerator.prepare(network.module, self.optimizer)
        loss = make_loss(
            loss_of(prepared.recipe, prepared.rows.task),
            prepared.rows.labels,
            label_smoothing=train.label_smoothing,
            class_weights=train.class_weights,
            sets=prepared.rows.sets,
            weights=example_weights(prepared.rows.splits.train, prepared.encoded["train"]),
            device=self.accelerator.device,
        )
        stepper = Stepper(
            network,
            optimizer,
            loss,
            self.accelerator,
            micro_batch_size=train.micro_batch_size,
            max_grad_norm=train.max_grad_norm,
            seed=train.seed,
            bulk_dropout=not train.activation_checkpointing,  # which does not last while activations are computed again
        )
        return Started(stepper, (*notes, *self._record(stepper, phase)), probe_seconds)

    def _record(self, stepper: Stepper, phase: int) -> list[str]:
        """Has steps recorded where the recipe lets it; gives what the user should know where they are not."""
        train, plan = self.prepared.recipe.train, self.prepared.plan.of_phase(phase)
        if train.cuda_graphs == "off" or plan.steps == 0 or stepper.accelerator.device.type != "cuda":
            return []
        if train.activation_checkpointing:
            why: str | None = "`train.activation_checkpointing` computes parts of a step twice"
        else:
            why = stepper.record(plan)
        return [f"steps are not recorded as CUDA graphs: {why}"] if why is not None else []


def _cache_options(recipe: Recipe) -> CacheOptions:
    spill, asked = Path(recipe.output.directory), recipe.train.prefix_cache
    if isinstance(asked, str):
        return CacheOptions(spill=spill)
    keep = Path(asked.directory) if asked.directory is not None else None
    return CacheOptions(in_bytes(asked.memory) if asked.memory is not None else None, keep, spill)
