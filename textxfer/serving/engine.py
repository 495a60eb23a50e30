"""`Engine`: rows in, predictions out; what every way of using a saved model shares."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from textxfer import registry
from textxfer.errors import CheckpointError, RecipeError
from textxfer.evaluation.conformal import Conformal
from textxfer.evaluation.forward import forward
from textxfer.labels import LabelSet
from textxfer.modeling.build import build
from textxfer.modeling.checkpoint import Checkpoint, open_checkpoint
from textxfer.modeling.device import best_device, has_fast_bf16
from textxfer.records import Predictions
from textxfer.tasks import Task

if TYPE_CHECKING:
    import torch

DEFAULT_LENGTH = 512
DEFAULT_WINDOW = 384


@dataclass(frozen=True)
class Engine:
    """A model with all it needs to predict; any number of threads may call it, one is served at a time.

    Attributes:
        task: Encodes rows, and makes predictions of what the model gives.
        labels: In the order of their ids; None for answers.
        tokenizer: As `open_checkpoint` makes it ready.
        model: With the task's head, on its device.
        conformal: What label sets at a stated coverage need; None where that was not measured.
        batch_tokens: Padded tokens of a batch; None: by device.
        autocast: Makes the context for each forward pass; None: fp32.
    """

    task: Task
    labels: LabelSet | None
    tokenizer: Any
    model: torch.nn.Module
    conformal: Conformal | None = None
    batch_tokens: int | None = None
    autocast: Callable[[], Any] | None = None
    # A tokenizer's truncation is a setting of its own, not of the call.
    _turn: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def options(self) -> dict[str, Any]:
        """How `forward` is to run this model."""
        return {
            "pad_token_id": self.tokenizer.pad_token_id,
            "batch_tokens": self.batch_tokens,
            "autocast": self.autocast,
        }

    def predict(self, rows: list[dict[str, str]]) -> Predictions:
        """Gives a prediction for each row, one row at least; rows have the task's columns but the label."""
        import datasets

        dataset = datasets.Dataset.from_list(rows)
        with self._turn:
            encoded = self.task.encode(dataset, self.tokenizer, None)
            outputs = forward(self.model, self.task, encoded, **self.options)
        return self.task.decode(outputs.reduced, encoded, dataset)


def open_engine(
    name: str,
    revision: str | None = None,
    *,
    device: str | torch.device | None = None,
    precision: Literal["fp32", "auto"] = "fp32",
    batch_tokens: int | None = None,
) -> Engine:
    """Loads a model that was trained for a task; see `textxfer.pipeline` for the arguments.

    Raises:
        CheckpointError: It is not there, or has no head that textxfer can use.
    """
    if precision not in ("fp32", "auto"):
        raise ValueError(f"precision must be 'fp32' or 'auto', not {precision!r}")
    checkpoint = open_checkpoint(name, revision)
    task = task_of_model(checkpoint)
    names = checkpoint.config.id2label
    labels = None if task.predicts == "answers" else LabelSet(tuple(names[number] for number in sorted(names)))
    built = build(checkpoint, task.auto_class, labels, multi_label=task.predicts == "label sets")
    if built.new:
        raise CheckpointError(f"{name}: is not trained for a task: its weights lack {', '.join(built.new)}")

    import torch

    place = torch.device(device) if device is not None else best_device()
    autocast = None
    if precision == "auto" and has_fast_bf16(place.type):

        def autocast() -> Any:
            return torch.autocast(place.type, dtype=torch.bfloat16)

    model = built.model.to(place).eval()
    conformal = _conformal_of(checkpoint)
    return Engine(task, labels, checkpoint.tokenizer, model, conformal, batch_tokens, autocast)


def task_of_model(checkpoint: Checkpoint) -> Task:
    """Makes the task that a saved model was trained for: as textxfer noted it, else as its head says.

    Raises:
        CheckpointError: It has no head that textxfer can use.
    """
    if checkpoint.settings:
        return _noted_task(checkpoint)
    architecture, most = checkpoint.architecture, checkpoint.most_tokens
    if architecture.endswith("ForQuestionAnswering"):
        length = min(most or DEFAULT_WINDOW, DEFAULT_WINDOW)
        return _make(checkpoint, "question_answering", max_length=length, stride=length // 3)
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
    return _make(checkpoint, "topic", multi_label=yes_or_no, max_length=length)


def _noted_task(checkpoint: Checkpoint) -> Task:
    settings = dict(checkpoint.settings)
    name = settings.pop("task", None)
    settings.pop("conformal", None)
    try:
        task = _make(checkpoint, str(name), **settings)
        if len(settings.get("thresholds", ())) not in (0, checkpoint.config.num_labels):
            raise ValueError(f"{len(settings['thresholds'])} thresholds for {checkpoint.config.num_labels} labels")
        return task
    except RecipeError as error:
        message = f"{checkpoint.id}: was trained for a task that is not here (a plugin's? import it first): {error}"
        raise CheckpointError(message) from error
    except (TypeError, ValueError) as error:
        raise _not_understood(checkpoint, error) from error


def _conformal_of(checkpoint: Checkpoint) -> Conformal | None:
    noted = checkpoint.settings.get("conformal")
    try:
        return None if noted is None else Conformal.from_dict(noted)
    except ValueError as error:
        raise _not_understood(checkpoint, error) from error


def _not_understood(checkpoint: Checkpoint, error: Exception) -> CheckpointError:
    reason = "`textxfer` in its config.json is not understood, perhaps of a newer version"
    return CheckpointError(f"{checkpoint.id}: {reason}: {error}")


def _make(checkpoint: Checkpoint, name: str, **settings: Any) -> Task:
    task: Task = registry.load("tasks", name)(**settings)
    return task
