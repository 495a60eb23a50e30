"""AdamW's groups."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.training.helpers import assert_same_run, make_recipe, rows, signaller, splits
from tests.unit.training.steps import ready
from textxfer.errors import Interrupted, RecipeError
from textxfer.modeling.anatomy import last_linear, locate
from textxfer.run import run_recipe
from textxfer.training.optimizer import adamw, rates


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


def shares(optimizer: torch.optim.Optimizer, model: torch.nn.Module) -> dict[str, float]:
    return {name: group["share"] for group in optimizer.param_groups for name in names(model, group)}


@pytest.mark.parametrize("family", ["bert", "gpt2", "t5", "modernbert"])
def test_a_layer_has_its_share_of_the_rate_above(family: str, checkpoints: Callable[[str], Path]) -> None:
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(checkpoints(family))
    optimizer = adamw(model, 1e-3, layer_decay=0.5, head_learning_rate=3e-3)
    found, parts = shares(optimizer, model), locate(model)
    of = {id(parameter): name for name, parameter in model.named_parameters()}

    def of_modules(modules: Any) -> set[float]:
        return {found[of[id(parameter)]] for module in modules for parameter in module.parameters()}

    assert of_modules(parts.layers[1:]) == {0.5}
    assert of_modules(parts.layers[:1]) == {0.25}
    assert of_modules(parts.embeddings) == {0.125}
    head = last_linear(model)
    assert isinstance(head, torch.nn.Linear)
    assert found[of[id(head.weight)]] == pytest.approx(3.0)
    assert rates(optimizer, 1e-3) == pytest.approx([1e-3 * group["share"] for group in optimizer.param_groups])


def test_a_step_moves_each_part_by_its_rate(bert: Path) -> None:
    run = ready(bert, rows(32), train={"layer_decay": 0.5, "head_learning_rate": 2e-3, "learning_rate": 1e-3})
    parameters = dict(run.training.model.named_parameters())
    before = {name: value.detach().clone() for name, value in parameters.items()}
    run.stepper.take(np.arange(16), 0, 1e-3)
    # AdamW's first step is as long as the rate, whatever the gradient.
    moved = {name: float((value.detach() - before[name]).abs().median()) for name, value in parameters.items()}
    assert moved["classifier.weight"] == pytest.approx(2e-3, rel=0.05)
    assert moved["bert.encoder.layer.1.attention.self.value.weight"] == pytest.approx(5e-4, rel=0.05)
    assert moved["bert.encoder.layer.0.attention.self.value.weight"] == pytest.approx(2.5e-4, rel=0.05)


def test_which_rates_apply_is_said(bert: Path) -> None:
    [note] = [n for n in ready(bert, rows(32), train={"layer_decay": 0.5}).notes if "learning rates" in n]
    assert note == ("highest learning rates: embeddings 1.25e-04, layer 0 2.50e-04, layer 1 5.00e-04, head 1.00e-03")
    assert not [n for n in ready(bert, rows(32)).notes if "learning rates" in n]
    frozen = ready(bert, rows(32), train={"layer_decay": 0.5}, freeze={"layers": 1}).notes
    assert "highest learning rates: layer 1 5.00e-04, head 1.00e-03" in frozen


def test_a_decay_over_no_layer_is_an_error(bert: Path) -> None:
    with pytest.raises(RecipeError, match=r"train\.layer_decay: no layer is trained"):
        ready(bert, rows(32), train={"layer_decay": 0.9}, freeze={"layers": "all"})


def test_a_run_with_several_rates_resumes_bit_for_bit(bert: Path, tmp_path: Path) -> None:
    train = {"layer_decay": 0.7, "head_learning_rate": 5e-3}
    recipe = make_recipe(bert, tmp_path / "runs", train=train)
    whole = run_recipe(recipe, "name=whole", splits=splits())
    with pytest.raises(Interrupted):
        run_recipe(recipe, splits=splits(), observers=[signaller("on_step", 3, signal.SIGINT)])
    assert_same_run(run_recipe(recipe, splits=splits(), resume=True).folder, whole.folder)
