"""`Changeover`: from one phase of a run to the next, and who is told of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from textxfer.modeling.freezing import Frozen
from textxfer.training.entrance import Started
from textxfer.training.observers import Observer, PhaseLog, tell
from textxfer.training.plan import Plan
from textxfer.training.step import Stepper


@dataclass
class Changeover:
    """Gives what takes the steps of the next phase, when `fit` asks for it.

    Attributes:
        enter: Makes the model ready for a phase, by its number from 0.
        plan: Of the run.
        frozen: What is not trained in each phase.
        observers: Who is told.
        stepper: Takes the steps of the phase that the run is in.
    """

    enter: Callable[[int], Started]
    plan: Plan
    frozen: Sequence[Frozen]
    observers: Sequence[Observer]
    stepper: Stepper

    def __call__(self, phase: int) -> Stepper:
        """Leaves a phase for another; gives what takes its steps."""
        self.leave()
        started = self.enter(phase)
        for note in started.notes:
            tell(self.observers, "on_note", note)
        self.begin(phase)
        self.stepper = started.stepper
        return self.stepper

    def begin(self, phase: int) -> None:
        """Tells of a phase, where there are several."""
        if len(self.plan.phases) > 1:
            about, first = self.plan.phases[phase], self.plan.first_step(phase)
            last = first + about.steps
            count, frozen = len(self.plan.phases), self.frozen[phase]
            tell(self.observers, "on_phase", PhaseLog(phase + 1, count, first + 1, last, about.learning_rate, frozen))

    def leave(self) -> None:
        """Lets go of what took a phase's steps; says if it could not take them the quick way."""
        graphs = self.stepper.graphs
        if graphs is not None and graphs.problem is not None:
            tell(self.observers, "on_note", f"steps could not be recorded as CUDA graphs: {graphs.problem}")
        self.stepper.let_go()
