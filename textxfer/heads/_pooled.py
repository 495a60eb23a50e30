"""`PooledHead`: what `mean` and `mlp` make."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import nn

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}
TOKENS: dict[str, Literal["first", "last"]] = {"cls": "first", "last": "last"}
SMALL = 0.02
"""Standard deviation of the last layer's new weights: that of stock heads."""
TINY = 1e-12
"""Least mean square of a vector that is scaled; one of nothing but zeros stays."""


def pool(states: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """Makes one vector (B, D) of the states of a text's tokens (B, T, D). Padding never counts; special tokens do.

    Args:
        states: Padded on the right; of the first token alone where `pooling` is "cls" and the others are not computed.
        mask: 1 on tokens (B, T).
        pooling: "cls" (the first token), "last", "mean" or "max".
    """
    if pooling == "cls":
        return states[:, 0]
    if pooling == "last":
        place = (mask.sum(dim=1) - 1)[:, None, None].expand(-1, 1, states.shape[2])
        return states.gather(1, place).squeeze(1)
    if pooling == "max":
        lowest = torch.finfo(states.dtype).min
        return states.masked_fill(mask.unsqueeze(-1) == 0, lowest).amax(dim=1)
    weights = mask.unsqueeze(-1).float()  # a mean over many tokens wants more digits than bf16 has
    return (states.float() * weights).sum(dim=1) / weights.sum(dim=1)


class PooledHead(nn.Module):
    """Pooling, then dropout, a dense layer and an activation for each hidden layer, then dropout and a linear layer.

    Keeps the promises of `Head`.

    Args:
        hidden_size: Of the backbone's states.
        num_labels: How many logits.
        pooling: See `pool`.
        hidden: Widths of the hidden layers, from the backbone up.
        activation: "relu", "gelu" or "tanh".
        dropout: Before each layer.
        normalize: Whether pooled vectors are scaled to a mean square of 1.
    """

    def __init__(
        self,
        hidden_size: int,
        num_labels: int,
        *,
        pooling: str,
        hidden: Sequence[int] = (),
        activation: str = "gelu",
        dropout: float = 0.1,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        self.pooling, self.normalize = pooling, normalize
        layers: list[Any] = []
        for width, above in pairwise((hidden_size, *hidden)):
            layers += [nn.Dropout(dropout), nn.Linear(width, above), ACTIVATIONS[activation]()]
            nn.init.zeros_(layers[-2].bias)
        last = nn.Linear((hidden_size, *hidden)[-1], num_labels)
        nn.init.normal_(last.weight, std=SMALL)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(*layers, nn.Dropout(dropout), last)

    @property
    def token(self) -> Literal["first", "last"] | None:
        """The one token that it looks at, if so."""
        return TOKENS.get(self.pooling)

    @property
    def last(self) -> Any:
        """The layer that gives the logits."""
        return self.layers[-1]

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Gives the logits (B, C); see `Head`."""
        pooled = pool(hidden, mask, self.pooling)
        if self.normalize:
            pooled = pooled * torch.rsqrt(pooled.float().square().mean(dim=1, keepdim=True).clamp_min(TINY))
        logits: torch.Tensor = self.layers(pooled)
        return logits
