"""What `mean` and `mlp` compute, beside numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from textxfer import registry
from textxfer.heads import HeadChoice, is_stock
from textxfer.heads._pooled import PooledHead, pool

MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]])
LENGTHS = (4, 2, 1)


@pytest.fixture
def states() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(3, 4, 5) - 3  # below 0, so that padding taken for zeros would be the largest


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("cls", lambda tokens: tokens[0]),
        ("last", lambda tokens: tokens[-1]),
        ("mean", lambda tokens: tokens.mean(axis=0)),
        ("max", lambda tokens: tokens.max(axis=0)),
    ],
)
def test_pooling_looks_at_the_text_s_own_tokens(pooling: str, expected: Any, states: torch.Tensor) -> None:
    found = pool(states, MASK, pooling).numpy()
    each = [expected(row[:length]) for row, length in zip(states.numpy(), LENGTHS, strict=True)]
    np.testing.assert_allclose(found, np.stack(each), rtol=1e-6)


@pytest.mark.parametrize("pooling", ["cls", "last", "mean", "max"])
def test_bf16_is_near(pooling: str, states: torch.Tensor) -> None:
    torch.manual_seed(1)
    head = PooledHead(5, 3, pooling=pooling, hidden=(7,)).eval()
    exact = head(states, MASK)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = head(states.bfloat16(), MASK)
    torch.testing.assert_close(rounded.float(), exact, atol=0.02, rtol=0.05)


def test_the_layers_of_an_mlp() -> None:
    head = HeadChoice("mlp", {"pooling": "max", "hidden": [6, 4], "activation": "relu", "dropout": 0.3}).make(5, 3)
    kinds = [type(layer).__name__ for layer in head.layers]
    assert kinds == ["Dropout", "Linear", "ReLU"] * 2 + ["Dropout", "Linear"]
    assert [tuple(layer.weight.shape) for layer in head.layers if hasattr(layer, "weight")] == [(6, 5), (4, 6), (3, 4)]
    assert {layer.p for layer in head.layers if hasattr(layer, "p")} == {0.3}
    assert head.last is head.layers[-1]


@pytest.mark.parametrize(("activation", "kind"), [("relu", "ReLU"), ("gelu", "GELU"), ("tanh", "Tanh")])
def test_the_activation_is_the_one_asked_for(activation: str, kind: str) -> None:
    head = HeadChoice("mlp", {"activation": activation}).make(5, 3)
    assert type(head.layers[2]).__name__ == kind


def test_dropout_is_drawn_in_training_only(states: torch.Tensor) -> None:
    for name in ("mean", "mlp"):
        head = HeadChoice(name, {"dropout": 0.5}).make(5, 3)
        assert not head.train()(states, MASK).equal(head(states, MASK))
        assert head.eval()(states, MASK).equal(head(states, MASK))
        still = HeadChoice(name, {"dropout": 0.0}).make(5, 3).train()
        assert still(states, MASK).equal(still(states, MASK))


def test_mean_is_an_mlp_with_nothing_hidden(states: torch.Tensor) -> None:
    torch.manual_seed(2)
    mean = HeadChoice("mean", {"dropout": 0.0}).make(5, 3)
    torch.manual_seed(2)
    mlp = HeadChoice("mlp", {"pooling": "mean", "hidden": [], "dropout": 0.0}).make(5, 3)
    assert mean(states, MASK).equal(mlp(states, MASK))
    assert [name for name, _ in mean.named_parameters()] == ["layers.1.weight", "layers.1.bias"]


def test_a_normalized_mean_has_a_direction_alone(states: torch.Tensor) -> None:
    head = HeadChoice("mean", {"normalize": True}).make(5, 3).eval()
    seen: list[torch.Tensor] = []
    head.last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    logits = head(states, MASK)
    np.testing.assert_allclose(seen[0].square().mean(dim=1), np.ones(3), rtol=1e-5)
    torch.testing.assert_close(head(states * 7, MASK), logits)
    assert head(states * 0, MASK).isfinite().all()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(head(states.bfloat16(), MASK).float(), logits, atol=0.02, rtol=0.05)


@pytest.mark.parametrize(("pooling", "token"), [("cls", "first"), ("last", "last"), ("mean", None), ("max", None)])
def test_the_one_token_that_is_looked_at(pooling: str, token: str | None) -> None:
    assert PooledHead(5, 3, pooling=pooling).token == token


def test_what_is_on_the_shelf() -> None:
    assert {"mean", "mlp", "native"} <= set(registry.names("heads"))
    assert is_stock("native")
    assert not is_stock("mlp")
    assert not is_stock("one_of_a_plugin_that_is_not_here")
