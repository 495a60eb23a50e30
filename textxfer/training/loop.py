"""The loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from textxfer.errors import TrainingDiverged
from textxfer.records import Scores
from textxfer.training.best import Best
from textxfer.training.observers import Observer, StepLog, tell
from textxfer.training.plan import Plan
from textxfer.training.progress import Progress
from textxfer.training.step import Stepper
from textxfer.training.stopping import StopRequested

if TYPE_CHECKING:
    import numpy as np
    import torch
    from accelerate import Accelerator


def fit(
    stepper: Stepper,
    plan: Plan,
    progress: Progress,
    *,
    best: Best | None = None,
    watch: Callable[[], Scores] | None = None,
    enter: Callable[[int], Stepper] | None = None,
    check_stop: Callable[[], None] = lambda: None,
    save: Callable[[], None] = lambda: None,
    observers: Sequence[Observer] = (),
    name_rows: Callable[[np.ndarray], Sequence[str]] = lambda places: list(map(str, places)),
) -> None:
    """Trains from where `progress` is to the end of the plan; `progress` is kept up to date.

    Args:
        stepper: Takes the steps of the phase that `progress` is in.
        plan: Says which examples, which rate, and when to evaluate, log and save.
        progress: Where the run is; a new one, or one that was saved.
        best: Evaluates and keeps the best weights; None trains to the last step and keeps those.
        watch: Scores a sample of the training rows.
        enter: Gives what takes the steps of a later phase, by its number; needed where the plan has several.
        check_stop: Called between two steps; may raise `StopRequested`.
        save: Saves everything needed to resume.
        observers: Told what happens.
        name_rows: Gives the ids of examples, for the message of a run that diverges.

    Raises:
        TrainingDiverged: A loss or a gradient is not finite; with step, rate, gradient norm and rows.
        StopRequested: By `check_stop` or an evaluation; nothing is lost if the caller saves now.
    """
    clock, ledger = _Clock(progress), _Ledger(stepper.accelerator, plan, progress, name_rows)
    stepper.go_on_with(progress.micro_batch_size)
    saved_step, batches = progress.step, plan.batches(progress.step)
    tell(observers, "on_start", progress.step, plan.steps, plan.batch_size)
    try:
        while True:
            if best and plan.evaluates_after(progress.step) and progress.evaluated_step < progress.step:
                _evaluate(best, watch, progress, plan.epoch(progress.step), observers)
            ends = progress.step >= plan.steps or progress.stopped_early
            begins = not ends and plan.phase(progress.step) > progress.phase
            if begins:  # the evaluation was the last of the phase before; what is saved goes on with the next
                progress.phase = plan.phase(progress.step)
            if plan.saves_after(progress.step) and saved_step < progress.step:
                clock.stop()
                save()
                saved_step = progress.step
            if ends:
                return
            check_stop()
            if begins:
                stepper = _entered(enter, progress, clock)
            indices, rate = next(batches), plan.rate(progress.step)
            taken = stepper.take(indices, progress.step, rate)
            progress.step, progress.micro_batch_size = progress.step + 1, stepper.micro_batch_size
            ledger.enter(indices, taken.loss, taken.grad_norm)
            tell(observers, "on_step", progress.step)
            due = plan.logs_after(progress.step)
            if due or plan.evaluates_after(progress.step) or plan.saves_after(progress.step):
                ledger.settle()
            if due:
                tell(observers, "on_log", ledger.line(rate))
    except StopRequested:
        ledger.settle()
        raise
    finally:
        clock.stop()
        tell(observers, "on_end")


def _entered(enter: Callable[[int], Stepper] | None, progress: Progress, clock: _Clock) -> Stepper:
    """Gives what takes the steps of the phase that begins; its states have their own clock."""
    assert enter is not None, "a plan of several phases needs it"
    clock.stop()
    stepper = enter(progress.phase)
    stepper.go_on_with(progress.micro_batch_size)
    clock.go_on()
    return stepper


def _evaluate(
    best: Best, watch: Callable[[], Scores] | None, progress: Progress, epoch: float, observers: Sequence[Observer]
) -> None:
    """Evaluates; the sample of training rows first, so that an evaluation that is cut off is repeated as a whole."""
    on_train = watch() if watch is not None else None
    scores, is_best = best.look(progress)
    if on_train is not None:
        tell(observers, "on_scores", progress.step, epoch, "train", on_train, False)
    tell(observers, "on_scores", progress.step, epoch, "validation", scores, is_best)


class _Clock:
    """Adds the time that goes by to `progress.seconds`."""

    def __init__(self, progress: Progress) -> None:
        self.progress, self.since = progress, time.monotonic()

    def stop(self) -> None:
        now = time.monotonic()
        self.progress.seconds += now - self.since
        self.since = now

    def go_on(self) -> None:
        """Leaves out the time since it was stopped, which others count."""
        self.since = time.monotonic()


@dataclass
class _Ledger:
    """Losses that still lie on the device: they are fetched together, so that steps need not wait for them."""

    accelerator: Accelerator
    plan: Plan
    progress: Progress
    name_rows: Callable[[np.ndarray], Sequence[str]]
    open: list[tuple[np.ndarray, torch.Tensor, torch.Tensor]] = field(default_factory=list)
    grad_norm: float = math.nan

    def enter(self, indices: np.ndarray, loss: torch.Tensor, grad_norm: torch.Tensor) -> None:
        self.open.append((indices, loss, grad_norm))
        alone = self.accelerator.num_processes == 1
        if alone and loss.device.type == "cpu" and not self._is_sound(float(loss), float(grad_norm)):
            self.settle()

    def settle(self) -> None:
        """Fetches losses and gradient norms, and stops the run at the first that is not finite."""
        import torch

        if not self.open:
            return
        stacked = torch.stack([torch.stack([loss, norm]) for _, loss, norm in self.open])
        values = self.accelerator.reduce(stacked, reduction="mean").tolist()
        first = self.progress.step - len(self.open)
        for place, (loss, norm) in enumerate(values):
            if not self._is_sound(loss, norm):
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

    def _is_sound(self, loss: float, norm: float) -> bool:
        # fp16's gradient scaler leaves a step out where gradients overflow, and goes on with a smaller scale.
        scaled = self.accelerator.scaler is not None
        return math.isfinite(loss) and (scaled or math.isfinite(norm))

    def _diverged(self, step: int, indices: np.ndarray, loss: float, norm: float) -> TrainingDiverged:
        rows = list(self.name_rows(indices))
        shown = ", ".join(rows[:8]) + (f" and {len(rows) - 8} more" if len(rows) > 8 else "")
        return TrainingDiverged(
            f"step {step + 1}: the loss is {loss} (learning rate {self.plan.rate(step):.2e}, gradient norm {norm:.3g}, "
            f"rows {shown}); try a smaller train.learning_rate, a longer train.warmup_ratio or train.precision: fp32"
        )
