"""`Plan`: which examples each step of a run sees, and when it evaluates, logs and saves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from textxfer.data.batching import epoch_batches
from textxfer.training.schedule import rate_factor

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Plan:
    """A run's steps, as a function of their number.

    Attributes:
        lengths: Tokens of each training example (N,).
        epochs: Passes over the examples.
        batch_size: Examples of a step.
        learning_rate: The highest.
        warmup_ratio: Share of the steps in which it rises.
        schedule: How it falls.
        max_steps: Last step, whatever `epochs` says.
        evaluate_every: Steps, or "epoch".
        save_every: Steps, "epoch" or "never".
        log_every: Steps.
        batching: By length, or random.
        seed: Of the order.
        evaluates_first: Whether the run evaluates before its first step too.
    """

    lengths: np.ndarray
    epochs: int = 3
    batch_size: int = 32
    learning_rate: float = 5e-5
    warmup_ratio: float = 0.1
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    max_steps: int | None = None
    evaluate_every: int | Literal["epoch"] = "epoch"
    save_every: int | Literal["epoch", "never"] = "epoch"
    log_every: int = 10
    batching: Literal["length", "random"] = "length"
    seed: int = 0
    evaluates_first: bool = False

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one pass; the last may have fewer examples."""
        return -(-len(self.lengths) // self.batch_size)

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        steps = self.steps_per_epoch * self.epochs
        return steps if self.max_steps is None else min(steps, self.max_steps)

    @property
    def padding(self) -> float:
        """Share of the first epoch's tokens that only fill up batches."""
        batches = epoch_batches(self.lengths, self.batch_size, seed=self.seed, epoch=0, batching=self.batching)
        computed = sum(len(batch) * int(self.lengths[batch].max()) for batch in batches)
        return 1 - float(self.lengths.sum()) / computed

    def epoch(self, step: int) -> float:
        """Gives the passes done after `step` steps."""
        return step / self.steps_per_epoch

    def examples(self, step: int) -> int:
        """Gives the examples that `step` steps have seen; exact at the end of an epoch."""
        epochs, rest = divmod(step, self.steps_per_epoch)
        return epochs * len(self.lengths) + min(rest * self.batch_size, len(self.lengths))

    def batches(self, start: int) -> Iterator[np.ndarray]:
        """Gives the examples of each step from step `start` on."""
        for epoch in range(start // self.steps_per_epoch, -(-self.steps // self.steps_per_epoch)):
            batches = epoch_batches(self.lengths, self.batch_size, seed=self.seed, epoch=epoch, batching=self.batching)
            first = epoch * self.steps_per_epoch
            yield from batches[max(start - first, 0) : self.steps - first]

    def rate(self, step: int) -> float:
        """Gives the learning rate of a step (from 0)."""
        return self.learning_rate * rate_factor(step, self.steps, self.warmup_ratio, self.schedule)

    def evaluates_after(self, done: int) -> bool:
        """Says whether the run evaluates after `done` steps; after the last it always does."""
        if done == 0:
            return self.evaluates_first
        return done == self.steps or done % self._steps(self.evaluate_every) == 0

    def logs_after(self, done: int) -> bool:
        """Says whether a line of the log is due after `done` steps."""
        return done % self.log_every == 0 or done == self.steps

    def saves_after(self, done: int) -> bool:
        """Says whether the state is saved after `done` steps; after the last too: judging a model takes its time."""
        if self.save_every == "never" or done == 0:
            return False
        return done == self.steps or done % self._steps(self.save_every) == 0

    @property
    def evaluations(self) -> int:
        """Evaluations of the whole run after its first step."""
        return -(-self.steps // self._steps(self.evaluate_every))

    def _steps(self, every: int | str) -> int:
        return every if isinstance(every, int) else self.steps_per_epoch
