"""ModernBERT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textxfer.modeling.anatomy._parts import Parts, view

if TYPE_CHECKING:
    from torch import nn

DROPOUT_FIELDS = ("embedding_dropout", "attention_dropout", "mlp_dropout", "classifier_dropout")
LANGUAGE_MODEL = "AutoModelForMaskedLM"
PROJECTIONS = ("Wqkv",)


def locate(backbone: Any) -> Parts:
    """Gives the parts of a ModernBERT backbone."""
    return Parts(embeddings=[backbone.embeddings], layers=list(backbone.layers), top=[backbone.final_norm])


def last_linear(model: Any) -> nn.Module:
    """Gives the layer whose output is a classifier's logits."""
    return model.classifier  # type: ignore[no-any-return]


def most_tokens(config: Any) -> int | None:
    """Gives the length that its rotary positions were made for."""
    return int(config.max_position_embeddings)


def pooled_token(config: Any) -> str | None:
    """Gives which token the classification head looks at; None where it takes the mean of all."""
    return "first" if config.classifier_pooling == "cls" else None


def without_prefix(backbone: Any, count: int, states: nn.Module, whole: bool) -> nn.Module:
    """Gives a view that starts from the states after layer `count` - 1."""
    return view(backbone, embeddings=states, layers=backbone.layers[count:])
