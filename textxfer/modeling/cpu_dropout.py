"""Dropout on a CPU at a fraction of its usual price.

PyTorch draws a CPU's dropout number by number, and attention with dropout keeps every probability of every head. Here
the numbers come 64 bits at a time from SFC64 (O'Neill and Doty-Humphrey's small fast counting generator, as NumPy has
it), 16 of them for each element, and attention goes through a batch piece by piece so that a piece stays in the
processor's cache, and computes its probabilities a second time on the way back (as in Dao et al., arXiv 2205.14135).
The forward pass itself is the stock one: only these two functions are answered differently while `fast_dropout` lasts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from textxfer.modeling.cpu_attention import as_autocast, as_bias, is_short, new_output, of_piece, pieces, shares_of

LEVELS = 1 << 16


class fast_dropout(TorchFunctionMode):
    """While it lasts, dropout of CPU tensors is drawn in bulk; everything else is untouched.

    Masks depend on PyTorch's random state alone, so `torch.manual_seed` repeats them. An element is dropped with the
    asked probability rounded to 1/65536, and the rest scaled by the inverse of what is kept.
    """

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        """Answers dropout and attention with dropout; passes on all else."""
        kwargs = kwargs or {}
        if func is functional.dropout:
            return _dropout_call(*args, **kwargs)
        if func is functional.scaled_dot_product_attention:
            return _attention_call(*args, **kwargs)
        return func(*args, **kwargs)


def _dropout_call(input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
    level = round(p * LEVELS)
    if input.device.type != "cpu" or not training or inplace or not 0 < level < LEVELS:
        return functional.dropout(input, p, training, inplace)
    dropped: torch.Tensor = _Dropout.apply(input, level)
    return dropped


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
    level = round(dropout_p * LEVELS)
    learned = attn_mask is not None and attn_mask.requires_grad
    usual = query.ndim == 4 and query.shape[:2] == key.shape[:2] and not learned
    if query.device.type != "cpu" or not usual or not 0 < level < LEVELS:
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    query, key, value = as_autocast((query, key, value))
    bias = as_bias(attn_mask, is_causal, query, key)
    attended: torch.Tensor = _Attention.apply(query, key, value, bias, level, scale or query.shape[-1] ** -0.5)
    return attended


class _Bits:
    """Masks, the same ones again for the same seed."""

    def __init__(self, seed: int, level: int) -> None:
        self.generator, self.least = np.random.SFC64(seed), level - LEVELS // 2

    def mask(self, shape: torch.Size) -> torch.Tensor:
        """Gives True for what is kept."""
        count = shape.numel()
        drawn: Any = self.generator.random_raw(-(-count // 4))
        return torch.from_numpy(drawn.view(np.int16)[:count]).view(shape) >= self.least


def _new_seed() -> int:
    return int(torch.randint(1 << 62, ()))


class _Dropout(torch.autograd.Function):
    """Dropout of a tensor of any shape."""

    @staticmethod
    def forward(ctx: Any, input: torch.Tensor, level: int) -> torch.Tensor:
        ctx.scale = LEVELS / (LEVELS - level)
        mask = _Bits(_new_seed(), level).mask(input.shape)
        ctx.save_for_backward(mask)
        return input.mul(mask).mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (mask,) = ctx.saved_tensors
        return gradient.mul(mask).mul_(ctx.scale), None


class _Attention(torch.autograd.Function):
    """Attention of queries (B, H, T, D) to keys and values (B, H, S, D), with dropout of its probabilities."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        bias: torch.Tensor | None,
        level: int,
        scale: float,
    ) -> torch.Tensor:
        ctx.level, ctx.scale, ctx.seed = level, scale, _new_seed()
        bits, kept = _Bits(ctx.seed, level), LEVELS / (LEVELS - level)
        attended = new_output(query, value)
        again: tuple[torch.Tensor, ...] = ()
        for part in pieces(query, key):
            probabilities = shares_of(query[part] * scale, key[part], of_piece(bias, part))
            mask = bits.mask(probabilities.shape)
            if len(attended[part]) == len(attended):  # one piece: what is computed fits, so it need not be repeated
                again = (probabilities, mask)
            attended[part] = (probabilities * mask) @ (value[part] * kept)
        ctx.save_for_backward(query, key, value, bias, *again)
        return attended

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, bias, *again = ctx.saved_tensors
        bits, kept = _Bits(ctx.seed, ctx.level), LEVELS / (LEVELS - ctx.level)
        to_query, to_key, to_value = torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)
        for part in pieces(query, key):
            scaled = query[part] * ctx.scale
            if again:
                probabilities, mask = again
            else:
                probabilities = shares_of(scaled, key[part], of_piece(bias, part))
                mask = bits.mask(probabilities.shape)
            coming = gradient[part] * kept
            to_value[part] = (probabilities * mask).transpose(-2, -1) @ coming
            to_probabilities = (coming @ value[part].transpose(-2, -1)).mul_(mask)
            to_scores = _through_softmax(to_probabilities, probabilities)
            to_query[part] = (to_scores @ key[part]).mul_(ctx.scale)
            to_key[part] = to_scores.transpose(-2, -1) @ scaled
        return to_query, to_key, to_value, None, None, None


def _through_softmax(gradient: torch.Tensor, probabilities: torch.Tensor) -> torch.Tensor:
    """Gives the gradient of scores, in the type of the probabilities."""
    dtype = probabilities.dtype
    if is_short(probabilities):
        gradient, probabilities = gradient.float(), probabilities.float()
    to_scores: torch.Tensor = torch.ops.aten._softmax_backward_data(gradient, probabilities, -1, probabilities.dtype)
    return to_scores.to(dtype)
