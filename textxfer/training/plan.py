"""`Plan`: which examples each step of a run sees, and when it evaluates, logs and saves."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

from textxfer.data.batching import epoch_batches
from textxfer.training.schedule import rate_factor

if TYPE_CHECKING:
    import numpy as np

Layers = int | Literal["all", "auto"]


@dataclass(frozen=True)
class Phase:
    """A part of a run.

    Attributes:
        steps: Optimizer steps; 0 where a probe has done its work.
        learning_rate: The highest.
        layers: Lowest layers that are frozen, or all; "auto" until a number is chosen.
        embeddings: Whether the embeddings are frozen; None: as soon as a layer is.
    """

    steps: int
    learning_rate: float
    layers: Layers = 0
    embeddings: bool | None = None

    @property
    def freezes_backbone(self) -> bool:
        """Whether the head is all that is trained."""
        return self.layers == "all" and self.freezes_embeddings

    @property
    def freezes_embeddings(self) -> bool:
        """Whether the embeddings are frozen."""
        return self.layers != 0 if self.embeddings is None else self.embeddings

    @property
    def frozen_in_words(self) -> str:
        """What is frozen: "4 layers and the embeddings are frozen"."""
        if self.freezes_backbone:
            return "the whole backbone is frozen"
        named = [] if self.layers == 0 else ["1 layer" if self.layers == 1 else f"{self.layers} layers"]
        named += ["the embeddings"] if self.freezes_embeddings else []
        return f"{' and '.join(named) or 'nothing'} {'is' if named in ([], ['1 layer']) else 'are'} frozen"


@dataclass(frozen=True)
class Plan:
    """A run's steps, as a function of their number.

    Attributes:
        lengths: Tokens of each training example (N,).
        epochs: Passes over the examples, where there are no `phases`.
        batch_size: Examples of a step.
        learning_rate: The highest, where `phases` say no other.
        warmup_ratio: Share of the steps of a phase in which it rises.
        schedule: How it falls.
        max_steps: Last step, whatever `epochs` says; where there are no `phases`.
        evaluate_every: Steps, or "epoch".
        save_every: Steps, "epoch" or "never".
        log_every: Steps.
        batching: By length, or random.
        seed: Of the order.
        evaluates_first: Whether the run evaluates before its first step too.
        phases: One after the other; empty: one, of the steps and the rate above. The order of examples goes on through
            all of them; the learning rate rises and falls in each.
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
    phases: tuple[Phase, ...] = ()

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one pass; the last may have fewer examples."""
        return -(-len(self.lengths) // self.batch_size)

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self._ends[-1]

    def phase(self, step: int) -> int:
        """Gives the number of the phase (from 0) that a step (from 0) belongs to; the last after the last step."""
        return min(bisect_right(self._ends, step), len(self._ends) - 1)

    def first_step(self, phase: int) -> int:
        """Gives the first step (from 0) of a phase."""
        return self._ends[phase - 1] if phase else 0

    def of_phase(self, phase: int) -> Plan:
        """Gives a plan of a phase's steps alone, for those who count them; its examples are not the phase's."""
        return replace(self, phases=(self._phases[phase],))

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
        number = self.phase(step)
        phase, done = self._phases[number], step - self.first_step(number)
        return phase.learning_rate * rate_factor(done, phase.steps, self.warmup_ratio, self.schedule)

    def evaluates_after(self, done: int) -> bool:
        """Says whether the run evaluates after `done` steps; after the last of a phase it always does."""
        if done == 0:
            return self.evaluates_first
        return done in self._ends or done % self._steps(self.evaluate_every) == 0

    def logs_after(self, done: int) -> bool:
        """Says whether a line of the log is due after `done` steps."""
        return done % self.log_every == 0 or done in self._ends

    def saves_after(self, done: int) -> bool:
        """Says whether the state is saved after `done` steps; after the last too: judging a model takes its time."""
        if self.save_every == "never" or done == 0:
            return False
        return done == self.steps or done % self._steps(self.save_every) == 0

    @property
    def evaluations(self) -> int:
        """Evaluations of the whole run after its first step."""
        every = self._steps(self.evaluate_every)
        return len({end for end in self._ends if end} | set(range(every, self.steps, every)))

    @cached_property
    def _phases(self) -> tuple[Phase, ...]:
        if self.phases:
            return self.phases
        steps = self.steps_per_epoch * self.epochs
        return (Phase(steps if self.max_steps is None else min(steps, self.max_steps), self.learning_rate),)

    @cached_property
    def _ends(self) -> tuple[int, ...]:
        """The steps that are done at the end of each phase."""
        return tuple(accumulate(phase.steps for phase in self._phases))

    def _steps(self, every: int | str) -> int:
        return every if isinstance(every, int) else self.steps_per_epoch
