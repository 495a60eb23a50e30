"""How far a run is: everything that is not a weight and must survive an interruption."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Progress:
    """The state of a run between two steps.

    Attributes:
        step: Optimizer steps done.
        phase: Number of the phase (from 0) that the network is in.
        evaluated_step: Step of the last evaluation; -1 before the first.
        best_step: Step of the best evaluation; -1 before the first.
        best_score: Its score.
        since_best: Evaluations after the best one.
        stopped_early: Whether patience has run out.
        seconds: Time spent on steps and their evaluations, over all parts of an interrupted run.
        probe_seconds: Time that fitting the head's start took.
        recent: Losses since the last line of the log.
        micro_batch_size: Examples of a forward pass, which may have shrunk; 0 before the first step.
    """

    step: int = 0
    phase: int = 0
    evaluated_step: int = -1
    best_step: int = -1
    best_score: float = 0.0
    since_best: int = 0
    stopped_early: bool = False
    seconds: float = 0.0
    probe_seconds: float = 0.0
    recent: list[float] = field(default_factory=list)
    micro_batch_size: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Gives plain data for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Progress:
        """Reads what `as_dict` gave."""
        return cls(**data)
