"""The mean over tokens, dropout, a linear layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from textxfer.section import HeadSection

if TYPE_CHECKING:
    from textxfer.heads._pooled import PooledHead

DROPOUT = 0.1


class Config(HeadSection):
    """The mean of a text's token states and a linear layer: a head of textxfer's, which textxfer loads."""

    name: Literal["mean"] = "mean"
    """The head."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = DROPOUT
    """Dropout on the mean; `train.dropout` is the backbone's alone."""
    normalize: bool = False
    """Whether the mean's values are scaled to a mean square of 1, so that its direction alone tells labels apart.
    Default: false; true on the road `contrastive` of `small_data`, which trains directions and leaves lengths to
    chance."""


def mean(hidden_size: int, num_labels: int, *, dropout: float = DROPOUT, normalize: bool = False) -> PooledHead:
    """Makes the head: `mlp` over the mean, with nothing hidden."""
    from textxfer.heads._pooled import PooledHead

    return PooledHead(hidden_size, num_labels, pooling="mean", dropout=dropout, normalize=normalize)
