"""textxfer: transfer learning for text, from a recipe to a model that anyone can load."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what `__getattr__` gives has no type; these names are to have theirs
    from textxfer.errors import CheckpointError as CheckpointError
    from textxfer.errors import DataError as DataError
    from textxfer.errors import Interrupted as Interrupted
    from textxfer.errors import MissingExtra as MissingExtra
    from textxfer.errors import OutputError as OutputError
    from textxfer.errors import PushError as PushError
    from textxfer.errors import RecipeError as RecipeError
    from textxfer.errors import TextxferError as TextxferError
    from textxfer.errors import TrainingDiverged as TrainingDiverged
    from textxfer.labels import LabelSet as LabelSet
    from textxfer.metrics import Metric as Metric
    from textxfer.metrics import evaluate_metric as evaluate_metric
    from textxfer.publishing.hub import push_run as push_run
    from textxfer.recipe.loading import load_recipe as load_recipe
    from textxfer.recipe.schema import Recipe as Recipe
    from textxfer.records import Predictions as Predictions
    from textxfer.records import Scores as Scores
    from textxfer.registry import register as register
    from textxfer.run import RunResult as RunResult
    from textxfer.run import run_recipe as run_recipe
    from textxfer.section import HeadSection as HeadSection
    from textxfer.section import Section as Section
    from textxfer.serving.bulk import predict_file as predict_file
    from textxfer.serving.export import export_onnx as export_onnx
    from textxfer.serving.pipeline import pipeline as pipeline
    from textxfer.training.observers import Console as Console
    from textxfer.training.observers import Observer as Observer

__version__ = "0.1.0"

_HOMES = {
    "CheckpointError": "errors",
    "Console": "training.observers",
    "DataError": "errors",
    "HeadSection": "section",
    "Interrupted": "errors",
    "LabelSet": "labels",
    "Metric": "metrics",
    "MissingExtra": "errors",
    "Observer": "training.observers",
    "OutputError": "errors",
    "Predictions": "records",
    "PushError": "errors",
    "Recipe": "recipe.schema",
    "RecipeError": "errors",
    "RunResult": "run",
    "Scores": "records",
    "Section": "section",
    "TextxferError": "errors",
    "TrainingDiverged": "errors",
    "evaluate_metric": "metrics",
    "export_onnx": "serving.export",
    "load_recipe": "recipe.loading",
    "pipeline": "serving.pipeline",
    "predict_file": "serving.bulk",
    "push_run": "publishing.hub",
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
