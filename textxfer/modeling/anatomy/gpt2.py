"""GPT-2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textxfer.modeling.anatomy._parts import Parts

if TYPE_CHECKING:
    from torch import nn

DROPOUT_FIELDS = ("resid_pdrop", "embd_pdrop", "attn_pdrop", "summary_first_dropout")


def locate(backbone: nn.Module) -> Parts:
    """Gives the parts of a GPT-2 backbone."""
    return Parts(embeddings=[backbone.wte, backbone.wpe, backbone.drop], layers=list(backbone.h), top=[backbone.ln_f])


def most_tokens(config: Any) -> int | None:
    """Gives the number of positions."""
    return int(config.n_positions)
