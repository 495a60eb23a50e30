"""Where things are in each family."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

import textxfer
from tests import tiny
from tests.unit.modeling.conftest import ANSWERS, CLASSIFICATION
from textxfer.modeling.anatomy import FAMILIES, backbone_parameters, locate, most_tokens

HEADS = {
    "bert": {"bert.pooler", "classifier"},
    "roberta": {"classifier"},
    "distilbert": {"pre_classifier", "classifier"},
    "mpnet": {"classifier"},
    "electra": {"classifier"},
    "deberta-v2": {"pooler", "classifier"},
    "modernbert": {"head", "classifier"},
    "gpt2": {"score"},
    "t5": {"classification_head"},
}


def names_of(model: Any, modules: Any) -> set[str]:
    own = {id(parameter) for module in modules for parameter in module.parameters()}
    return {name for name, parameter in model.named_parameters() if id(parameter) in own}


@pytest.mark.parametrize("auto_class", [CLASSIFICATION, ANSWERS])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_parts_cover_the_backbone_and_nothing_else(family: str, auto_class: str, model_of: Any) -> None:
    model = model_of(family, auto_class)
    parts = locate(model)
    groups = [
        names_of(model, modules) for modules in (parts.embeddings, *([layer] for layer in parts.layers), parts.top)
    ]
    backbone = set().union(*groups)
    assert len(backbone) == sum(map(len, groups)), "a parameter stands in two parts"
    head = {name for name, _ in model.named_parameters()} - backbone
    expected = HEADS[family] if auto_class == CLASSIFICATION else {"qa_outputs"}
    if (family, auto_class) == ("modernbert", ANSWERS):
        expected = {"head", "classifier"}
    assert {prefix for prefix in expected if any(name.startswith(f"{prefix}.") for name in head)} == expected
    assert [name for name in head if not name.startswith(tuple(f"{prefix}." for prefix in expected))] == []
    assert backbone == backbone_parameters(model) & {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_number_of_layers_is_the_config_s(family: str, depth: int, tmp_path: Path) -> None:
    import transformers

    key = {"distilbert": "n_layers", "gpt2": "n_layer", "t5": "num_layers"}.get(family, "num_hidden_layers")
    config = transformers.AutoConfig.from_pretrained(tiny.make_checkpoint(tmp_path, family, **{key: depth}))
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    assert len(locate(model).layers) == depth


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_layers_run_from_the_bottom(family: str, model_of: Any, inputs_of: Any) -> None:
    import torch

    model = model_of(family).eval()
    parts = locate(model)
    ran: list[int] = []
    for number, layer in enumerate(parts.layers):
        layer.register_forward_hook(lambda *_, number=number: ran.append(number))
    parts.embeddings[0].register_forward_hook(lambda *_: ran.append(-1))
    with torch.no_grad():
        model(**inputs_of(family))
    assert [number for number in ran if number >= 0] == list(range(len(parts.layers)))
    assert -1 not in ran or ran.index(-1) == 0


@pytest.mark.parametrize("family", [family for family in tiny.FAMILIES if family != "t5"])
def test_longest_input_just_fits(family: str, model_of: Any) -> None:
    import torch

    model = model_of(family).eval()
    limit = most_tokens(model.config)
    assert limit in (64, 65)  # 65 for the tiny RoBERTa, whose padding token is token 0
    ids = torch.full((1, limit + 1), 7)
    with torch.no_grad():
        model(input_ids=ids[:, :-1], attention_mask=torch.ones_like(ids[:, :-1]))
        if family not in ("modernbert", "deberta-v2"):  # whose positions are relative
            with pytest.raises((IndexError, RuntimeError)):
                model(input_ids=ids, attention_mask=torch.ones_like(ids))


def test_t5_has_no_longest_input(model_of: Any) -> None:
    assert most_tokens(model_of("t5").config) is None


def test_every_family_has_its_module_and_a_tiny_checkpoint() -> None:
    room = Path(textxfer.__file__).parent / "modeling" / "anatomy"
    for name in sorted(set(FAMILIES.values())):
        tree = ast.parse((room / f"{name}.py").read_text())
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert {"locate", "last_linear", "most_tokens"} <= functions
    kin = {"xlm-roberta", "camembert"}  # RoBERTa under another name
    assert set(FAMILIES) - kin == set(tiny.FAMILIES)
