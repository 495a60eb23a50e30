"""AdamW over the parameters that are trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def adamw(model: torch.nn.Module, learning_rate: float, weight_decay: float = 0.01) -> torch.optim.AdamW:
    """Makes a fused AdamW (Loshchilov & Hutter 2019) over trainable parameters; norms and biases do not decay.

    Args:
        model: Frozen parameters are left out, so that they cost nothing.
        learning_rate: The highest; the loop sets each step's.
        weight_decay: For parameters of two or more dimensions.
    """
    import torch

    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if parameter.ndim >= 2], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=learning_rate, fused=True)
