"""Dropout drawn in bulk is dropout: the right share, the right gradients, the same again for the same seed."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from textxfer.modeling import cpu_attention, cpu_dropout
from textxfer.modeling.cpu_dropout import LEVELS, fast_dropout


def dropped(input: torch.Tensor, p: float, seed: int = 1) -> torch.Tensor:
    torch.manual_seed(seed)
    with fast_dropout():
        return functional.dropout(input, p)


def masks(seed: int, p: float, *shapes: tuple[int, ...]) -> list[torch.Tensor]:
    """The masks that one call draws, in order."""
    torch.manual_seed(seed)
    bits = cpu_dropout._Bits(cpu_dropout._new_seed(), round(p * LEVELS))
    return [bits.mask(torch.Size(shape)).double() / (1 - round(p * LEVELS) / LEVELS) for shape in shapes]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_the_asked_share_is_dropped_and_the_rest_is_scaled(p: float, dtype: torch.dtype) -> None:
    output = dropped(torch.ones(1000, 400, dtype=dtype), p)
    share = (output == 0).double().mean().item()
    assert share == pytest.approx(p, abs=5 * (p * (1 - p) / output.numel()) ** 0.5)
    assert output[output != 0].double().unique().tolist() == pytest.approx([1 / (1 - p)], rel=4e-3)


def test_no_row_or_column_is_dropped_more_than_others() -> None:
    kept = (dropped(torch.ones(2000, 500), 0.5) != 0).double()
    assert (kept.mean(0) - 0.5).abs().max() < 0.07
    assert (kept.mean(1) - 0.5).abs().max() < 0.12
    neighbours = torch.corrcoef(torch.stack([kept[:, :-1].flatten(), kept[:, 1:].flatten()]))[0, 1]
    assert abs(neighbours) < 0.005


def test_the_same_seed_gives_the_same_mask_and_calls_differ() -> None:
    ones = torch.ones(64, 65)
    assert torch.equal(dropped(ones, 0.3), dropped(ones, 0.3))
    assert not torch.equal(dropped(ones, 0.3), dropped(ones, 0.3, seed=2))
    torch.manual_seed(1)
    with fast_dropout():
        assert not torch.equal(functional.dropout(ones, 0.3), functional.dropout(ones, 0.3))


def test_the_gradient_passes_where_the_input_passed() -> None:
    input = torch.randn(30, 7, dtype=torch.float64, requires_grad=True)
    output = dropped(input, 0.25)
    (gradient,) = torch.autograd.grad(output.sum(), input)
    assert torch.allclose(output, input * gradient)
    assert set(gradient.unique().tolist()) == {0.0, 4 / 3}


@pytest.mark.parametrize("piece", [1, 200, 1 << 19])
@pytest.mark.parametrize("mask", ["none", "bool", "float", "causal"])
def test_attention_is_the_plain_one_with_its_mask(piece: int, mask: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_attention, "PIECE", piece)
    batch, heads, length, p = 5, 2, 6, 0.2
    generator = torch.Generator().manual_seed(0)
    query, key, value, weight = (
        torch.randn(batch, heads, length, 4, dtype=torch.float64, generator=generator).requires_grad_()
        for _ in range(4)
    )
    seen = torch.ones(batch, 1, length, length, dtype=torch.bool)
    seen[1, :, :, 3:] = False
    given = {"none": None, "causal": None, "bool": seen, "float": torch.where(seen, 0.0, -1e30).double()}[mask]
    torch.manual_seed(3)
    with fast_dropout():
        ours = functional.scaled_dot_product_attention(query, key, value, given, p, is_causal=mask == "causal")
    size = max(1, piece // (heads * length * length))
    starts = range(0, batch, size)
    factor = torch.cat(masks(3, p, *((min(size, batch - at), heads, length, length) for at in starts)))
    scores = query @ key.transpose(-2, -1) / 2
    if mask == "causal":
        scores = scores.masked_fill(~torch.ones(length, length, dtype=torch.bool).tril(), -1e30)
    elif mask != "none":
        scores = scores.masked_fill(~seen, -1e30)
    plain = (scores.softmax(-1) * factor) @ value
    assert torch.allclose(ours, plain, atol=1e-12)
    inputs = (query, key, value)
    for one, other in zip(
        torch.autograd.grad((ours * weight).sum(), inputs),
        torch.autograd.grad((plain * weight).sum(), inputs),
        strict=True,
    ):
        assert torch.allclose(one, other, atol=1e-12)


def test_attention_of_one_query_to_many_keys() -> None:
    query = torch.randn(3, 2, 1, 4, requires_grad=True)
    key, value = torch.randn(3, 2, 9, 4), torch.randn(3, 2, 9, 4)
    with fast_dropout():
        output = functional.scaled_dot_product_attention(query, key, value, None, 0.1)
    output.sum().backward()
    assert output.shape == (3, 2, 1, 4)
    assert query.grad is not None


def test_a_query_that_sees_no_key_harms_nothing() -> None:
    query, key, value = (torch.randn(1, 1, 3, 4, requires_grad=True) for _ in range(3))
    seen = torch.tensor([[True, True, False], [False, False, False], [True, True, True]])
    with fast_dropout():
        functional.scaled_dot_product_attention(query, key, value, seen, 0.1)[:, :, [0, 2]].sum().backward()
    assert all(torch.isfinite(tensor.grad).all() for tensor in (query, key, value))


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_all_or_nothing_is_left_to_pytorch(p: float) -> None:
    assert torch.equal(dropped(torch.ones(4), p), torch.ones(4) * (1 - p))


def test_nothing_changes_outside_of_training_or_for_a_learned_mask() -> None:
    input, learned = torch.randn(2, 2, 5, 4), torch.zeros(1, 1, 5, 5, requires_grad=True)
    with fast_dropout():
        assert torch.equal(functional.dropout(input, 0.5, training=False), input)
        functional.scaled_dot_product_attention(input, input, input, learned, 0.1).sum().backward()
    assert learned.grad is not None


def test_autocast_attends_in_its_own_precision() -> None:
    input = torch.randn(2, 2, 5, 4, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16), fast_dropout():
        output = functional.scaled_dot_product_attention(input, input, input, None, 0.1)
    assert output.dtype == torch.bfloat16
    output.sum().backward()
    assert input.grad is not None
    assert input.grad.dtype == torch.float32
