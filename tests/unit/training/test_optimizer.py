"""AdamW's groups."""

from __future__ import annotations

from pathlib import Path

import torch

from textxfer.training.optimizer import adamw


def names(model: torch.nn.Module, group: dict[str, object]) -> set[str]:
    of = {id(parameter): name for name, parameter in model.named_parameters()}
    return {of[id(parameter)] for parameter in group["params"]}  # type: ignore[attr-defined]


def test_norms_and_biases_do_not_decay(bert: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(bert)
    optimizer = adamw(model, 1e-3, 0.5)
    decayed, free = optimizer.param_groups
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.5, 0.0)
    assert (decayed["lr"], free["lr"]) == (1e-3, 1e-3)
    assert names(model, free) == {
        name for name, _ in model.named_parameters() if name.endswith("bias") or "LayerNorm" in name
    }
    assert names(model, decayed) | names(model, free) == {name for name, _ in model.named_parameters()}
    assert decayed["fused"]


def test_frozen_parameters_are_left_out() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    model[0].requires_grad_(False)
    optimizer = adamw(model, 1e-3)
    assert names(model, optimizer.param_groups[0]) == {"1.weight"}
    assert names(model, optimizer.param_groups[1]) == {"1.bias"}


def test_there_is_no_empty_group() -> None:
    assert len(adamw(torch.nn.LayerNorm(3), 1e-3).param_groups) == 1
