"""Where things are in each family of architectures; the only room that knows.

A family's module says `locate(backbone)`, `last_linear(model)`, `DROPOUT_FIELDS`, `PROJECTIONS` (what makes attention's
queries and values) and `most_tokens(config)`; one whose frozen layers can be cached also says `pooled_token(config)`
and `without_prefix(backbone, ...)`, one that was pretrained on bare texts `LANGUAGE_MODEL`, one that learns at another
rate than BERT `RATE`. What a head of textxfer's stands on is `BACKBONE` ("AutoModel" unless it says so), after
`strip(backbone)`; such a head pools as `POOLING` says unless it is told (by default as the stock head does); `CAUSAL`
families' tokens see only those before them. One that writes its answers to texts says `at_depths(model, depths)`.
`FAMILIES` maps the `model_type` of a checkpoint's config.json to its module.

A model here is a stock one with its head, or a `modeling.headed.Headed`.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

from textxfer.modeling.anatomy._parts import Parts, view

if TYPE_CHECKING:
    import torch
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
    "at_depths",
    "attention_projections",
    "backbone_class",
    "backbone_of",
    "backbone_parameters",
    "dropout_fields",
    "has_prefix",
    "is_backbone_alone",
    "is_causal",
    "language_model",
    "last_linear",
    "locate",
    "most_tokens",
    "own_head",
    "pooled_only",
    "pooled_token",
    "strip",
    "usual_pooling",
    "usual_rate",
    "view",
    "waits_for_device",
    "without_prefix",
    "writes",
]


RATE, WIDTH = 5e-5, 768
"""A learning rate, and the numbers of a token's state that it suits."""
EXACT = ("sdpa", "eager")
"""Implementations of attention whose masks say for each query which keys it sees."""


def backbone_of(model: Any) -> Any:
    """Gives the backbone of a model; the model itself where it is its own."""
    return getattr(model, str(model.base_model_prefix), model)


def own_head(model: Any) -> Any | None:
    """Gives the head of textxfer's that a model has (`heads.Head`); None where it has a stock one."""
    return model.head if hasattr(model, "choice") else None


def locate(model: nn.Module) -> Parts:
    """Gives the parts of a model with a head."""
    return _family(model.config).locate(backbone_of(model))  # type: ignore[no-any-return]


def backbone_parameters(model: nn.Module) -> set[str]:
    """Gives the names of the parameters that are not the head's, each under all its names where it is shared."""
    parts = locate(model)
    modules = (*parts.embeddings, *parts.layers, *parts.top)
    own = {id(parameter) for module in modules for parameter in module.parameters()}
    return {name for name, parameter in model.named_parameters(remove_duplicate=False) if id(parameter) in own}


def last_linear(model: Any) -> nn.Module:
    """Gives the layer whose output is the logits of a model with a classification head.

    Raises:
        AttributeError: Its head is of another make.
    """
    head = own_head(model)
    if head is not None:
        if getattr(head, "last", None) is None:
            raise AttributeError("the head does not end in a linear layer")
        return head.last  # type: ignore[no-any-return]
    return _family(model.config).last_linear(model)  # type: ignore[no-any-return]


def waits_for_device(model: Any) -> bool:
    """Says whether a model's forward pass looks at numbers on the host, so that it cannot be recorded on a GPU."""
    return type(model).__name__ in getattr(_family(model.config), "WAITING", ())


def dropout_fields(config: Any) -> tuple[str, ...]:
    """Gives the names of a config's dropout rates."""
    return tuple(name for name in _family(config).DROPOUT_FIELDS if hasattr(config, name))


def most_tokens(config: Any) -> int | None:
    """Gives the longest input that a checkpoint's positions allow, in tokens; None where there is no limit."""
    limit: int | None = _family(config).most_tokens(config)
    return limit


def usual_rate(config: Any) -> float:
    """Gives the learning rate to fine-tune a checkpoint at where nobody has looked for a better one.

    BERT's authors found 2e-5 to 5e-5 for states of 768 numbers (Devlin et al. 2019, appendix A.3); Adam's best rate
    falls as the width grows (Yang et al. 2022, "Tensor Programs V", table 3).
    """
    family, width = _family(config), int(config.hidden_size)
    return float(f"{getattr(family, 'RATE', RATE) * WIDTH / width:.1e}")


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


def writes(config: Any) -> bool:
    """Says whether models of this kind write: read a text, and give another, token by token (text to text)."""
    return hasattr(_family(config), "at_depths")


def at_depths(model: Any, depths: torch.Tensor) -> nn.Module:
    """Gives a view of a stock model that writes, sharing its weights, whose decoder reads a tree of tokens.

    Args:
        model: With its language-model head.
        depths: How deep in the tree each of the decoder's tokens stands (N,), the root at 0; what stands in for its
            place in the sequence. Which tokens see each other is the attention mask's to say.
    """
    return _family(model.config).at_depths(model, depths)  # type: ignore[no-any-return]


def pooled_token(model: Any) -> str | None:
    """Gives the one token that a classifier's head looks at, "first" or "last"; None where it looks at more."""
    head = own_head(model)
    if head is not None:
        return getattr(head, "token", None)
    if not type(model).__name__.endswith("ForSequenceClassification"):
        return None
    token: str | None = _family(model.config).pooled_token(model.config)
    return token


def backbone_class(config: Any) -> str:
    """Gives the class of `transformers` that a head of textxfer's stands on."""
    return getattr(_family(config), "BACKBONE", "AutoModel")


def is_backbone_alone(config: Any) -> bool:
    """Says whether a checkpoint holds what a head of textxfer's stands on, and less than its family's models have.

    That is an encoder without its decoder.
    """
    architectures, part = getattr(config, "architectures", None) or [], getattr(_family(config), "BACKBONE", None)
    return part is not None and list(architectures) == [part]


def strip(backbone: Any) -> None:
    """Takes away from a backbone what only stock heads look at, in place."""
    family = _family(backbone.config)
    if hasattr(family, "strip"):
        family.strip(backbone)


def usual_pooling(config: Any) -> str:
    """Gives how a head of textxfer's pools on a family where the user does not say: "cls", "last" or "mean"."""
    family = _family(config)
    if hasattr(family, "POOLING"):
        return str(family.POOLING)
    return {"first": "cls", "last": "last"}.get(family.pooled_token(config), "mean")


def is_causal(config: Any) -> bool:
    """Says whether each token sees only itself and those before it."""
    return getattr(_family(config), "CAUSAL", False)


def without_prefix(model: Any, count: int, states: nn.Module, whole: bool) -> nn.Module:
    """Gives a view of a model, sharing its weights, that takes up where the lowest layers end.

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

    The result is the whole model's; see `_first_token`.
    """
    family, prefix = _family(model.config), str(model.base_model_prefix)
    can = hasattr(family, "first_token_only") and model.config._attn_implementation in EXACT
    if not can or pooled_token(model) != "first":
        return model  # type: ignore[no-any-return]
    return view(model, **{prefix: family.first_token_only(getattr(model, prefix))})


def _family(config: Any) -> ModuleType:
    return importlib.import_module(f"textxfer.modeling.anatomy.{FAMILIES[config.model_type]}")
