"""Low-rank updates in every family: where they are, what they leave alone, and that merging changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.tiny import FAMILIES
from textxfer.errors import MissingExtra, RecipeError
from textxfer.modeling.anatomy import backbone_parameters
from textxfer.modeling.build import skeleton
from textxfer.modeling.checkpoint import open_checkpoint
from textxfer.modeling.freezing import freeze
from textxfer.modeling.lora import Lora, add_lora, check_peft, merge_lora, modules_to_update

Models = Callable[..., Any]


def disturbed(model: Any) -> None:
    """Gives updates that do something."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if ".lora_B." in name:
                value.normal_(std=3.0)


@pytest.mark.parametrize("family", FAMILIES)
def test_updates_and_head_are_all_that_is_trained(model_of: Models, family: str) -> None:
    model = model_of(family)
    own = backbone_parameters(model)
    head = {name for name, _ in model.named_parameters() if name not in own}
    assert add_lora(model, Lora(rank=2)) > 0
    freeze(model, 0, embeddings=True)
    trained = {name for name, value in model.named_parameters() if value.requires_grad}
    assert head < trained
    assert all(".lora_" in name for name in trained - head)


@pytest.mark.parametrize("family", FAMILIES)
def test_merging_changes_no_logit(model_of: Models, inputs_of: Any, family: str) -> None:
    model, inputs = model_of(family).eval(), inputs_of(family)
    stock = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    with torch.no_grad():
        plain = model(**inputs).logits
        add_lora(model, Lora(rank=4, alpha=8))
        assert torch.equal(model(**inputs).logits, plain)
        disturbed(model)
        updated = model(**inputs).logits
        merge_lora(model)
        merged = model(**inputs).logits
    assert torch.allclose(merged, updated, rtol=1e-4, atol=1e-4)
    assert (updated - plain).abs().max() > 20 * (merged - updated).abs().max()
    assert {name: tuple(value.shape) for name, value in model.state_dict().items()} == stock


@pytest.mark.parametrize("family", FAMILIES)
def test_the_modules_are_known_before_there_are_weights(model_of: Models, checkpoints: Any, family: str) -> None:
    bare = skeleton(open_checkpoint(str(checkpoints(family))), "AutoModelForSequenceClassification")
    assert {value.device.type for value in bare.parameters()} == {"meta"}
    model = model_of(family)
    assert {name: value.shape for name, value in bare.named_parameters()} == {
        name: value.shape for name, value in model.named_parameters()
    }
    assert modules_to_update(bare, None, 1) == modules_to_update(model, None, 1)


def test_frozen_layers_get_none(model_of: Models) -> None:
    model = model_of("bert")
    assert add_lora(model, Lora(), frozen_layers=1) == 2
    assert all("layer.1" in name for name, _ in model.named_parameters() if ".lora_" in name)


def test_targets_can_be_named(model_of: Models) -> None:
    model = model_of("bert")
    assert add_lora(model, Lora(targets=("dense",))) == 6
    with pytest.raises(RecipeError) as caught:
        add_lora(model_of("bert"), Lora(targets=("querry", "dense", "vlaue")))
    assert caught.value.lines == (
        "lora.targets: unknown module `querry`; did you mean `query`? (there are: query, key, value, dense)",
        "lora.targets: unknown module `vlaue`; did you mean `value`? (there are: query, key, value, dense)",
    )


@pytest.mark.parametrize("layers", ["all", 2])
def test_nothing_left_to_update(model_of: Models, layers: Any) -> None:
    with pytest.raises(RecipeError, match="lora: all layers are frozen"):
        add_lora(model_of("bert"), Lora(), frozen_layers=layers)


def test_the_seed_draws_the_updates(model_of: Models) -> None:
    drawn = []
    for seed in (0, 0, 1):
        model = model_of("bert")
        add_lora(model, Lora(), seed=seed)
        drawn.append(torch.cat([value.flatten() for name, value in model.named_parameters() if ".lora_A." in name]))
    assert drawn[0].equal(drawn[1])
    assert not drawn[0].equal(drawn[2])


def test_a_missing_extra_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    check_peft()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"lora: needs the package peft; `pip install textxfer\[lora\]` brings it"):
        check_peft()
