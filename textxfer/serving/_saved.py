"""The task that a saved model was trained for, as textxfer noted it, or as the model's head says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textxfer import registry
from textxfer.errors import CheckpointError, RecipeError
from textxfer.evaluation.conformal import Conformal
from textxfer.modeling.checkpoint import Checkpoint
from textxfer.tasks import Task

DEFAULT_LENGTH = 512
DEFAULT_WINDOW = 384
NOT_THE_TASKS = ("conformal", "head", "pairs", "prompts", "temperature", "tokenizer", "words")
"""Settings of a saved model that are not arguments of its task."""


def task_of_model(checkpoint: Checkpoint) -> Task:
    """Makes the task that a saved model was trained for: as textxfer noted it, else as its head says.

    Raises:
        CheckpointError: It has no head that textxfer can use.
    """
    if "adapted" in checkpoint.settings:
        what = "is an adapted language model; a recipe that names it trains it for a task"
        raise CheckpointError(f"{checkpoint.id}: {what}")
    if checkpoint.settings:
        return noted_task(checkpoint.id, checkpoint.settings, checkpoint.config.num_labels)
    architecture, most = checkpoint.architecture, checkpoint.most_tokens
    if architecture.endswith("ForQuestionAnswering"):
        length = min(most or DEFAULT_WINDOW, DEFAULT_WINDOW)
        return _make("question_answering", max_length=length, stride=length // 3)
    if not architecture.endswith("ForSequenceClassification"):
        what = f"it is a {architecture}" if architecture else "its config.json names no architecture"
        raise CheckpointError(
            f"{checkpoint.id}: has no classification or question answering head; {what}; fine-tune it first"
        )
    kind, count = checkpoint.config.problem_type, checkpoint.config.num_labels
    if kind == "regression":
        raise CheckpointError(f"{checkpoint.id}: its head gives a number (regression), and textxfer gives labels")
    yes_or_no = kind == "multi_label_classification" or count == 1  # as transformers reads a head with one label
    length = min(most or DEFAULT_LENGTH, DEFAULT_LENGTH)
    return _make("topic", multi_label=yes_or_no, max_length=length)


def noted_task(model: str, settings: Mapping[str, Any], num_labels: int) -> Task:
    """Makes the task that textxfer noted when it saved a model.

    Args:
        model: As the user named it.
        settings: `textxfer` in its config.json.
        num_labels: Of its head.

    Raises:
        CheckpointError: The task is not here, or its settings are not understood.
    """
    told = {key: value for key, value in settings.items() if key not in NOT_THE_TASKS}
    name = told.pop("task", None)
    try:
        task = _make(str(name), **told)
        if "prompts" in settings:
            task = task.to_be_written(*settings["prompts"])
        if len(told.get("thresholds", ())) not in (0, num_labels):
            raise ValueError(f"{len(told['thresholds'])} thresholds for {num_labels} labels")
        return task
    except RecipeError as error:
        message = f"{model}: was trained for a task that is not here (a plugin's? import it first): {error}"
        raise CheckpointError(message) from error
    except (TypeError, ValueError) as error:
        raise not_understood(model, error) from error


def noted_conformal(model: str, settings: Mapping[str, Any]) -> Conformal | None:
    """Gives what label sets need, as textxfer noted it; None where it was not measured.

    Raises:
        CheckpointError: It is not understood.
    """
    noted = settings.get("conformal")
    try:
        return None if noted is None else Conformal.from_dict(noted)
    except ValueError as error:
        raise not_understood(model, error) from error


def no_second_text(origin: str) -> str:
    """Says that some rows cannot be used, for the model was trained on pairs of texts."""
    return f"{origin}: has no column `text_pair`, and the model was trained on pairs of texts"


def noted_pairs(settings: Mapping[str, Any]) -> bool | None:
    """Says whether a model was trained on two texts a row; None where textxfer did not note it."""
    pairs = settings.get("pairs")
    return pairs if isinstance(pairs, bool) else None


def not_understood(model: str, error: Exception) -> CheckpointError:
    """Gives the error for settings of another form."""
    reason = "`textxfer` in its config.json is not understood, perhaps of a newer version"
    return CheckpointError(f"{model}: {reason}: {error}")


def _make(name: str, **settings: Any) -> Task:
    task: Task = registry.load("tasks", name)(**settings)
    return task
