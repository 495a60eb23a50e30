"""DistilBERT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textxfer.modeling.anatomy._parts import Parts, view

if TYPE_CHECKING:
    from torch import nn

DROPOUT_FIELDS = ("dropout", "attention_dropout", "seq_classif_dropout", "qa_dropout")
LANGUAGE_MODEL = "AutoModelForMaskedLM"
PROJECTIONS = ("q_lin", "v_lin")


def locate(backbone: Any) -> Parts:
    """Gives the parts of a DistilBERT backbone."""
    return Parts(embeddings=[backbone.embeddings], layers=list(backbone.transformer.layer))


def last_linear(model: Any) -> nn.Module:
    """Gives the layer whose output is a classifier's logits."""
    return model.classifier  # type: ignore[no-any-return]


def most_tokens(config: Any) -> int | None:
    """Gives the number of positions."""
    return int(config.max_position_embeddings)


def pooled_token(config: Any) -> str | None:
    """Gives which token the classification head looks at."""
    return "first"


def without_prefix(backbone: Any, count: int, states: nn.Module, whole: bool) -> nn.Module:
    """Gives a view that starts from the states after layer `count` - 1."""
    transformer = view(backbone.transformer, layer=backbone.transformer.layer[count:])
    return view(backbone, embeddings=states, transformer=transformer)
