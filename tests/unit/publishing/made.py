"""Run folders written by hand, with what a card is made of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

METRICS: dict[str, Any] = {
    "test": {"accuracy": 0.91239, "macro_f1": 0.9},
    "validation": {"accuracy": 0.95},
    "intervals": {"test": {"accuracy": [0.87654, 0.9432]}},
    "num_examples": {"train": 100, "validation": 20, "test": 30},
}


def write_run(
    folder: Path,
    checkpoint: str = "org/base",
    metrics: Mapping[str, Any] = METRICS,
    rows: Sequence[Mapping[str, Any]] = (),
    labels: Sequence[str] = ("bad", "good"),
    findings: Sequence[str] = (),
    config: Mapping[str, Any] | None = None,
    **sections: Any,
) -> Path:
    """Writes what `model_card` reads, and gives the folder.

    Args:
        folder: Where to.
        checkpoint: Its name in the recipe.
        metrics: For metrics.json.
        rows: For predictions.jsonl.
        labels: In the order of their ids.
        findings: Of the data checks.
        config: More of the model's config.json.
        **sections: Of the recipe, instead of the usual ones.
    """
    recipe: dict[str, Any] = {
        "name": "mine",
        "checkpoint": {"id": checkpoint},
        "dataset": {"hub": "some-org/some-data"},
        "task": {"name": "sentiment"},
        "train": {"epochs": 3, "learning_rate": 1e-4, "log_every": 10},
    }
    described = {
        "architectures": ["BertForSequenceClassification"],
        "id2label": dict(enumerate(labels)),
        "textxfer": {"task": "sentiment", "max_length": 64},
    }
    environment = {"python": "3.12.1", "packages": {"textxfer": "0.1.0"}, "device": {"type": "cpu", "name": "x86_64"}}
    (folder / "model").mkdir(parents=True)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe | sections))
    for name, data in {
        "metrics.json": metrics,
        "environment.json": environment | {"precision": "fp32"},
        "findings.json": {"findings": [{"message": message} for message in findings]},
        "model/config.json": described | dict(config or {}),
    }.items():
        (folder / name).write_text(json.dumps(data))
    (folder / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder
