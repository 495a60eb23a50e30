"""Whole steps recorded as CUDA graphs, one for each padded length, and replayed with other examples.

A small batch keeps a large GPU waiting for Python: a step of BERT's is some thousand kernels, each shorter than the
time it takes to launch it. A recorded step is one launch (Nguyen et al. 2021, Accelerating PyTorch with CUDA Graphs).
It draws new dropout at each replay, from the seed that is set before. What is recorded follows from the plan alone, and
all of it is recorded before the first replay: a resumed run records what the whole run did, in the same order.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from textxfer.data.batching import epoch_batches
from textxfer.data.resident import Resident
from textxfer.modeling.checkpoint import first_line
from textxfer.modeling.device import clear_memory, is_out_of_memory
from textxfer.training.plan import Plan

if TYPE_CHECKING:
    import numpy as np

    from textxfer.records import Batch
    from textxfer.training.step import Taken

LEAST_REPLAYS = 10
"""Recording takes about the time of three steps; a length that stands in fewer than these is not recorded."""


@dataclass(frozen=True)
class _Recorded:
    """A step on the GPU.

    Attributes:
        graph: What is replayed.
        places: Examples of the step (B,), read at each replay.
        loss: Written at each replay.
        grad_norm: Written at each replay.
    """

    graph: torch.cuda.CUDAGraph
    places: torch.Tensor
    loss: torch.Tensor
    grad_norm: torch.Tensor


class StepGraphs:
    """The steps of a run that are replayed.

    Args:
        plan: Of the run.
        resident: Its training examples.
        lengths: Their tokens (N,): fewer than the plan's where one token's state is all that the network needs.
        step: Takes a whole step on a batch, the optimizer's part included, and gives its loss and gradient norm;
            nothing in it may wait for the device.
        warm_up: Leaves a batch's gradients and no more, so that all that is set up once is set up.
        optimizer: Whose rate becomes a tensor, to be read at each replay, by the steps that are not recorded too: a
            number has more digits.
    """

    def __init__(
        self,
        plan: Plan,
        resident: Resident,
        lengths: np.ndarray,
        step: Callable[[Batch], Taken],
        warm_up: Callable[[Batch], object],
        optimizer: torch.optim.Optimizer,
    ) -> None:
        self.plan, self.resident, self.lengths = plan, resident, lengths
        self.step, self.warm_up, self.optimizer = step, warm_up, optimizer
        self.longest = int(lengths.max())
        self.worth = batches_worth_recording(plan, lengths)
        self.problem: str | None = None
        self._recorded: dict[int, _Recorded] = {}
        self._pool: Any = None
        if self.worth:
            make_replayable(optimizer, resident.device)

    def replays(self, indices: np.ndarray) -> bool:
        """Says whether a step with these examples is one that is replayed."""
        full = len(indices) == self.plan.batch_size
        return self.problem is None and full and width_of(self.lengths, indices, self.longest) in self.worth

    def take(self, indices: np.ndarray, seed: int) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Takes a step and gives its loss and gradient norm; None where steps cannot be recorded: it was not taken.

        Args:
            indices: The examples of the step.
            seed: Of its dropout.
        """
        if not self._recorded:
            try:
                self._record_all()
            except RuntimeError as error:
                cause = error.__context__ or error  # leaving a capture that failed raises an error of its own
                lacks = is_out_of_memory(error) or is_out_of_memory(cause)
                self.give_up("memory ran out" if lacks else first_line(cause))
                return None
        recorded = self._recorded[width_of(self.lengths, indices, self.longest)]
        torch.manual_seed(seed)
        recorded.places.copy_(torch.from_numpy(indices).pin_memory(), non_blocking=True)
        recorded.graph.replay()
        return recorded.loss.clone(), recorded.grad_norm.clone()

    def _record_all(self) -> None:
        """Records a step of each length, the longest first: the shorter ones find room in its memory."""
        gc.collect()  # graphs of a run that was interrupted share their seeds with these until they are collected
        for width, indices in sorted(self.worth.items(), reverse=True):
            self._recorded[width] = self._record(indices, width)

    def _record(self, indices: np.ndarray, width: int) -> _Recorded:
        device = self.resident.device
        places = torch.from_numpy(indices).to(device)
        aside = torch.cuda.Stream(device)
        aside.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(aside):
            self.warm_up(self.resident.batch(places, width, indices))
            self.optimizer.zero_grad(set_to_none=True)
            _make_states(self.optimizer)
        torch.cuda.current_stream(device).wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            taken = self.step(self.resident.batch(places, width, indices))
        self._pool = graph.pool()
        self.optimizer.zero_grad(set_to_none=True)  # these lie in the graph's own memory
        return _Recorded(graph, places, taken.loss, taken.grad_norm)

    def give_up(self, problem: str) -> None:
        """Records and replays nothing from now on, and lets go of the memory.

        Args:
            problem: Why.
        """
        self.problem = problem
        self.optimizer.zero_grad(set_to_none=True)
        self._recorded.clear()
        clear_memory()


def width_of(lengths: np.ndarray, indices: np.ndarray, most: int) -> int:
    """Gives the padded length at which a step is recorded: few enough of them, none beyond the longest example.

    Args:
        lengths: Tokens of each example (N,).
        indices: The examples of the step.
        most: Tokens of the longest example of all.
    """
    longest = int(lengths[indices].max())
    grain = 8 if longest <= 64 else 16 if longest <= 256 else 32
    return min(-(-longest // grain) * grain, most)


def batches_worth_recording(plan: Plan, lengths: np.ndarray) -> dict[int, np.ndarray]:
    """Gives a full batch of each padded length that full batches of the run have often enough."""
    found: dict[int, list[np.ndarray]] = {}
    longest = int(lengths.max())
    for batch in epoch_batches(plan.lengths, plan.batch_size, seed=plan.seed, epoch=0, batching=plan.batching):
        if len(batch) == plan.batch_size:
            found.setdefault(width_of(lengths, batch, longest), []).append(batch)
    epochs = plan.steps / plan.steps_per_epoch
    return {width: batches[0] for width, batches in found.items() if len(batches) * epochs >= LEAST_REPLAYS}


def make_replayable(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Makes an optimizer read its rate from the device, so that a recorded step can be replayed with another."""
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(float(group["lr"]), device=device)
        group["capturable"] = True


def make_plain(optimizer: torch.optim.Optimizer) -> None:
    """Takes back `make_replayable`: whether steps are recorded is settled anew in each phase."""
    for group in optimizer.param_groups:
        group["lr"] = float(group["lr"])
        group["capturable"] = False


def set_rates(optimizer: torch.optim.Optimizer, rates: list[float]) -> None:
    """Sets the rate of each group, in place where it is a tensor."""
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def _make_states(optimizer: torch.optim.Optimizer) -> None:
    """Makes the moments that a first step would make, which must be there before a step is recorded; changes no weight.

    With gradients of zero and a rate of zero a step leaves weights and moments as they are, and only counts itself.
    """
    without = [
        parameter
        for group in optimizer.param_groups
        for parameter in group["params"]
        if parameter.requires_grad and not optimizer.state.get(parameter)
    ]
    if not without:
        return
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    for parameter in without:
        parameter.grad = torch.zeros_like(parameter)
    set_rates(optimizer, [0.0] * len(rates))
    try:
        optimizer.step()
    finally:
        set_rates(optimizer, rates)
    optimizer.zero_grad(set_to_none=True)
    for parameter in without:
        optimizer.state[parameter]["step"].zero_()
