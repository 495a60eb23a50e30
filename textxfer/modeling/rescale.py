"""Folding a temperature into a classifier's last linear layer, so that whoever loads the model sees its effect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from textxfer.modeling.anatomy import last_linear

if TYPE_CHECKING:
    import torch


class CannotRescale(Exception):
    """The logits are not what a last linear layer gives. The model is as it was, and can be used as it is."""


def rescale(model: torch.nn.Module, temperature: float | Sequence[float]) -> None:
    """Divides a classifier's logits by a temperature for good: its last linear layer's weight and bias, in place.

    Whether the logits then are what they should be is tried out on one short text.

    Args:
        model: With a classification head of C labels; it is left in the mode it was in.
        temperature: Above 0; one for all labels, or C of them.

    Raises:
        CannotRescale: The head is of another make; the model is as it was.
    """
    import torch

    if hasattr(model, "temperature"):  # no layer gives its logits, so it divides them itself
        own: Any = model
        own.temperature *= temperature
        return
    layer = _find(model)
    divisor = torch.as_tensor(temperature, dtype=torch.float64, device=layer.weight.device)
    assert divisor.shape in ((), (layer.out_features,))
    assert bool((divisor > 0).all())
    was_training = model.training
    model.eval()
    with torch.no_grad():
        before = _logits(model)
        parameters = [parameter for parameter in (layer.weight, layer.bias) if parameter is not None]
        kept = [parameter.clone() for parameter in parameters]
        for parameter in parameters:
            parameter.copy_(parameter.double() / divisor.reshape(-1, *(1,) * (parameter.ndim - 1)))
        expected = before / divisor
        right = torch.allclose(_logits(model), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
        if not right:
            for parameter, old in zip(parameters, kept, strict=True):
                parameter.copy_(old)
    model.train(was_training)
    if not right:
        raise CannotRescale("the model changes the output of its head's last linear layer before it gives logits")


def _find(model: torch.nn.Module) -> torch.nn.Linear:
    import torch

    try:
        layer = last_linear(model)
    except AttributeError:
        raise CannotRescale("its head is not the stock one, nor one that ends in a linear layer") from None
    if not isinstance(layer, torch.nn.Linear) or layer.out_features != model.config.num_labels:  # type: ignore[union-attr]
        raise CannotRescale(f"its head ends in {layer}, which is not a linear layer with an output for each label")
    return layer


def _logits(model: Any) -> torch.Tensor:
    """Gives the logits (1, C) of a text of three tokens; T5 wants its end token."""
    import torch

    end = model.config.eos_token_id
    ids = torch.tensor([[1, 2, end if isinstance(end, int) else 1]], device=next(model.parameters()).device)
    logits: torch.Tensor = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    return logits.double()
