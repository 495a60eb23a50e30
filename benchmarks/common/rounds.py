"""Systems taking turns, and what their runs come to."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

Run = dict[str, Any]


def take_turns(
    systems: Mapping[str, Callable[[int], Run]], repeats: int, once: Collection[str] = ()
) -> dict[str, list[Run]]:
    """Runs systems one at a time, A B C then C B A and so on, so that a drift of the machine hits all alike.

    Args:
        systems: Name and function; the function gets the number of the round, which is also the seed.
        repeats: Rounds.
        once: Systems that run in the first round only.
    """
    runs: dict[str, list[Run]] = {name: [] for name in systems}
    for number in range(repeats):
        names = list(systems) if number % 2 == 0 else list(reversed(systems))
        for name in names:
            if number > 0 and name in once:
                continue
            runs[name].append(systems[name](number))
            seconds = runs[name][-1].get("seconds", runs[name][-1].get("wall_seconds", 0))
            print(f"  round {number + 1}: {name}: {seconds:.2f} s", file=sys.stderr, flush=True)
    return runs


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Gives the median and the two quartiles."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return middle, low, high


def ratios(theirs: Sequence[float], ours: Sequence[float]) -> list[float]:
    """Gives theirs / ours round by round; by the median of ours where they ran another number of times."""
    if len(theirs) == len(ours):
        return [peer / own for peer, own in zip(theirs, ours, strict=True)]
    return [peer / statistics.median(ours) for peer in theirs]


def shown(values: Sequence[float], digits: int = 2) -> str:
    """Gives "median [quartile, quartile]", the median alone where there is one value."""
    if not values:
        return "-"
    middle, low, high = (f"{value:.{digits}f}" for value in spread(values))
    return middle if len(values) == 1 else f"{middle} [{low}, {high}]"
