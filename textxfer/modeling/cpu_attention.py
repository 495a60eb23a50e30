"""Attention on a CPU without dropout, at a fraction of its usual price for texts of ordinary length.

PyTorch's own goes through every head of every text by itself, which for rows of some dozen scores is mostly overhead;
and its softmax of bf16 numbers takes short rows one number at a time. Here all heads of a piece of the batch, which
stays in the processor's cache, are computed together, and short rows are softmaxed in fp32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

PIECE = 1 << 19
"""Attention probabilities computed at a time: about a megabyte."""

SHORT = 64
"""Rows of fewer scores than this are softmaxed in fp32."""

LONG = 160
"""In fp32, rows of more scores than this are left to PyTorch, whose blocks then serve better."""


class fast_attention(TorchFunctionMode):
    """While it lasts, attention of CPU tensors without gradients is computed piece by piece."""

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        """Answers attention; passes on all else."""
        if func is functional.scaled_dot_product_attention:
            return _attention_call(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _attention_call(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    usual = query.ndim == 4 and query.shape[:2] == key.shape[:2] and dropout_p == 0.0
    usual = usual and (key.shape[2] <= LONG or as_autocast((query,))[0].dtype != torch.float32)
    if query.device.type != "cpu" or not usual or torch.is_grad_enabled():
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    query, key, value = as_autocast((query, key, value))
    bias = as_bias(attn_mask, is_causal, query, key)
    attended = new_output(query, value)
    scale = scale or query.shape[-1] ** -0.5
    for part in pieces(query, key):
        shares = shares_of(query[part] * scale, key[part], of_piece(bias, part))
        attended[part] = shares @ value[part]
    return attended


def as_autocast(tensors: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Gives tensors as autocast would hand them to attention."""
    if not torch.is_autocast_enabled("cpu"):
        return tensors
    dtype = torch.get_autocast_dtype("cpu")
    return tuple(tensor.to(dtype) for tensor in tensors)


def as_bias(mask: torch.Tensor | None, is_causal: bool, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor | None:
    """Gives what is added to scores, with four dimensions; None for nothing."""
    if is_causal:
        mask = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool).tril()
    if mask is None:
        return None
    if mask.dtype == torch.bool:
        mask = torch.zeros(mask.shape, dtype=query.dtype).masked_fill_(~mask, torch.finfo(query.dtype).min)
    return mask.to(query.dtype).reshape((1,) * (4 - mask.ndim) + mask.shape)


def new_output(query: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Makes room for what attention gives (B, H, T, D), laid out in memory as stock models go on with it."""
    batch, heads, tokens, _ = query.shape
    return query.new_empty((batch, tokens, heads, value.shape[3])).transpose(1, 2)


def is_short(scores: torch.Tensor) -> bool:
    """Says whether rows are softmaxed in fp32 instead of their own 16 bits."""
    return scores.dtype.itemsize < 4 and scores.shape[-1] < SHORT


def pieces(query: torch.Tensor, key: torch.Tensor) -> list[slice]:
    """Cuts a batch so that the probabilities of a piece stay in the cache."""
    each = query.shape[1] * query.shape[2] * key.shape[2]
    size = max(1, PIECE // each)
    return [slice(start, start + size) for start in range(0, len(query), size)]


def of_piece(bias: torch.Tensor | None, part: slice) -> torch.Tensor | None:
    """Gives the bias of a piece of the batch."""
    return bias if bias is None or len(bias) == 1 else bias[part]


def shares_of(scaled: torch.Tensor, key: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Gives each query's share of attention to each key (b, H, T, S), of the queries' type."""
    scores = scaled @ key.transpose(-2, -1)
    scores = scores.float() if is_short(scores) else scores
    return (scores if bias is None else scores.add_(bias)).softmax(-1).to(scaled.dtype)
