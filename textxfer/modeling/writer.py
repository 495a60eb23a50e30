"""Stock models that write: read a text and give another, token by token. What uses them for a task shares this."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textxfer.labels import LabelSet
from textxfer.modeling.build import Built, build
from textxfer.modeling.checkpoint import Checkpoint
from textxfer.section import TEXT2TEXT

AUTO_CLASS = "AutoModelForSeq2SeqLM"
MOST_LOGITS = 1 << 25
"""Of all tokens of the vocabulary, that are held at a time where nothing is trained: 128 MiB in fp32."""


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


def save_writer(stock: Any, folder: Path, settings: Mapping[str, Any]) -> None:
    """Saves a stock model that writes, with what must be known to use it for its task.

    Args:
        stock: Its config has what the task must know already, as `modeling.saving` puts it there.
        folder: Where to.
        settings: More of that.
    """
    known = getattr(stock.config, "textxfer", {})
    stock.config.textxfer = {**known, "head": TEXT2TEXT, **settings}
    stock.save_pretrained(folder)
