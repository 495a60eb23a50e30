"""`TorchBackend`: runs a model in torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from textxfer.errors import CheckpointError
from textxfer.evaluation.forward import TOKENS_ON_CPU, TOKENS_ON_GPU, forward
from textxfer.labels import LabelSet
from textxfer.modeling.anatomy import pooled_only
from textxfer.modeling.build import Built, build
from textxfer.modeling.checkpoint import Checkpoint
from textxfer.modeling.device import best_device, has_fast_bf16, usable_device
from textxfer.modeling.written import is_written, load_written
from textxfer.records import Encoded
from textxfer.tasks import Task

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass(frozen=True)
class TorchBackend:
    """A model in torch; keeps the promises of `Backend`.

    Attributes:
        model: With the task's head, on its device; ready for inference there.
        pad_token_id: What fills batches.
        batch_tokens: Padded tokens of a batch.
        autocast: Makes the context for each forward pass; None: fp32.
    """

    model: torch.nn.Module
    pad_token_id: int
    batch_tokens: int
    autocast: Callable[[], Any] | None = None

    @property
    def options(self) -> dict[str, Any]:
        """How `forward` is to run this model."""
        return {"pad_token_id": self.pad_token_id, "batch_tokens": self.batch_tokens, "autocast": self.autocast}

    def reduced(self, task: Task, encoded: Encoded) -> Mapping[str, np.ndarray]:
        """Gives what the task keeps of the outputs for all examples; see `Backend.reduced`."""
        return forward(self.model, task, encoded, **self.options).reduced


def load_torch(
    checkpoint: Checkpoint,
    task: Task,
    labels: LabelSet | None,
    *,
    device: str | torch.device | None = None,
    precision: Literal["fp32", "auto"] = "fp32",
    batch_tokens: int | None = None,
) -> TorchBackend:
    """Loads the weights of a model that was trained for a task.

    Args:
        checkpoint: As `open_checkpoint` gives it.
        task: That it was trained for.
        labels: In the order of their ids; None for answers.
        device: Default: CUDA, then MPS, else the CPU.
        precision: fp32, or `auto`: bf16 where the device does it well.
        batch_tokens: Padded tokens of a batch. Default: by device.

    Raises:
        CheckpointError: Its weights cannot be loaded, or lack the head.
        TextxferError: The device cannot be used here.
    """
    if precision not in ("fp32", "auto"):
        raise ValueError(f"precision must be 'fp32' or 'auto', not {precision!r}")
    place = usable_device(device) if device is not None else best_device()
    built = saved_model(checkpoint, task, labels)
    if built.new:
        raise CheckpointError(f"{checkpoint.id}: is not trained for a task: its weights lack {', '.join(built.new)}")

    import torch

    from textxfer.modeling.inference import for_inference

    autocast = None
    if precision == "auto" and has_fast_bf16(place.type):

        def autocast() -> Any:
            return torch.autocast(place.type, dtype=torch.bfloat16)

    tokens = batch_tokens or (TOKENS_ON_CPU if place.type == "cpu" else TOKENS_ON_GPU)
    model = for_inference(pooled_only(built.model.to(place)), bf16=autocast is not None)
    return TorchBackend(model.eval(), checkpoint.tokenizer.pad_token_id, tokens, autocast)


def saved_model(checkpoint: Checkpoint, task: Task, labels: LabelSet | None) -> Built:
    """Loads the weights of a model that was trained for a task, as they were saved.

    Raises:
        CheckpointError: Its weights cannot be loaded.
    """
    if is_written(checkpoint):
        return load_written(checkpoint, labels, getattr(task, "max_answer_length", None))
    several = task.predicts == "label sets"
    return build(checkpoint, task.auto_class, labels, head=checkpoint.head, multi_label=several)
