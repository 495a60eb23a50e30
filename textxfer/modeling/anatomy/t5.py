"""T5: encoder and decoder, with relative positions in each stack's block 0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textxfer.modeling.anatomy._parts import Parts

if TYPE_CHECKING:
    from torch import nn

DROPOUT_FIELDS = ("dropout_rate", "classifier_dropout")


def locate(backbone: nn.Module) -> Parts:
    """Gives the parts; the embeddings serve both stacks, and the decoder is frozen with the whole backbone only."""
    encoder, decoder = backbone.encoder, backbone.decoder
    return Parts(
        embeddings=[backbone.shared, encoder.embed_tokens, decoder.embed_tokens],
        layers=list(encoder.block),
        top=[encoder.final_layer_norm, encoder.dropout, *decoder.block, decoder.final_layer_norm, decoder.dropout],
    )


def most_tokens(config: Any) -> int | None:
    """Gives None: relative positions set no limit."""
    return None
