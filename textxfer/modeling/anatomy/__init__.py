"""Where things are in each family of architectures; the only room that knows.

A family's module says `locate(model)`, `DROPOUT_FIELDS` and `most_tokens(config)`. `FAMILIES` maps the `model_type` of a
checkpoint's config.json to its module.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

from textxfer.modeling.anatomy._parts import Parts

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

__all__ = ["FAMILIES", "Parts", "dropout_fields", "locate", "most_tokens"]


def locate(model: nn.Module) -> Parts:
    """Gives the parts of a stock model with a head."""
    backbone = getattr(model, str(model.base_model_prefix), model)
    return _family(model.config).locate(backbone)  # type: ignore[no-any-return]


def dropout_fields(config: Any) -> tuple[str, ...]:
    """Gives the names of a config's dropout rates."""
    return tuple(name for name in _family(config).DROPOUT_FIELDS if hasattr(config, name))


def most_tokens(config: Any) -> int | None:
    """Gives the longest input that a checkpoint's positions allow, in tokens; None where there is no limit."""
    limit: int | None = _family(config).most_tokens(config)
    return limit


def _family(config: Any) -> ModuleType:
    return importlib.import_module(f"textxfer.modeling.anatomy.{FAMILIES[config.model_type]}")
