"""The loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from textxfer.errors import TrainingDiverged
from textxfer.training.best import Best
from textxfer.training.observers import Observer, StepLog
from textxfer.training.plan import Plan
from textxfer.training.progress import Progress
from textxfer.training.step import Stepper
from textxfer.training.stopping import StopSignal

if TYPE_CHECKING:
    import numpy as np
    import torch

SECONDS_BETWEEN_SAVES = 60.0
"""`save_every: epoch` saves at most this often; a number of steps is kept to exactly."""


def fit(
    stepper: Stepper,
    plan: Plan,
    progress: Progress,
    *,
    best: Best | None = None,
    stop: StopSignal | None = None,
    save: Callable[[], None] = lambda: None,
    observers: Sequence[Observer] = (),
    name_rows: Callable[[np.ndarray], Sequence[str]] = lambda indices: [str(index) for index in indices],
) -> None:
    """Trains from where `progress` is to the end of the plan; `progress` is kept up to date.

    Args:
        stepper: Takes the steps.
        plan: Says which examples, which rate, and when to evaluate, log and save.
        progress: Where the run is; a new one, or one that was saved.
        best: Evaluates and keeps the best weights; None trains to the last step and keeps those.
        stop: Asked after each step; raises to stop between two.
        save: Saves everything needed to resume.
        observers: Told what happens.
        name_rows: Gives the ids of examples, for the message of a run that diverges.

    Raises:
        TrainingDiverged: A loss is not finite; with step, rate, gradient norm and rows.
        StopRequested: A signal came; nothing is lost if the caller saves now.
    """
    clock = _Clock(progress)
    ledger = _Ledger(stepper, plan, progress, name_rows)
    saved_at = time.monotonic()
    batches = plan.batches(progress.step)
    tell(observers, "on_start", progress.step, plan.steps, plan.batch_size)
    try:
        while True:
            if best and plan.evaluates_after(progress.step) and progress.evaluated_step < progress.step:
                scores, is_best = best.look(progress)
                epoch = plan.epoch(progress.step)
                tell(observers, "on_scores", progress.step, epoch, "validation", scores, is_best)
            if progress.step >= plan.steps or progress.stopped_early:
                return
            often = plan.save_every != "epoch" or time.monotonic() - saved_at > SECONDS_BETWEEN_SAVES
            if plan.saves_after(progress.step) and progress.step and often:
                clock.stop()
                save()
                saved_at = time.monotonic()
            if stop is not None:
                stop.check()
            indices, rate = next(batches), plan.rate(progress.step)
            taken = stepper.take(indices, progress.step, rate)
            progress.step += 1
            ledger.enter(indices, taken.loss, taken.grad_norm)
            tell(observers, "on_step", progress.step)
            due = plan.logs_after(progress.step)
            if due or plan.evaluates_after(progress.step) or plan.saves_after(progress.step):
                ledger.settle()
            if due:
                tell(observers, "on_log", ledger.line(rate))
    finally:
        clock.stop()
        tell(observers, "on_end")


def tell(observers: Sequence[Observer], event: str, *details: Any) -> None:
    """Calls one method of every observer."""
    for observer in observers:
        getattr(observer, event)(*details)


class _Clock:
    """Adds the time that goes by to `progress.seconds`."""

    def __init__(self, progress: Progress) -> None:
        self.progress, self.since = progress, time.monotonic()

    def stop(self) -> None:
        now = time.monotonic()
        self.progress.seconds += now - self.since
        self.since = now


@dataclass
class _Ledger:
    """Losses that still lie on the device: they are fetched together, so that steps need not wait for them."""

    stepper: Stepper
    plan: Plan
    progress: Progress
    name_rows: Callable[[np.ndarray], Sequence[str]]
    open: list[tuple[np.ndarray, torch.Tensor, torch.Tensor]] = field(default_factory=list)
    grad_norm: float = math.nan

    def enter(self, indices: np.ndarray, loss: torch.Tensor, grad_norm: torch.Tensor) -> None:
        self.open.append((indices, loss, grad_norm))
        alone = self.stepper.accelerator.num_processes == 1
        if alone and loss.device.type == "cpu" and not math.isfinite(float(loss)):
            self.settle()

    def settle(self) -> None:
        """Fetches losses, and stops the run at the first that is not finite."""
        import torch

        if not self.open:
            return
        accelerator = self.stepper.accelerator
        stacked = torch.stack([torch.stack([loss, norm]) for _, loss, norm in self.open])
        values = accelerator.reduce(stacked, reduction="mean").tolist()
        first = self.progress.step - len(self.open)
        for place, (loss, norm) in enumerate(values):
            if not math.isfinite(loss):
                raise self._diverged(first + place, self.open[place][0], loss, norm)
            self.progress.recent.append(loss)
            self.grad_norm = norm
        self.open.clear()

    def line(self, rate: float) -> StepLog:
        recent = self.progress.recent
        mean = sum(recent) / len(recent)
        recent.clear()
        step = self.progress.step
        return StepLog(step, self.plan.steps, self.plan.epoch(step), mean, self.grad_norm, rate)

    def _diverged(self, step: int, indices: np.ndarray, loss: float, norm: float) -> TrainingDiverged:
        rows = list(self.name_rows(indices))
        shown = ", ".join(rows[:8]) + (f" and {len(rows) - 8} more" if len(rows) > 8 else "")
        return TrainingDiverged(
            f"step {step + 1}: the loss is {loss} (learning rate {self.plan.rate(step):.2e}, gradient norm {norm:.3g}, "
            f"rows {shown}); try a smaller train.learning_rate, a longer train.warmup_ratio or train.precision: fp32"
        )
