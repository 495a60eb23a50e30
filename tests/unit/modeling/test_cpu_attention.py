"""Attention piece by piece is attention."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from textxfer.modeling import cpu_attention
from textxfer.modeling.cpu_attention import LONG, SHORT, fast_attention

attend = functional.scaled_dot_product_attention


def material(tokens: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(tokens)
    return tuple(torch.randn(5, tokens, 3, 8).to(dtype).transpose(1, 2) for _ in range(3))


def mask_of(kind: str, tokens: int) -> torch.Tensor | None:
    lengths = torch.tensor([tokens, 1, max(tokens // 2, 1), tokens, 2])
    seen = (torch.arange(tokens) < lengths[:, None])[:, None, None]
    masks = {
        "words": seen.expand(5, 1, tokens, tokens),
        "one for all": seen[2:3],
        "bias": torch.randn(1, 3, tokens, tokens),
        "two dimensions": torch.ones(tokens, tokens, dtype=torch.bool).tril(),
    }
    return masks.get(kind)


@pytest.mark.parametrize("piece", [1, 400, 1 << 19])
@pytest.mark.parametrize("kind", ["none", "words", "one for all", "bias", "two dimensions", "causal"])
def test_it_is_the_plain_one(kind: str, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_attention, "PIECE", piece)
    query, key, value = material(11)
    mask, causal = mask_of(kind, 11), kind == "causal"
    with torch.inference_mode():
        plain = attend(query, key, value, mask, is_causal=causal, scale=0.3)
        with fast_attention():
            ours = attend(query, key, value, mask, is_causal=causal, scale=0.3)
    assert (ours - plain).abs().max() < 1e-5
    assert ours.transpose(1, 2).is_contiguous()


@pytest.mark.parametrize("tokens", [SHORT - 1, SHORT])
def test_bf16_is_about_as_near_to_the_truth_as_the_plain_one(tokens: int) -> None:
    query, key, value = material(tokens, torch.bfloat16)
    mask = mask_of("words", tokens)
    with torch.inference_mode():
        truth = attend(query.double(), key.double(), value.double(), mask)
        plain = (attend(query, key, value, mask) - truth).abs().mean()
        with fast_attention():
            ours = (attend(query, key, value, mask) - truth).abs().mean()
    assert ours < 2 * plain


def test_autocast_is_heeded() -> None:
    query, key, value = material(9)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16), fast_attention():
        assert attend(query, key, value).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("tokens", "dtype", "gradients", "answered"),
    [
        (LONG, torch.float32, False, True),
        (LONG + 1, torch.float32, False, False),
        (LONG + 1, torch.bfloat16, False, True),
        (9, torch.float32, True, False),
    ],
)
def test_what_pytorch_does_better_is_left_to_it(
    tokens: int, dtype: torch.dtype, gradients: bool, answered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    real = cpu_attention.shares_of
    monkeypatch.setattr(cpu_attention, "shares_of", lambda *parts: seen.append(1) or real(*parts))
    with torch.set_grad_enabled(gradients), fast_attention():
        attend(*material(tokens, dtype))
    assert bool(seen) is answered
