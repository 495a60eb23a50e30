"""T5: encoder and decoder, or the encoder alone, with relative positions in each stack's block 0."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from textxfer.modeling.anatomy._parts import Parts, view

if TYPE_CHECKING:
    import torch
    from torch import nn

DROPOUT_FIELDS = ("dropout_rate", "classifier_dropout")
LANGUAGE_MODEL = "AutoModelForSeq2SeqLM"
RATE = 2e-4
"""T5 was pretrained without the scaling of attention's scores, and learns at higher rates: 1e-4 to 3e-4 are usual."""
PROJECTIONS = ("q", "v")
BACKBONE = "T5EncoderModel"
WAITING = ("T5ForSequenceClassification",)
"""It counts the end tokens of each text on the host."""
POOLING = "mean"
"""Of the encoder alone, which beats its first token (Ni et al. 2022, Sentence-T5)."""


def locate(backbone: Any) -> Parts:
    """Gives the parts; the embeddings serve both stacks, and the decoder is frozen with the whole backbone only.

    The encoder has one dropout module for its input and its output; frozen with the embeddings, it leaves both alone.
    """
    encoder, decoder = backbone.encoder, getattr(backbone, "decoder", None)
    if decoder is None:
        embeddings = [backbone.shared, encoder.embed_tokens, encoder.dropout]
        return Parts(embeddings=embeddings, layers=list(encoder.block), top=[encoder.final_layer_norm])
    return Parts(
        embeddings=[backbone.shared, encoder.embed_tokens, decoder.embed_tokens, encoder.dropout],
        layers=list(encoder.block),
        top=[encoder.final_layer_norm, *decoder.block, decoder.final_layer_norm, decoder.dropout],
        last=decoder.block[-1],
    )


def last_linear(model: Any) -> nn.Module:
    """Gives the layer whose output is a classifier's logits."""
    return model.classification_head.out_proj  # type: ignore[no-any-return]


def most_tokens(config: Any) -> int | None:
    """Gives None: relative positions set no limit."""
    return None


def pooled_token(config: Any) -> str | None:
    """Gives which token the classification head looks at: the end token."""
    return "last"


def without_prefix(backbone: Any, count: int, states: nn.Module, whole: bool) -> nn.Module:
    """Gives a view that starts from the encoder's states after block `count` - 1; `whole`: from the decoder's last.

    Block 0 makes the relative positions for all blocks of a stack, so its table moves up to the first that is left.
    """
    from torch import nn

    encoder = backbone.encoder
    blocks = list(encoder.block[count:])
    if blocks:
        blocks[0] = _with_positions(blocks[0], encoder.block[0])
    seen = view(encoder, embed_tokens=states, block=nn.ModuleList(blocks))
    if getattr(backbone, "decoder", None) is None:
        return view(backbone, encoder=seen)
    decoder = backbone.decoder
    if whole:
        decoder = view(decoder, embed_tokens=states, block=nn.ModuleList())
    return view(backbone, encoder=seen, decoder=decoder)


def at_depths(model: Any, depths: torch.Tensor) -> nn.Module:
    """Gives a view of a model that writes, to which token i of what it reads stands at depth i, not at place i.

    Args:
        model: With a language-model head.
        depths: Of the tokens (N,), 0 being the first token's.
    """
    from torch import nn

    lowest = model.decoder.block[0]
    stock = lowest.layer[0].SelfAttention
    attention = view(stock)
    attention.compute_bias = partial(_bias_at, stock, depths)
    blocks = nn.ModuleList([_with_attention(lowest, attention), *model.decoder.block[1:]])
    return view(model, decoder=view(model.decoder, block=blocks))


def _bias_at(stock: Any, depths: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    # No token is deeper than there are tokens, and a number that the device knows would have to be waited for.
    bias: torch.Tensor = stock.compute_bias(len(depths), len(depths), device=depths.device)
    return bias[:, :, depths[:, None], depths[None, :]]


def _with_positions(block: Any, lowest: Any) -> Any:
    table = lowest.layer[0].SelfAttention.relative_attention_bias
    attention = view(block.layer[0].SelfAttention, relative_attention_bias=table)
    attention.has_relative_attention_bias = True
    return _with_attention(block, attention)


def _with_attention(block: Any, attention: nn.Module) -> Any:
    from torch import nn

    layers = [view(block.layer[0], SelfAttention=attention), *block.layer[1:]]
    return view(block, layer=nn.ModuleList(layers))
