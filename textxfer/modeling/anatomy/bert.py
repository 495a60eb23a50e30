"""BERT and its kin: RoBERTa, XLM-RoBERTa, CamemBERT, ELECTRA, MPNet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textxfer.modeling.anatomy._first_token import first_token_layer
from textxfer.modeling.anatomy._parts import Parts, view

if TYPE_CHECKING:
    from torch import nn

DROPOUT_FIELDS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout", "summary_last_dropout")
LANGUAGE_MODEL = "AutoModelForMaskedLM"
PROJECTIONS = ("query", "value", "q", "v")
OFFSET_POSITIONS = ("roberta", "xlm-roberta", "camembert", "mpnet")
"""Families whose positions start after the padding token's id, which MPNet takes to be 1."""


def locate(backbone: Any) -> Parts:
    """Gives the parts of a BERT-like backbone; the pooler belongs to the head."""
    projection = getattr(backbone, "embeddings_project", None)  # ELECTRA with narrow embeddings
    bias = getattr(backbone.encoder, "relative_attention_bias", None)  # MPNet
    shared = [module for module in (projection, bias) if module is not None]
    return Parts(embeddings=[backbone.embeddings, *shared], layers=list(backbone.encoder.layer))


def strip(backbone: Any) -> None:
    """Takes the pooler away, which only stock heads look at."""
    if getattr(backbone, "pooler", None) is not None:
        backbone.pooler = None


def last_linear(model: Any) -> nn.Module:
    """Gives the layer whose output is a classifier's logits."""
    return getattr(model.classifier, "out_proj", model.classifier)  # type: ignore[no-any-return]


def most_tokens(config: Any) -> int | None:
    """Gives the number of positions that tokens can take."""
    padding = 1 if config.model_type == "mpnet" else config.pad_token_id
    offset = padding + 1 if config.model_type in OFFSET_POSITIONS else 0
    return int(config.max_position_embeddings) - offset


def pooled_token(config: Any) -> str | None:
    """Gives which token the classification head looks at."""
    return "first"


def without_prefix(backbone: Any, count: int, states: nn.Module, whole: bool) -> nn.Module:
    """Gives a view that starts from the states after layer `count` - 1."""
    encoder = view(backbone.encoder, layer=backbone.encoder.layer[count:])
    if not hasattr(backbone, "embeddings_project"):
        return view(backbone, embeddings=states, encoder=encoder)
    return view(backbone, embeddings=states, embeddings_project=states, encoder=encoder)


def first_token_only(backbone: Any) -> nn.Module:
    """Gives a view whose last layer computes the first token only; MPNet's layers are of another make."""
    from torch import nn

    layers = list(backbone.encoder.layer)
    if not layers or not hasattr(layers[-1].attention, "self"):
        return backbone  # type: ignore[no-any-return]
    layers[-1] = first_token_layer(layers[-1])
    return view(backbone, encoder=view(backbone.encoder, layer=nn.ModuleList(layers)))
