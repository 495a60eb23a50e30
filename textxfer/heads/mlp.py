"""Pooled, dense, dropout: token states become one vector, which goes through layers of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from textxfer.section import HeadSection

if TYPE_CHECKING:
    from textxfer.heads._pooled import PooledHead

DROPOUT = 0.1


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


class Config(HeadSection):
    """Pooling, hidden layers, dropout, a linear layer: a head of textxfer's, which textxfer loads."""

    name: Literal["mlp"] = "mlp"
    """The head."""
    pooling: Literal["cls", "mean", "last", "max"] | None = None
    """How the states of a text's tokens become one vector: the first token's (`cls`), the last one's, the mean or the
    largest value over all of them. Default: `cls`; `last` for GPT-2, `mean` for T5 and wherever the family takes it."""
    hidden: Annotated[tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(_as_tuple)] = (512,)
    """Widths of the hidden layers, from the backbone up; an empty list leaves one linear layer."""
    activation: Literal["relu", "gelu", "tanh"] = "gelu"
    """What follows each hidden layer."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = DROPOUT
    """Dropout before each layer of the head; `train.dropout` is the backbone's alone."""


def mlp(
    hidden_size: int,
    num_labels: int,
    *,
    pooling: str = "cls",
    hidden: Sequence[int] = (512,),
    activation: str = "gelu",
    dropout: float = DROPOUT,
) -> PooledHead:
    """Makes the head; see `_pooled.PooledHead`."""
    from textxfer.heads._pooled import PooledHead

    return PooledHead(hidden_size, num_labels, pooling=pooling, hidden=hidden, activation=activation, dropout=dropout)
