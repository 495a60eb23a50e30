"""`Engine`: rows in, predictions out; what every way of using a saved model shares."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from textxfer.errors import CheckpointError
from textxfer.evaluation.conformal import Conformal
from textxfer.evaluation.evaluate import Evaluation, evaluate
from textxfer.evaluation.scoring import score
from textxfer.labels import LabelSet
from textxfer.modeling.checkpoint import Checkpoint, open_checkpoint
from textxfer.records import Encoded, Predictions, Table
from textxfer.serving._saved import noted_conformal, noted_pairs, task_of_model
from textxfer.serving.torch_backend import TorchBackend, load_torch
from textxfer.tasks import Task

if TYPE_CHECKING:
    import datasets
    import numpy as np
    import torch


class Backend(Protocol):
    """What runs a model: torch, or ONNX Runtime."""

    @property
    def batch_tokens(self) -> int:
        """Padded tokens of a batch."""
        ...

    def reduced(self, task: Task, encoded: Encoded) -> Mapping[str, np.ndarray]:
        """Gives what `task.reduce` keeps of the outputs for all N examples, one at least, in their order."""
        ...


@dataclass(frozen=True)
class Engine:
    """A model with all it needs to predict; any number of threads may call it, one is served at a time.

    Attributes:
        task: Encodes rows, and makes predictions of what the model gives.
        labels: In the order of their ids; None for answers.
        tokenizer: As `open_checkpoint` makes it ready, or plain.
        backend: Runs the model.
        conformal: What label sets at a stated coverage need; None where that was not measured.
        pairs: Whether it was trained on two texts a row; None where nothing tells.
    """

    task: Task
    labels: LabelSet | None
    tokenizer: Any
    backend: Backend
    conformal: Conformal | None = None
    pairs: bool | None = None
    # A tokenizer's truncation is a setting of its own, not of the call.
    _turn: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def predict(self, rows: Sequence[Mapping[str, str]]) -> Predictions:
        """Gives a prediction for each row, one row at least; rows have the task's columns but the label."""
        table = Table.of(rows)
        with self._turn:
            encoded = self.task.encode(table, self.tokenizer, None)
            reduced = self.backend.reduced(self.task, encoded)
        return self.task.decode(reduced, encoded, table)

    def evaluate(self, rows: datasets.Dataset, metrics: Sequence[str]) -> Evaluation:
        """Gives predictions for labelled rows, as the task prepared them, and their scores.

        Args:
            rows: One at least.
            metrics: Names.
        """
        with self._turn:
            encoded = self.task.encode(rows, self.tokenizer, self.labels)
            if isinstance(self.backend, TorchBackend):  # which gives the loss too
                options = self.backend.options
                return evaluate(self.backend.model, self.task, encoded, rows, self.labels, metrics, **options)
            reduced = self.backend.reduced(self.task, encoded)
        predictions = self.task.decode(reduced, encoded, rows)
        return Evaluation(score(predictions, metrics, self.labels), predictions, reduced.get("logits"))


def open_engine(
    name: str,
    revision: str | None = None,
    *,
    backend: Literal["torch", "onnx"] = "torch",
    device: str | torch.device | None = None,
    precision: Literal["fp32", "auto"] = "fp32",
    batch_tokens: int | None = None,
) -> Engine:
    """Loads a model that was trained for a task; see `textxfer.pipeline` for the arguments.

    Raises:
        CheckpointError: It is not there, or has no head that textxfer can use.
        TextxferError: The device cannot be used here.
        MissingExtra: ONNX Runtime is not installed.
        ValueError: There is no such backend, or it cannot be used so.
    """
    check_backend(backend)
    if backend == "onnx":
        return _open_exported(name, revision, device, precision, batch_tokens)
    return load_engine(open_checkpoint(name, revision), device=device, precision=precision, batch_tokens=batch_tokens)


def check_backend(name: str) -> None:
    """Checks that there is a backend of this name.

    Raises:
        ValueError: There is not.
    """
    if name not in ("torch", "onnx"):
        raise ValueError(f"backend must be 'torch' or 'onnx', not {name!r}")


def load_engine(
    checkpoint: Checkpoint,
    *,
    device: str | torch.device | None = None,
    precision: Literal["fp32", "auto"] = "fp32",
    batch_tokens: int | None = None,
) -> Engine:
    """Loads the weights of a checkpoint, for torch; see `open_engine`."""
    task = task_of_model(checkpoint)
    names = checkpoint.config.id2label
    labels = None if task.predicts == "answers" else LabelSet(tuple(names[number] for number in sorted(names)))
    conformal = noted_conformal(checkpoint.id, checkpoint.settings)
    backend = load_torch(checkpoint, task, labels, device=device, precision=precision, batch_tokens=batch_tokens)
    return Engine(task, labels, checkpoint.tokenizer, backend, conformal, noted_pairs(checkpoint.settings))


def _open_exported(name: str, revision: str | None, device: Any, precision: str, batch_tokens: int | None) -> Engine:
    from textxfer.serving.onnx_backend import open_exported

    if precision != "fp32":
        raise ValueError("precision is for backend='torch'; an exported model has the precision it was exported with")
    if revision is not None:
        raise CheckpointError(f"{name}: a revision is for the Hub, and backend='onnx' takes a folder; leave it out")
    found = open_exported(name, device=device, batch_tokens=batch_tokens)
    return Engine(found.task, found.labels, found.tokenizer, found.backend, found.conformal, found.pairs)
