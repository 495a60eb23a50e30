"""GPT-2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textxfer.modeling.anatomy._parts import Parts, view

if TYPE_CHECKING:
    from torch import nn

DROPOUT_FIELDS = ("resid_pdrop", "embd_pdrop", "attn_pdrop", "summary_first_dropout")
LANGUAGE_MODEL = "AutoModelForCausalLM"
PROJECTIONS = ("c_attn",)
CAUSAL = True


def locate(backbone: Any) -> Parts:
    """Gives the parts of a GPT-2 backbone."""
    return Parts(embeddings=[backbone.wte, backbone.wpe, backbone.drop], layers=list(backbone.h), top=[backbone.ln_f])


def last_linear(model: Any) -> nn.Module:
    """Gives the layer whose output is a classifier's logits."""
    return model.score  # type: ignore[no-any-return]


def most_tokens(config: Any) -> int | None:
    """Gives the number of positions."""
    return int(config.n_positions)


def pooled_token(config: Any) -> str | None:
    """Gives which token the classification head looks at."""
    return "last"


def without_prefix(backbone: Any, count: int, states: nn.Module, whole: bool) -> nn.Module:
    """Gives a view that starts from the states after layer `count` - 1, which hold the positions already."""
    from torch import nn

    class NoPositions(nn.Module):
        def forward(self, position_ids: Any) -> Any:
            return position_ids.new_zeros((), dtype=backbone.wpe.weight.dtype)

    return view(backbone, wte=states, wpe=NoPositions(), drop=nn.Identity(), h=backbone.h[count:])
