"""Almost untouched recipes on folders of data, to be called in a process of its own."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any


def train(
    checkpoint: str, data: str, sets: list[str], rows: int, overrides: list[str], log: str | None = None
) -> dict[str, dict[str, Any]]:
    """Trains on the splits of some sets, one after the other, and gives each one's scores.

    Args:
        checkpoint: A folder or a Hub id.
        data: Folder with a folder for each set.
        sets: Their names.
        rows: Training rows of each; 0: all.
        overrides: Of the recipe, beyond checkpoint, dataset and task.
        log: File that gets a line of JSON when a run is done.
    """
    found = {}
    for name in sets:
        found[name] = _train_one(checkpoint, str(Path(data, name)), rows, overrides)
        if log is not None:
            with open(log, "a", encoding="utf-8") as file:
                file.write(json.dumps({"set": name, "overrides": overrides} | found[name]) + "\n")
    return found


def _train_one(checkpoint: str, data: str, rows: int, overrides: list[str]) -> dict[str, Any]:
    from textxfer import run_recipe

    with tempfile.TemporaryDirectory() as folder:
        recipe: dict[str, Any] = {
            "name": "run",
            "checkpoint": checkpoint,
            "dataset": {"path": data} | ({"limit": rows} if rows else {}),
            "task": "topic",
            "train": {"save_every": "never"},
            "output": {"directory": folder},
        }
        metrics = run_recipe(recipe, *overrides, overwrite=True).metrics
    scores = {
        f"{split}_{name}": metrics.get(split, {}).get(name)
        for split in ("validation", "test")
        for name in ("accuracy", "macro_f1")
    }
    timing = metrics["timing"]
    about = {"seconds": timing["train_seconds"], "total_seconds": timing["total_seconds"]}
    return scores | about | {"best_step": metrics["best_step"], "steps": metrics.get("steps")}
