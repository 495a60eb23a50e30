"""A view of a model for predictions on a CPU, which computes its matrix products faster.

The stock modules run, but for their linear layers. Where the precision is bf16, these hold weights that were rounded
once, not anew for every batch. In fp32 they hand large products to oneDNN: PyTorch asks that for bf16 products only,
and for fp32 ones MKL, which takes twice as long on processors of other makers than Intel.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from textxfer.modeling.anatomy import view

LARGE = 256
"""Tokens of a product from which oneDNN is worth the way there."""


def for_inference(model: nn.Module, *, bf16: bool = False) -> nn.Module:
    """Gives a view of a model, which does not train; in bf16 later changes of the linear layers do not show in it.

    Args:
        model: On its device; elsewhere than on a CPU it is given back as it is.
        bf16: Whether it runs under autocast to bf16.
    """
    if next(model.parameters()).device.type != "cpu" or not (bf16 or torch.backends.mkldnn.is_available()):
        return model
    return _with_linears(model, _Bf16Linear if bf16 else _OneDnnLinear)


def computes_in_bf16(device: str, autocast: Callable[[], Any] | None = None) -> bool:
    """Says whether a device computes in bf16 where autocast is as it is now, and in a context of its own.

    Args:
        device: "cpu", "cuda" ...
        autocast: Makes that context; None: there is none.
    """
    with autocast() if autocast is not None else nullcontext():
        return torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.bfloat16


def _with_linears(module: nn.Module, kind: type[_Bf16Linear | _OneDnnLinear]) -> nn.Module:
    if type(module) is nn.Linear:
        return kind(module) if module.weight.dtype == torch.float32 else module
    children = {name: _with_linears(child, kind) for name, child in module.named_children()}
    changed = any(child is not module._modules[name] for name, child in children.items())
    return view(module, **children) if changed else module


class _Bf16Linear(nn.Module):
    """A linear layer whose weights were rounded once."""

    def __init__(self, stock: nn.Linear) -> None:
        super().__init__()
        self.weight = nn.Parameter(stock.weight.detach().bfloat16(), requires_grad=False)
        self.bias = None
        if stock.bias is not None:
            self.bias = nn.Parameter(stock.bias.detach().bfloat16(), requires_grad=False)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return functional.linear(inputs.bfloat16(), self.weight, self.bias)


class _OneDnnLinear(nn.Module):
    """A linear layer in fp32, with the stock one's own weights, whose large products oneDNN computes."""

    def __init__(self, stock: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = stock.weight, stock.bias

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if inputs.numel() < LARGE * inputs.shape[-1] or torch.is_grad_enabled():
            return functional.linear(inputs, self.weight, self.bias)
        bias = self.bias.to_mkldnn() if self.bias is not None else None
        return functional.linear(inputs.to_mkldnn(), self.weight.to_mkldnn(), bias).to_dense()
