"""The parts of a network, bottom to top."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Parts:
    """What a backbone is made of; everything else in a model is its head.

    Attributes:
        embeddings: What turns tokens into vectors, and tables that all layers share.
        layers: Encoder layers, or decoder layers where there is no encoder; 0 is nearest the embeddings.
        top: What is frozen only with the whole backbone: the final norm, an encoder-decoder's decoder.
    """

    embeddings: Sequence[nn.Module]
    layers: Sequence[nn.Module]
    top: Sequence[nn.Module] = ()
