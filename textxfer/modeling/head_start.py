"""A new head that is ready for a probe: what is below its last linear layer loses nothing, and that layer is given."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from textxfer.heads import HeadChoice
from textxfer.modeling.anatomy import last_linear
from textxfer.modeling.probe import Probe

if TYPE_CHECKING:
    import numpy as np
    import torch

GAIN = 0.3
"""Of a new layer below the last: what it gives stays where tanh is nearly a line."""
RIDGE = 1e-6


def open_up(model: Any, new: Iterable[str], seed: int) -> None:
    """Gives new layers below the head's last one orthogonal weights, so that as little as can be is lost on the way.

    Small random weights, as stock models have, squeeze some directions to nothing, and the probe sees less.

    Args:
        model: With a head.
        new: Names of the parameters that were not in the checkpoint.
        seed: Of the weights.
    """
    import torch

    last, random = last_linear(model), torch.Generator().manual_seed(seed)
    names = set(new)
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and module is not last and f"{name}.weight" in names:
            torch.nn.init.orthogonal_(module.weight, GAIN, generator=random)


def is_one_layer(choice: HeadChoice, hidden_size: int, num_labels: int) -> bool:
    """Says whether a head's only weights are those of its last linear layer: a probe then leaves nothing to learn.

    Args:
        choice: The head.
        hidden_size: Of the backbone's states.
        num_labels: How many logits.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        head = choice.make(hidden_size, num_labels)
    last = getattr(head, "last", None)
    known = {id(parameter) for parameter in last.parameters()} if last is not None else set()
    return all(id(parameter) in known for parameter in head.parameters())


def install(probe: Probe, layer: torch.nn.Linear, features: np.ndarray) -> None:
    """Gives a linear layer the weight and bias of a probe.

    Where the layer has no bias (GPT-2), the probe's goes into the weight, along the direction in which all features are
    alike.

    Args:
        probe: For as many labels as the layer has outputs.
        layer: Changed in place.
        features: That the probe was fitted on (N, D).
    """
    import torch

    weight = torch.from_numpy(probe.weight)
    if layer.bias is None:
        weight = torch.from_numpy(without_bias(probe, features))
    with torch.no_grad():
        layer.weight.copy_(weight)
        if layer.bias is not None:
            layer.bias.copy_(torch.from_numpy(probe.bias))


def without_bias(probe: Probe, features: np.ndarray) -> np.ndarray:
    """Gives a weight (C, D) whose logits without a bias are as near as can be to the probe's."""
    import numpy as np

    inputs = features.astype(np.float64)
    square = inputs.T @ inputs
    square[np.diag_indices_from(square)] += RIDGE * max(float(np.trace(square)) / len(square), 1e-12)
    alike = np.linalg.solve(square, inputs.sum(axis=0))
    weight: np.ndarray = (probe.weight + np.outer(probe.bias, alike)).astype(np.float32)
    return weight
