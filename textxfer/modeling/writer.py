"""Stock models that write: read a text and give another, token by token. What uses them for a task shares this."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from textxfer.labels import LabelSet
from textxfer.modeling.build import Built, build
from textxfer.modeling.checkpoint import Checkpoint
from textxfer.section import TEXT2TEXT

AUTO_CLASS = "AutoModelForSeq2SeqLM"
MOST_LOGITS = 1 << 25
"""Of all tokens of the vocabulary, that are held at a time where nothing is trained: 128 MiB in fp32."""


class Writer(nn.Module):
    """A stock model that writes, used for a task; it is treated like a stock model where it says no more than that.

    Args:
        model: Stock, with its language-model head; it is what is trained and saved.
    """

    base_model_prefix = "model"

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    @property
    def stock(self) -> Any:
        """The stock model, as plain transformers loads it."""
        return self.model

    @property
    def config(self) -> Any:
        """The stock model's."""
        return self.model.config

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    def settings(self) -> dict[str, Any]:
        """Gives what must be known to use the stock model like this; goes into config.json under `textxfer`."""
        return {}

    def save_pretrained(self, folder: Path) -> None:
        """Saves the stock model, and what must be known to use it like this.

        Its config has what the task must know already, as `modeling.saving` puts it there.
        """
        known = getattr(self.config, "textxfer", {})
        self.config.textxfer = {**known, "head": TEXT2TEXT, **self.settings()}
        self.model.save_pretrained(folder)


def build_writer(
    checkpoint: Checkpoint, labels: LabelSet | None = None, *, dropout: float | None = None, seed: int = 0
) -> Built:
    """Loads a checkpoint's weights, fp32, under its language-model head.

    Args:
        checkpoint: Of a family that writes.
        labels: That config.json is to name; None for answers.
        dropout: Replaces all dropout rates.
        seed: Of new parameters; there are none where the checkpoint was pretrained to write.

    Raises:
        CheckpointError: See `modeling.build.build`.
    """
    built = build(checkpoint, AUTO_CLASS, labels, dropout=dropout, seed=seed)
    stock: Any = built.model
    stock.config.use_cache = True  # which `build` takes for no use, since no other head has a model write
    return built
