"""`pipeline`: a saved model, ready to be called with texts or questions."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from textxfer.serving.engine import open_engine
from textxfer.serving.question_answerer import QuestionAnswerer
from textxfer.serving.text_classifier import TextClassifier

if TYPE_CHECKING:
    import torch


def pipeline(
    model: str | os.PathLike[str],
    *,
    revision: str | None = None,
    backend: Literal["torch", "onnx"] = "torch",
    device: str | torch.device | None = None,
    precision: Literal["fp32", "auto"] = "fp32",
    batch_tokens: int | None = None,
) -> TextClassifier | QuestionAnswerer:
    """Loads a model for sentiment, topic or question answering.

    What it gives may be called from any number of threads; the model serves one call at a time.

    Args:
        model: A folder (`runs/<name>/model` or `runs/<name>`), or a Hub id. Models that were not made by textxfer work
            too, if they have a classification or question answering head.
        revision: Branch, tag or commit on the Hub; `id@revision` as the model says the same.
        backend: torch, or `onnx` for what `textxfer export` wrote (its folder, or the run it was made in), which needs
            neither torch nor transformers.
        device: Default: CUDA, then MPS, else the CPU.
        precision: fp32, or `auto`: bf16 where the device does it well.
        batch_tokens: Padded tokens of a batch. Default: by device.

    Returns:
        A `TextClassifier` or a `QuestionAnswerer`.

    Raises:
        CheckpointError: It is not there, or has no head that textxfer can use.
        MissingExtra: ONNX Runtime is asked for and not installed.
        TextxferError: The device cannot be used here.
    """
    engine = open_engine(
        os.fspath(model),
        revision,
        backend=backend,
        device=device,
        precision=precision,
        batch_tokens=batch_tokens,
    )
    return QuestionAnswerer(engine) if engine.labels is None else TextClassifier(engine)
