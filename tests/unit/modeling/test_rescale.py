"""A temperature in the last layer: what stock transformers then says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from tests.unit.modeling.conftest import ANSWERS, CLASSIFICATION
from textxfer.labels import LabelSet
from textxfer.modeling.build import build
from textxfer.modeling.checkpoint import open_checkpoint
from textxfer.modeling.rescale import CannotRescale, rescale

TEMPERATURES: list[Any] = [0.4, 3.0, (0.5, 1.0, 4.0)]


def model_with_three_labels(folder: Path) -> Any:
    """Gives a classifier whose head has a bias that is not 0, where it has one."""
    import torch

    model: Any = build(open_checkpoint(str(folder)), CLASSIFICATION, LabelSet(("a", "b", "c"))).model
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    return model


@pytest.mark.parametrize("temperature", TEMPERATURES, ids=str)
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_saved_model_gives_logits_divided_by_the_temperature(
    family: str, temperature: Any, checkpoints: Any, inputs_of: Any, tmp_path: Path
) -> None:
    import torch
    import transformers

    model = model_with_three_labels(checkpoints(family)).train()
    inputs = inputs_of(family)
    with torch.no_grad():
        before = model.eval()(**inputs).logits
        model.train()
    others = {name: weight.clone() for name, weight in model.named_parameters()}
    rescale(model, temperature)
    assert model.training
    changed = {name for name, weight in model.named_parameters() if not torch.equal(weight, others[name])}
    assert len(changed) == (1 if family == "gpt2" else 2), "weight and bias of one layer; GPT-2's has no bias"
    model.save_pretrained(tmp_path)
    stock = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        after = stock(**inputs).logits
    torch.testing.assert_close(after, before / torch.tensor(temperature), rtol=1e-6, atol=1e-6)
    if isinstance(temperature, float):
        assert torch.equal(after.argmax(dim=1), before.argmax(dim=1))


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_head_of_another_make_is_left_alone(family: str, checkpoints: Any, model_of: Any) -> None:
    """A layer after the last linear one that its name does not tell of."""
    import torch

    model = model_with_three_labels(checkpoints(family))
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    plain = type(model).forward

    class Squashed(type(model)):  # type: ignore[misc]
        def forward(self, *arguments: Any, **options: Any) -> Any:
            output = plain(self, *arguments, **options)
            output.logits = output.logits.tanh()
            return output

    model.__class__ = Squashed
    with pytest.raises(CannotRescale) as error:
        rescale(model, 2.0)
    assert str(error.value) == "the model changes the output of its head's last linear layer before it gives logits"
    for name, weight in model.named_parameters():
        assert torch.equal(weight, before[name]), name


def test_head_without_a_last_linear_layer(checkpoints: Any, model_of: Any) -> None:
    import torch

    model = model_of("bert")
    model.classifier = torch.nn.Sequential(torch.nn.Linear(16, 2), torch.nn.Tanh())
    with pytest.raises(CannotRescale, match="which is not a linear layer with an output for each label"):
        rescale(model, 2.0)
    with pytest.raises(CannotRescale, match="its head is not the stock one"):
        rescale(model_of("bert", ANSWERS), 2.0)
    model = model_of("bert")
    model.classifier = torch.nn.Linear(16, 5)
    with pytest.raises(CannotRescale, match="out_features=5"):
        rescale(model, 2.0)
