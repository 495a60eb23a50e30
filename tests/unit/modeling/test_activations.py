"""Activations that are computed twice instead of kept."""

from __future__ import annotations

from typing import Any

import pytest

from tests import tiny
from tests.unit.modeling.conftest import ANSWERS, CLASSIFICATION
from textxfer.errors import RecipeError
from textxfer.modeling.activations import checkpoint_activations
from textxfer.modeling.freezing import freeze, train_mode


@pytest.mark.parametrize("layers", [0, 1])
@pytest.mark.parametrize("auto_class", [CLASSIFICATION, ANSWERS])
@pytest.mark.parametrize("family", [family for family in tiny.FAMILIES if family != "mpnet"])
def test_activation_checkpointing_changes_no_gradient(
    family: str, auto_class: str, layers: int, model_of: Any, inputs_of: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    import torch

    model_of(family, auto_class)
    capfd.readouterr()
    gradients = []
    for saves_memory in (False, True):
        model = model_of(family, auto_class, dropout=0.2)
        frozen = freeze(model, layers)
        if saves_memory:
            checkpoint_activations(model)
        train_mode(model, frozen.modules)
        torch.manual_seed(3)
        output = model(**inputs_of(family))
        result = output.logits if auto_class == CLASSIFICATION else output.start_logits + output.end_logits
        result.square().sum().backward()
        gradients.append({name: weight.grad for name, weight in model.named_parameters()})
    plain, saving = gradients
    for name, gradient in plain.items():
        assert (gradient is None) == (saving[name] is None), name
        if gradient is not None:
            torch.testing.assert_close(saving[name], gradient, rtol=1e-5, atol=1e-7, msg=name)
    assert any(gradient is not None and gradient.abs().sum() > 0 for gradient in plain.values())
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")


def test_checkpointed_layers_run_again_in_the_backward_pass(model_of: Any, inputs_of: Any) -> None:
    model = model_of("bert")
    checkpoint_activations(model)
    model.train()
    ran: list[int] = []
    model.bert.encoder.layer[0].attention.register_forward_hook(lambda *_: ran.append(0))
    model(**inputs_of("bert")).logits.sum().backward()
    assert len(ran) == 2


def test_frozen_layers_keep_nothing_and_run_once(model_of: Any, inputs_of: Any) -> None:
    model = model_of("bert")
    frozen = freeze(model, 1)
    checkpoint_activations(model)
    train_mode(model, frozen.modules)
    ran: list[int] = []
    for number, layer in enumerate(model.bert.encoder.layer):
        layer.attention.register_forward_hook(lambda *_, number=number: ran.append(number))
    states: list[Any] = []
    model.bert.encoder.layer[0].register_forward_hook(lambda _, __, output: states.append(output))
    model(**inputs_of("bert")).logits.sum().backward()
    assert ran == [0, 1, 1]
    state = states[0][0] if isinstance(states[0], tuple) else states[0]
    assert not state.requires_grad, "gradients would go down through the frozen layers"


def test_family_that_cannot_says_so(model_of: Any) -> None:
    with pytest.raises(RecipeError) as error:
        checkpoint_activations(model_of("mpnet"))
    assert str(error.value) == (
        "train.activation_checkpointing: models of the family 'mpnet' do not offer it; leave it out, and make "
        "train.micro_batch_size smaller"
    )
