"""Models that give one vector a text: of any of the backbone's layers, or what the last layer of the head sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import nn

from textxfer.heads._pooled import pool
from textxfer.modeling.anatomy import backbone_of

Pooling = Literal["mean", "cls", "last"]
"""How token vectors become one: their mean, the first token's, the last token's."""


class Pooled(nn.Module):
    """Gives pooled hidden states; the encoder's, where there is an encoder and a decoder.

    Args:
        model: With a head or without; its weights are shared.
        pooling: See `Pooling`. Padding never counts; special tokens do.
        layers: Which hidden states: 0 is the embeddings', `num_hidden_layers` the last layer's; None: the last one
            alone; "all": each.

    Raises:
        ValueError: There is no such pooling or layer.
    """

    def __init__(
        self, model: nn.Module, pooling: Pooling = "mean", layers: Sequence[int] | Literal["all"] | None = None
    ) -> None:
        super().__init__()
        if pooling not in ("mean", "cls", "last"):
            raise ValueError(f"pooling must be 'mean', 'cls' or 'last', not {pooling!r}")
        backbone: Any = backbone_of(model)
        self.encoder = backbone.get_encoder() if backbone.config.is_encoder_decoder else backbone
        self.pooling = pooling
        depth = int(backbone.config.num_hidden_layers)
        self.layers = tuple(range(depth + 1)) if layers == "all" else tuple(layers) if layers is not None else None
        if strangers := [layer for layer in self.layers or () if not 0 <= layer <= depth]:
            raise ValueError(f"there is no layer {strangers[0]}; layers are 0 (the embeddings) to {depth}")

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Gives the vectors (B, D), or (B, layers, D) where layers were named.

        Args:
            **inputs: Of the stock forward pass, padded on the right, with `attention_mask`.
        """
        output = self.encoder(**inputs, output_hidden_states=self.layers is not None, return_dict=True)
        mask = inputs["attention_mask"]
        if self.layers is None:
            pooled: torch.Tensor = pool(output.last_hidden_state, mask, self.pooling)
            return pooled
        return torch.stack([pool(output.hidden_states[layer], mask, self.pooling) for layer in self.layers], dim=1)


class HeadInputs(nn.Module):
    """Gives what the last linear layer of a classifier sees of each text.

    Args:
        module: A classifier, or a view of one, called as it is.
        layer: Its last linear layer.
        token: "first" or "last": which token counts where the layer sees them all.
    """

    def __init__(self, module: nn.Module, layer: nn.Module, token: str | None) -> None:
        super().__init__()
        self.module, self.layer, self.token = module, layer, token

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Gives the vectors (B, D), in fp32."""
        seen: list[torch.Tensor] = []
        handle = self.layer.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
        try:
            self.module(**inputs)
        finally:
            handle.remove()
        states = seen[-1].float()
        if states.ndim == 2:
            return states
        if self.token == "first":
            return states[:, 0]
        return states[torch.arange(len(states), device=states.device), inputs["attention_mask"].sum(dim=1) - 1]
