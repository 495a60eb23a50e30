"""`KnownModel`: what can be said of a model before its weights are loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from textxfer.errors import TextxferError
from textxfer.modeling.checkpoint import Checkpoint, open_checkpoint
from textxfer.serving._saved import noted_pairs, task_of_model
from textxfer.serving.engine import Engine, check_backend, load_engine, open_engine
from textxfer.serving.onnx_backend import exported_folder
from textxfer.tasks import Task

if TYPE_CHECKING:
    import torch

KINDS = (".json", ".safetensors", ".onnx", ".data")


@dataclass(frozen=True)
class KnownModel:
    """A model that is there and has a head.

    Attributes:
        task: That it was trained for.
        fingerprint: The same for the same files (SHA-256), or the commit on the Hub.
        load: Loads its weights.
        pairs: Whether it was trained on two texts a row; None where nothing tells.
    """

    task: Task
    fingerprint: str
    load: Callable[[], Engine]
    pairs: bool | None


def known_model(
    name: str,
    backend: Literal["torch", "onnx"],
    *,
    device: str | torch.device | None,
    precision: Literal["fp32", "auto"],
    batch_tokens: int | None,
) -> KnownModel:
    """Finds a model; see `textxfer.pipeline` for the arguments.

    Raises:
        CheckpointError: It is not there, or has no head that textxfer can use.
        TextxferError: It cannot run like this.
        ValueError: There is no such backend.
    """
    check_backend(backend)
    if backend == "onnx":
        if precision != "fp32":
            raise TextxferError("--precision is for torch; an exported model has the precision it was exported with")
        engine = open_engine(name, backend="onnx", device=device, batch_tokens=batch_tokens)
        return KnownModel(engine.task, _digest(exported_folder(name)), lambda: engine, engine.pairs)
    checkpoint = open_checkpoint(name)

    def load() -> Engine:
        return load_engine(checkpoint, device=device, precision=precision, batch_tokens=batch_tokens)

    task = task_of_model(checkpoint)
    return KnownModel(task, _fingerprint(checkpoint), load, noted_pairs(checkpoint.settings))


def _fingerprint(checkpoint: Checkpoint) -> str:
    """Gives what is the same for the same weights: of an adapter, for the same ones on the same base."""
    pinned = checkpoint.revision is not None
    weights = f"{checkpoint.location}@{checkpoint.revision}" if pinned else _digest(Path(checkpoint.location))
    return weights if checkpoint.adapter is None else f"{weights} {_digest(Path(checkpoint.adapter))}"


def _digest(folder: Path) -> str:
    """Gives the SHA-256 of a model's files."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in KINDS and path.is_file():
            with path.open("rb") as file:
                digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
