"""DeBERTa version 2 and 3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textxfer.modeling.anatomy._parts import Parts

if TYPE_CHECKING:
    from torch import nn

DROPOUT_FIELDS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "pooler_dropout", "cls_dropout")
LANGUAGE_MODEL = "AutoModelForMaskedLM"
PROJECTIONS = ("query_proj", "value_proj")


def locate(backbone: Any) -> Parts:
    """Gives the parts; the table of relative positions and the convolution serve the lowest layers on."""
    encoder = backbone.encoder
    shared = [getattr(encoder, name, None) for name in ("rel_embeddings", "LayerNorm", "conv")]
    embeddings = [backbone.embeddings, *(module for module in shared if module is not None)]
    return Parts(embeddings=embeddings, layers=list(encoder.layer))


def last_linear(model: Any) -> nn.Module:
    """Gives the layer whose output is a classifier's logits."""
    return model.classifier  # type: ignore[no-any-return]


def most_tokens(config: Any) -> int | None:
    """Gives the number of positions; with relative positions only, longer inputs work but were not trained."""
    return int(config.max_position_embeddings)


def pooled_token(config: Any) -> str | None:
    """Gives which token the classification head looks at."""
    return "first"
