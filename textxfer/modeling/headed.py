"""`Headed`: a stock backbone under a head of textxfer's, which is called and treated like a stock model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from textxfer.heads import HeadChoice
from textxfer.modeling.head_files import write_head


class Headed(nn.Module):
    """A classifier of two parts, `backbone` and `head`.

    Args:
        backbone: Stock, without a head.
        head: Keeps the promises of `heads.Head`.
        choice: What the head was made by.
    """

    base_model_prefix = "backbone"

    def __init__(self, backbone: Any, head: Any, choice: HeadChoice) -> None:
        super().__init__()
        self.backbone, self.head, self.choice = backbone, head, choice
        self.config = backbone.config

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **inputs: torch.Tensor
    ) -> Any:
        """Gives an output with `logits` (B, C), as stock classifiers do.

        Args:
            input_ids: (B, T), padded on the right.
            attention_mask: 1 on tokens (B, T); None: there is no padding.
            **inputs: More of the backbone's forward pass.
        """
        from transformers.modeling_outputs import SequenceClassifierOutput

        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        states = self.backbone(input_ids=input_ids, attention_mask=mask, return_dict=True, **inputs).last_hidden_state
        return SequenceClassifierOutput(logits=self.head(states, mask))

    def save_pretrained(self, folder: Path) -> None:
        """Writes a stock folder of the backbone, and the head beside it."""
        self.backbone.save_pretrained(folder)
        write_head(self.head, self.choice, folder, self.config.hidden_size, self.config.num_labels)
