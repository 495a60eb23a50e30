"""One optimizer step, in as many micro-batches and on as many processes as it takes.

Losses are summed over examples and divided by the examples of the whole step on all processes, so that cutting a step
changes nothing. Dropout is drawn from (seed, step, process): a step can be repeated, and a run resumed at any step.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from textxfer.modeling.anatomy import waits_for_device
from textxfer.modeling.cpu_dropout import fast_dropout
from textxfer.modeling.device import clear_memory, is_out_of_memory
from textxfer.modeling.freezing import train_mode
from textxfer.records import Batch
from textxfer.training.graphs import LEAST_REPLAYS, StepGraphs, set_rates
from textxfer.training.network import Network
from textxfer.training.optimizer import rates
from textxfer.training.plan import Plan

if TYPE_CHECKING:
    import numpy as np
    import torch
    from accelerate import Accelerator


@dataclass(frozen=True)
class Taken:
    """A step that was taken.

    Attributes:
        loss: Mean over the step's examples on this process's share, times the number of processes.
        grad_norm: Before clipping.
    """

    loss: torch.Tensor
    grad_norm: torch.Tensor


class Stepper:
    """Takes optimizer steps.

    Args:
        network: Its module prepared by the accelerator; gives the training batches.
        optimizer: Prepared by the accelerator.
        loss: Of a forward pass's output and its batch, summed over examples.
        accelerator: Of the run.
        micro_batch_size: Examples of a forward pass; `auto` starts with all and halves when memory runs out.
        max_grad_norm: Gradients are scaled down to it; None: never.
        seed: Of dropout.
        bulk_dropout: Whether dropout on a CPU is drawn in bulk, see `modeling.cpu_dropout`.
    """

    def __init__(
        self,
        network: Network,
        optimizer: Any,
        loss: Callable[[Any, Batch], torch.Tensor],
        accelerator: Accelerator,
        *,
        micro_batch_size: int | Literal["auto"] = "auto",
        max_grad_norm: float | None = 1.0,
        seed: int = 0,
        bulk_dropout: bool = True,
    ) -> None:
        self.network, self.optimizer, self.loss, self.accelerator = network, optimizer, loss, accelerator
        self.lengths = network.encoded["train"].lengths
        self.halves = micro_batch_size == "auto"
        self.micro_batch_size = len(self.lengths) if micro_batch_size == "auto" else micro_batch_size
        self.max_grad_norm, self.seed = max_grad_norm, seed
        self.dropout = fast_dropout if bulk_dropout and accelerator.device.type == "cpu" else nullcontext
        self.parameters = [parameter for parameter in network.module.parameters() if parameter.requires_grad]
        self.graphs: StepGraphs | None = None

    def record(self, plan: Plan) -> str | None:
        """Has whole steps recorded as CUDA graphs from now on, where that can be done.

        It takes one CUDA device, arithmetic whose scale needs no look at the gradients, and all of the training
        examples on the device.

        Returns:
            Why they are not; None where they are.
        """
        accelerator = self.accelerator
        if accelerator.num_processes > 1:
            return "several processes wait for each other within a step"
        if accelerator.scaler is not None:
            return "fp16 looks at the gradients before it takes a step"
        if not self.halves and self.micro_batch_size < plan.batch_size:
            return "`train.micro_batch_size` cuts a step into several passes"
        if waits_for_device(self.network.model):
            return "the head of this family waits for the GPU within a step"
        resident = self.network.resident("train", accelerator.device)
        if resident is None:
            return self.network.why_elsewhere("train")
        graphs = StepGraphs(plan, resident, self.lengths, self._whole, self._alone, self.optimizer)
        if not graphs.worth:
            return f"no length of a full batch comes {LEAST_REPLAYS} times"
        self.graphs = graphs
        return None

    def let_go(self) -> None:
        """Gives up the memory of recorded steps; no further one is taken."""
        self.graphs = None

    def go_on_with(self, micro_batch_size: int) -> None:
        """Takes the size that `auto` had come down to when the run was saved; 0 where it was not yet found."""
        if self.halves and micro_batch_size:
            self.micro_batch_size = micro_batch_size

    def take(self, indices: np.ndarray, step: int, rate: float) -> Taken:
        """Takes one step.

        Args:
            indices: The examples of the step, over all processes.
            step: Its number, from 0.
            rate: Its learning rate.
        """
        set_rates(self.optimizer, rates(self.optimizer, rate))
        if self.graphs is not None and len(indices) <= self.micro_batch_size and self.graphs.replays(indices):
            replayed = self.graphs.take(indices, _mixed(self.seed, step, 0))
            if replayed is not None:
                return Taken(*replayed)
        taken = self.gradients(indices, step)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return taken

    def gradients(self, indices: np.ndarray, step: int) -> Taken:
        """Leaves the clipped gradients of a step in the parameters; repeats with halves when memory runs out."""
        while True:
            try:
                return self._gradients(indices, step)
            except RuntimeError as error:
                alone = self.accelerator.num_processes == 1
                size = min(self.micro_batch_size, len(indices))
                if not (self.halves and alone and size > 1 and is_out_of_memory(error)):
                    raise
                self.micro_batch_size = size // 2
            if self.graphs is not None:
                self.graphs.give_up("memory ran out beside them, and steps are cut from now on")
            self.optimizer.zero_grad(set_to_none=True)
            clear_memory()

    def _gradients(self, indices: np.ndarray, step: int) -> Taken:
        import torch

        accelerator = self.accelerator
        rank, world = accelerator.process_index, accelerator.num_processes
        torch.manual_seed(_mixed(self.seed, step, rank))
        train_mode(self.network.module, self.network.frozen.modules)
        parts = self._parts(indices, rank, world)
        total = torch.zeros((), device=accelerator.device)
        for number, (part, counts) in enumerate(parts):
            batch = self.network.batch("train", part, accelerator.device, step)
            last = number == len(parts) - 1
            with nullcontext() if last else accelerator.no_sync(self.network.module):
                # DDP averages over processes; the step's loss is a sum.
                total += self._add_gradients(batch, counts * world / len(indices))
        return Taken(total, self._clip())

    def _add_gradients(self, batch: Batch, scale: float) -> torch.Tensor:
        with self.dropout():
            output = self.network.module(**batch.inputs())
            loss = self.loss(output, batch) * scale
            self.accelerator.backward(loss)
        return loss.detach()

    def _clip(self) -> torch.Tensor:
        norm: torch.Tensor = self.accelerator.clip_grad_norm_(self.parameters, self.max_grad_norm or float("inf"))
        return norm

    def _whole(self, batch: Batch) -> Taken:
        """Takes a whole step on one batch; nothing in it waits for the device."""
        taken = self._alone(batch)
        self.optimizer.step()
        return taken

    def _alone(self, batch: Batch) -> Taken:
        """Leaves the clipped gradients of one batch, the only one of its step."""
        train_mode(self.network.module, self.network.frozen.modules)
        return Taken(self._add_gradients(batch, 1 / len(batch)), self._clip())

    def _parts(self, indices: np.ndarray, rank: int, world: int) -> list[tuple[np.ndarray, int]]:
        """Gives this process's micro-batches, each with 1; or one with 0, where it has no example of its own."""
        mine = indices[rank::world]
        if len(mine) == 0:
            return [(indices[:1], 0)]
        mine = mine[(-self.lengths[mine]).argsort(kind="stable")]
        size = self.micro_batch_size
        return [(mine[at : at + size], 1) for at in range(0, len(mine), size)]


def _mixed(seed: int, step: int, rank: int) -> int:
    """Gives one 63-bit seed for (seed, step, process)."""
    import numpy as np

    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)[0] >> np.uint64(1))
