"""DistilBERT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textxfer.modeling.anatomy._parts import Parts

if TYPE_CHECKING:
    from torch import nn

DROPOUT_FIELDS = ("dropout", "attention_dropout", "seq_classif_dropout", "qa_dropout")


def locate(backbone: nn.Module) -> Parts:
    """Gives the parts of a DistilBERT backbone."""
    return Parts(embeddings=[backbone.embeddings], layers=list(backbone.transformer.layer))


def most_tokens(config: Any) -> int | None:
    """Gives the number of positions."""
    return int(config.max_position_embeddings)
