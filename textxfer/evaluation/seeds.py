"""What several runs of one recipe come to that differ in their seed alone."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any


def over_seeds(
    runs: Mapping[int, Mapping[str, Any]], select_by: str, *, greater_is_better: bool = True
) -> dict[str, Any]:
    """Gives the content of seeds.json.

    Args:
        runs: What metrics.json says of each run, by seed; two at least.
        select_by: The metric on validation that chooses the best of them.
        greater_is_better: Whether more of it is better.

    Returns:
        `seeds`, and for each split and metric {"mean", "sd", "values"} (the sd of a sample: divided by n - 1);
        `best_seed`: the one that did best on validation, the first where there is no validation split.
    """
    metrics: dict[str, Any] = {"format": 1, "seeds": list(runs)}
    for split in ("validation", "test"):
        scores = [run[split] for run in runs.values() if split in run]
        if len(scores) == len(runs):
            shared = [name for name in scores[0] if all(name in score for score in scores)]
            metrics[split] = {name: _spread([score[name] for score in scores]) for name in shared}
    sign = 1 if greater_is_better else -1
    chosen = metrics.get("validation", {}).get(select_by, {"values": [0.0] * len(runs)})["values"]
    metrics["best_seed"] = max(zip(chosen, runs, strict=True), key=lambda pair: sign * pair[0])[1]
    return metrics


def _spread(values: list[float]) -> dict[str, Any]:
    return {"mean": statistics.mean(values), "sd": statistics.stdev(values), "values": values}
