"""Where things are in each family of architectures; the only room that knows.

A family's module says `locate(backbone)`, `last_linear(model)`, `DROPOUT_FIELDS`, `PROJECTIONS` (what makes attention's
queries and values) and `most_tokens(config)`; one whose frozen layers can be cached also says `pooled_token(config)`
and `without_prefix(backbone, ...)`, one that was pretrained on bare texts `LANGUAGE_MODEL`. `FAMILIES` maps the
`model_type` of a checkpoint's config.json to its module.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

from textxfer.modeling.anatomy._parts import Parts, view

if TYPE_CHECKING:
    from torch import nn

FAMILIES = {
    "bert": "bert",
    "roberta": "bert",
    "xlm-roberta": "bert",
    "camembert": "bert",
    "electra": "bert",
    "mpnet": "bert",
    "distilbert": "distilbert",
    "deberta-v2": "deberta",
    "modernbert": "modernbert",
    "gpt2": "gpt2",
    "t5": "t5",
}

__all__ = [
    "FAMILIES",
    "Parts",
    "attention_projections",
    "backbone_parameters",
    "dropout_fields",
    "has_prefix",
    "language_model",
    "last_linear",
    "locate",
    "most_tokens",
    "pooled_only",
    "pooled_token",
    "view",
    "without_prefix",
]


EXACT = ("sdpa", "eager")
"""Implementations of attention whose masks say for each query which keys it sees."""


def locate(model: nn.Module) -> Parts:
    """Gives the parts of a stock model with a head."""
    backbone = getattr(model, str(model.base_model_prefix), model)
    return _family(model.config).locate(backbone)  # type: ignore[no-any-return]


def backbone_parameters(model: nn.Module) -> set[str]:
    """Gives the names of the parameters that are not the head's, each under all its names where it is shared."""
    parts = locate(model)
    modules = (*parts.embeddings, *parts.layers, *parts.top)
    own = {id(parameter) for module in modules for parameter in module.parameters()}
    return {name for name, parameter in model.named_parameters(remove_duplicate=False) if id(parameter) in own}


def last_linear(model: Any) -> nn.Module:
    """Gives the layer whose output is the logits of a stock model with a classification head.

    Raises:
        AttributeError: Its head is of another make.
    """
    return _family(model.config).last_linear(model)  # type: ignore[no-any-return]


def dropout_fields(config: Any) -> tuple[str, ...]:
    """Gives the names of a config's dropout rates."""
    return tuple(name for name in _family(config).DROPOUT_FIELDS if hasattr(config, name))


def most_tokens(config: Any) -> int | None:
    """Gives the longest input that a checkpoint's positions allow, in tokens; None where there is no limit."""
    limit: int | None = _family(config).most_tokens(config)
    return limit


def has_prefix(config: Any) -> bool:
    """Says whether models of this kind can start from cached states."""
    return hasattr(_family(config), "without_prefix")


def attention_projections(config: Any) -> tuple[str, ...]:
    """Gives the names, within a layer, of what makes attention's queries and values; of kin, too, that have others."""
    names: tuple[str, ...] = _family(config).PROJECTIONS
    return names


def language_model(config: Any) -> str | None:
    """Gives the Auto class of `transformers` that has the head a family was pretrained with, or None."""
    return getattr(_family(config), "LANGUAGE_MODEL", None)


def pooled_token(config: Any) -> str | None:
    """Gives the one token that the classification head looks at, "first" or "last"; None where it looks at all."""
    token: str | None = _family(config).pooled_token(config)
    return token


def without_prefix(model: Any, count: int, states: nn.Module, whole: bool) -> nn.Module:
    """Gives a view of a stock model, sharing its weights, that takes up where the lowest layers end.

    Args:
        model: With a head.
        count: Number of lowest layers that are left out, the embeddings with them.
        states: A module whose output stands in for the embeddings'.
        whole: Whether all of the backbone but its last norm is left out.
    """
    prefix = str(model.base_model_prefix)
    if not hasattr(model, prefix):  # the model is its own backbone
        return _family(model.config).without_prefix(model, count, states, whole)  # type: ignore[no-any-return]
    backbone = _family(model.config).without_prefix(getattr(model, prefix), count, states, whole)
    return view(model, **{prefix: backbone})


def pooled_only(model: Any) -> nn.Module:
    """Gives a view of a classifier whose last layer computes only what the head looks at, where its family can.

    The result is the stock model's; see `_first_token`.
    """
    family, prefix = _family(model.config), str(model.base_model_prefix)
    classifies = type(model).__name__.endswith("ForSequenceClassification")
    if not classifies or not hasattr(family, "first_token_only") or model.config._attn_implementation not in EXACT:
        return model  # type: ignore[no-any-return]
    return view(model, **{prefix: family.first_token_only(getattr(model, prefix))})


def _family(config: Any) -> ModuleType:
    return importlib.import_module(f"textxfer.modeling.anatomy.{FAMILIES[config.model_type]}")
