"""Low-rank updates in every family: where they are, what they leave alone, and that merging changes nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tiny import FAMILIES
from textxfer.errors import MissingExtra, RecipeError
from textxfer.modeling.anatomy import backbone_parameters
from textxfer.modeling.checkpoint import open_checkpoint
from textxfer.modeling.freezing import freeze
from textxfer.modeling.lora import Lora, add_lora, check_peft, merge_lora

Models = Callable[..., Any]


def disturbed(model: Any) -> None:
    """Gives updates that do something."""
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
    assert torch.allclose(merged, updated, atol=1e-5)
    assert (updated - plain).abs().max() > 20 * (merged - updated).abs().max()
    assert {name: tuple(value.shape) for name, value in model.state_dict().items()} == stock


def test_frozen_layers_get_none(model_of: Models) -> None:
    model = model_of("bert")
    assert add_lora(model, Lora(), frozen_layers=1) == 2
    assert all("layer.1" in name for name, _ in model.named_parameters() if ".lora_" in name)


def test_targets_can_be_named(model_of: Models) -> None:
    model = model_of("bert")
    assert add_lora(model, Lora(targets=("dense",))) == 6
    with pytest.raises(RecipeError) as caught:
        add_lora(model_of("bert"), Lora(targets=("querry",)))
    assert str(caught.value) == (
        "lora.targets: unknown module `querry`; did you mean `query`? (there are: query, key, value, dense)"
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


def test_an_adapter_needs_peft_when_it_is_opened(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "adapter"
    shutil.copytree(bert, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(bert)}))
    assert open_checkpoint(str(folder)).adapter == str(folder)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="adapter: needs the package peft"):
        open_checkpoint(str(folder))
