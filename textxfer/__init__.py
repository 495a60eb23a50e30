"""textxfer: transfer learning for text, from a recipe to a model that anyone can load."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "CheckpointError": "errors",
    "Console": "training.observers",
    "DataError": "errors",
    "Interrupted": "errors",
    "LabelSet": "labels",
    "Metric": "metrics",
    "MissingExtra": "errors",
    "Observer": "training.observers",
    "OutputError": "errors",
    "Predictions": "records",
    "Recipe": "recipe.schema",
    "RecipeError": "errors",
    "RunResult": "run",
    "Scores": "records",
    "Section": "section",
    "TextxferError": "errors",
    "TrainingDiverged": "errors",
    "evaluate_metric": "metrics",
    "load_recipe": "recipe.loading",
    "pipeline": "serving.pipeline",
    "predict_file": "serving.bulk",
    "register": "registry",
    "run_recipe": "run",
}
"""Public names and the modules they live in; a module is imported when its name is first used."""

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'textxfer' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"textxfer.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
