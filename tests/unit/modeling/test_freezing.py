"""What is trained and what is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from tests.trained import train
from tests.unit.modeling.conftest import ANSWERS, CLASSIFICATION
from textxfer.errors import RecipeError
from textxfer.modeling.anatomy import locate
from textxfer.modeling.freezing import freeze, freeze_in_turn, hold, train_mode


def frozen_names(model: Any) -> set[str]:
    return {name for name, parameter in model.named_parameters() if not parameter.requires_grad}


def names_of(model: Any, *modules: Any) -> set[str]:
    own = {id(parameter) for module in modules for parameter in module.parameters()}
    return {name for name, parameter in model.named_parameters() if id(parameter) in own}


@pytest.mark.parametrize("embeddings", [None, True, False])
@pytest.mark.parametrize("layers", [0, 1, 2, "all"])
@pytest.mark.parametrize("auto_class", [CLASSIFICATION, ANSWERS])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_exactly_what_was_asked_for_is_frozen(
    family: str, auto_class: str, layers: Any, embeddings: bool | None, model_of: Any
) -> None:
    model = model_of(family, auto_class)
    parts = locate(model)
    frozen = freeze(model, layers, embeddings)
    count = 2 if layers == "all" else layers
    with_embeddings = count > 0 if embeddings is None else embeddings
    expected = list(parts.layers[:count]) + (list(parts.embeddings) if with_embeddings else [])
    expected += list(parts.top) if layers == "all" else []
    assert frozen_names(model) == names_of(model, *expected)
    assert (frozen.layers, frozen.embeddings) == (count, with_embeddings)
    assert frozen.total == sum(parameter.numel() for parameter in model.parameters())
    assert frozen.trainable == sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert frozen.trainable > 0


@pytest.mark.parametrize("auto_class", [CLASSIFICATION, ANSWERS])
def test_t5_decoder_is_frozen_with_the_whole_backbone_only(auto_class: str, model_of: Any) -> None:
    model = model_of("t5", auto_class)
    freeze(model, 2)
    frozen = frozen_names(model)
    assert any(name.endswith("shared.weight") for name in frozen), "the embedding that both stacks share"
    assert not any("decoder." in name for name in frozen)
    model = model_of("t5", auto_class)
    freeze(model, "all")
    assert {name.partition(".")[0] for name, weight in model.named_parameters() if weight.requires_grad} == {
        "classification_head" if auto_class == CLASSIFICATION else "qa_outputs"
    }


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_too_many_layers_are_an_error(family: str, model_of: Any) -> None:
    with pytest.raises(RecipeError) as error:
        freeze(model_of(family), 3)
    assert str(error.value) == "freeze.layers: is 3, but the checkpoint has 2 layers (0 to 2, or `all`)"


def test_table_says_each_part_once_from_bottom_to_top(model_of: Any) -> None:
    table = freeze(model_of("bert"), 1).table
    assert [size.part for size in table] == ["embeddings", "layer 0", "layer 1", "head"]
    assert [size.trainable > 0 for size in table] == [False, False, True, True]
    table = freeze(model_of("t5"), "all").table
    assert [size.part for size in table] == ["embeddings", "layers 0-1", "top of the backbone", "head"]
    assert [size.trainable for size in table[:-1]] == [0, 0, 0]
    assert table[-1].trainable == table[-1].total


@pytest.mark.parametrize("layers", [1, 2, "all"])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_frozen_part_gives_the_same_states_in_training(family: str, layers: Any, model_of: Any, inputs_of: Any) -> None:
    import torch

    model = model_of(family, dropout=0.5)
    frozen = freeze(model, layers)
    train_mode(model, frozen.modules)
    caught: list[Any] = []
    boundary = locate(model).layers[frozen.layers - 1]
    boundary.register_forward_hook(
        lambda _, __, output: caught.append(output[0] if isinstance(output, tuple) else output)
    )
    torch.manual_seed(0)
    logits = [model(**inputs_of(family)).logits for _ in range(2)]
    assert torch.equal(*caught), "dropout below the boundary"
    assert not any(module.training for part in frozen.modules for module in part.modules())
    assert model.training
    if family != "gpt2" or layers == 1:  # GPT-2 has no dropout after its last layer
        assert not torch.equal(*logits), "no dropout above the boundary"


@pytest.mark.parametrize("layers", [1, "all"])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_frozen_weights_are_the_same_bits_after_training(
    family: str, layers: Any, checkpoints: Any, tmp_path: Path
) -> None:
    import torch
    import transformers

    run = train(checkpoints(family), "sentiment", tmp_path, freeze={"layers": layers})
    before = transformers.AutoModel.from_pretrained(checkpoints(family))
    after = transformers.AutoModelForSequenceClassification.from_pretrained(run / "model")
    freeze(after, layers)
    kept = frozen_names(after)
    prefix = f"{after.base_model_prefix}."
    old = dict(before.named_parameters())
    for name, weight in after.named_parameters():
        inner = name.removeprefix(prefix)
        if inner in old:
            assert torch.equal(weight, old[inner]) == (name in kept), name
    assert kept


def test_frozen_embeddings_alone(model_of: Any) -> None:
    model = model_of("bert")
    frozen = freeze(model, 0, embeddings=True)
    assert all(name.startswith("bert.embeddings.") for name in frozen_names(model))
    assert [(size.part, size.trainable > 0) for size in frozen.table] == [
        ("embeddings", False),
        ("layers 0-1", True),
        ("head", True),
    ]


@pytest.mark.parametrize("family", ["bert", "gpt2", "t5"])
def test_freezing_in_turn_is_freezing_each_time(family: str, model_of: Any) -> None:
    ways: list[tuple[Any, bool | None]] = [("all", None), (1, False), (2, None), (0, True)]
    alone = []
    for layers, embeddings in ways:
        model = model_of(family, CLASSIFICATION)
        freeze(model, layers, embeddings)
        alone.append(frozen_names(model))
    model = model_of(family, CLASSIFICATION)
    found = freeze_in_turn(model, ways)
    assert frozen_names(model) == set.intersection(*alone)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for number in (0, 2, 1, 3, 0):
        hold(found[number], trained)
        assert frozen_names(model) == alone[number]
        sizes = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        assert found[number].trainable == sizes
