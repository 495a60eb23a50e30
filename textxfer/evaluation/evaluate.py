"""`evaluate`: a model's predictions for rows, and their scores. One evaluator serves every task."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textxfer.evaluation.forward import forward
from textxfer.evaluation.scoring import score
from textxfer.labels import LabelSet
from textxfer.records import Encoded, Predictions, Scores
from textxfer.tasks import Task

if TYPE_CHECKING:
    import datasets
    import numpy as np
    import torch


@dataclass(frozen=True)
class Evaluation:
    """Scores, and the predictions they are of.

    Attributes:
        scores: Of all rows.
        predictions: For each row.
        logits: What a model of labels gave for each row (R, C); None for answers.
    """

    scores: Scores
    predictions: Predictions
    logits: np.ndarray | None = None


def evaluate(
    model: torch.nn.Module,
    task: Task,
    encoded: Encoded,
    rows: datasets.Dataset,
    labels: LabelSet | None,
    metrics: Iterable[str],
    **forward_options: Any,
) -> Evaluation:
    """Predicts and scores.

    Args:
        model: With the task's head.
        task: Of the rows.
        encoded: The rows as examples, with targets.
        rows: With references.
        labels: In the order of their ids; None for answers.
        metrics: Names of metrics.
        **forward_options: Of `forward`: `pad_token_id`, `batch_tokens`, `autocast`, `accelerator`, `between`,
            `batch_of`.
    """
    outputs = forward(model, task, encoded, **forward_options)
    predictions = task.decode(outputs.reduced, encoded, rows)
    return Evaluation(score(predictions, metrics, labels, outputs.loss), predictions, outputs.reduced.get("logits"))


def evaluate_logits(
    logits: np.ndarray, task: Task, encoded: Encoded, rows: datasets.Dataset, labels: LabelSet, metrics: Iterable[str]
) -> Evaluation:
    """Scores what a model gave for rows; see `evaluate`."""
    predictions = task.decode({"logits": logits}, encoded, rows)
    return Evaluation(score(predictions, metrics, labels), predictions, logits)
