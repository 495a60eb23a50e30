"""The learning rate as a function of the step alone, so that a resumed run needs nothing else."""

from __future__ import annotations

import math
from typing import Literal


def rate_factor(
    step: int, total: int, warmup_ratio: float = 0.0, schedule: Literal["linear", "cosine", "constant"] = "linear"
) -> float:
    """Gives the share of the highest learning rate that a step uses.

    It rises evenly over the first `warmup_ratio` of the steps, the last of which has the whole rate, and then falls
    to 0 one step after the last, in a line or half a cosine, or stays.

    Args:
        step: From 0.
        total: Number of steps.
        warmup_ratio: Fraction of the steps.
        schedule: How it falls.
    """
    warmup = math.ceil(total * warmup_ratio)
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "constant":
        return 1.0
    gone = (step - warmup) / max(total - warmup, 1)
    return 1 - gone if schedule == "linear" else (1 + math.cos(math.pi * gone)) / 2
