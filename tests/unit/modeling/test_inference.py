"""A model made ready to predict on a CPU gives what the stock model gives."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests import tiny
from textxfer.modeling import inference
from textxfer.modeling.anatomy import pooled_only
from textxfer.modeling.cpu_attention import fast_attention
from textxfer.modeling.inference import for_inference

HEADS = ("AutoModelForSequenceClassification", "AutoModelForQuestionAnswering")


def logits(model: Any, inputs: dict[str, Any], *, bf16: bool = False, fast: bool = False) -> torch.Tensor:
    model.eval()
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        if fast:
            with fast_attention():
                output = model(**inputs)
        else:
            output = model(**inputs)
    if "logits" in output:
        found: torch.Tensor = output.logits.float()
        return found
    mask = inputs["attention_mask"]  # what stands on padding is never looked at
    return torch.stack([output.start_logits * mask, output.end_logits * mask]).float()


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_fp32_logits_are_the_stock_ones(
    family: str, head: str, model_of: Any, inputs_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "LARGE", 1)
    model, inputs = model_of(family, head), inputs_of(family)
    ready = for_inference(pooled_only(model))
    assert (logits(model, inputs) - logits(ready, inputs, fast=True)).abs().max() < 1e-5


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_bf16_logits_are_as_near_to_fp32_as_autocast_is(family: str, head: str, model_of: Any, inputs_of: Any) -> None:
    model, inputs = model_of(family, head), inputs_of(family)
    exact = logits(model, inputs)
    ready = for_inference(pooled_only(model), bf16=True)
    error = (logits(ready, inputs, bf16=True, fast=True) - exact).abs().max()
    assert error <= 2 * (logits(model, inputs, bf16=True) - exact).abs().max() + 2e-3


def test_products_are_one_dnn_s_where_they_are_large(model_of: Any, inputs_of: Any) -> None:
    def count(model: Any, least: int) -> int:
        with pytest.MonkeyPatch.context() as patch, torch.profiler.profile() as profile:
            patch.setattr(inference, "LARGE", least)
            logits(model, inputs_of("bert"))
        return sum(event.count for event in profile.key_averages() if event.key == "aten::mkldnn_linear")

    model = model_of("bert")
    layers = sum(type(module) is torch.nn.Linear for module in model.modules())
    assert count(model, 1) == 0
    assert count(for_inference(model), 1) == layers
    assert count(for_inference(model), 1 << 20) == 0


def test_the_model_stays_as_it_is(model_of: Any, inputs_of: Any) -> None:
    model = model_of("bert")
    modules, weights = dict(model.named_modules()), {name: value.clone() for name, value in model.state_dict().items()}
    for bf16 in (False, True):
        logits(for_inference(model, bf16=bf16), inputs_of("bert"), bf16=bf16)
    assert dict(model.named_modules()) == modules
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_fp32_needs_no_second_copy_of_the_weights(model_of: Any) -> None:
    model = model_of("bert")
    own = {id(parameter) for parameter in model.parameters()}
    assert {id(parameter) for parameter in for_inference(model).parameters()} == own


def test_weights_of_another_type_are_left_alone(model_of: Any) -> None:
    model = model_of("bert").double()
    assert for_inference(model) is model
