"""AdamW over the parameters that are trained, each at its share of the learning rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from textxfer.errors import RecipeError
from textxfer.modeling.anatomy import locate

if TYPE_CHECKING:
    import torch


def adamw(
    model: torch.nn.Module,
    learning_rate: float,
    weight_decay: float = 0.01,
    *,
    layer_decay: float = 1.0,
    head_learning_rate: float | None = None,
) -> torch.optim.AdamW:
    """Makes a fused AdamW (Loshchilov & Hutter 2019) over trainable parameters; norms and biases do not decay.

    Steps are counted for each parameter apart: one that has no gradient for a while rests, and neither it nor its
    moments move; one that has its first gradient late begins with its own first step.

    Args:
        model: A stock model. Frozen parameters are left out, so that they cost nothing.
        learning_rate: The highest; the loop sets each step's, times a group's `share`.
        weight_decay: For parameters of two or more dimensions.
        layer_decay: Each layer has this share of the rate of the one above it (Howard & Ruder 2018, section 3.2): the
            topmost and what lies between it and the head once, the embeddings the most often. 1: all have the same.
        head_learning_rate: That of the head; None: `learning_rate`.

    Raises:
        RecipeError: `layer_decay` is below 1 and nothing but the head is trained.
    """
    import torch

    shares = {} if layer_decay == 1 else _shares(model, layer_decay)
    of_head = 1.0 if head_learning_rate is None else head_learning_rate / learning_rate
    if head_learning_rate is not None and not shares:
        shares = _shares(model, 1.0)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if layer_decay != 1 and not any(id(parameter) in shares for parameter in trained):
        raise RecipeError("train.layer_decay: no layer is trained, so nothing has its rate by it; leave it out")
    groups: dict[tuple[float, bool], list[torch.nn.Parameter]] = {}
    for decays in (True, False):
        for parameter in trained:
            if (parameter.ndim >= 2) == decays:
                share = shares.get(id(parameter), of_head)
                groups.setdefault((share, decays), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "weight_decay": weight_decay if decays else 0.0, "share": share}
            for (share, decays), parameters in groups.items()
        ],
        lr=learning_rate,
        fused=True,
    )


def rates(optimizer: torch.optim.Optimizer, rate: float) -> list[float]:
    """Gives the learning rate of each group of an optimizer that `adamw` made, where the whole rate is `rate`."""
    return [rate * group.get("share", 1.0) for group in optimizer.param_groups]


def rates_in_words(model: torch.nn.Module, optimizer: torch.optim.Optimizer, rate: float) -> str | None:
    """Says which part of a model learns at which rate now; None where all learn at the same."""
    found = {
        id(parameter): group_rate
        for group, group_rate in zip(optimizer.param_groups, rates(optimizer, rate), strict=True)
        for parameter in group["params"]
        if parameter.requires_grad
    }
    if len(set(found.values())) < 2:
        return None
    told = []
    for part, modules in _parts(model).items():
        own = {found[id(p)] for module in modules for p in module.parameters() if id(p) in found}
        told += [f"{part} {own.pop():.2e}"] if own else []
    backbone = {id(p) for modules in _parts(model).values() for module in modules for p in module.parameters()}
    told += [f"head {value:.2e}" for key, value in found.items() if key not in backbone][:1]
    return f"highest learning rates: {', '.join(told)}"


def _parts(model: torch.nn.Module) -> Mapping[str, list[torch.nn.Module]]:
    """Gives the parts of a backbone by name, bottom to top."""
    parts = locate(model)
    found = {"embeddings": list(parts.embeddings)}
    found |= {f"layer {number}": [layer] for number, layer in enumerate(parts.layers)}
    return found | ({"top of the backbone": list(parts.top)} if parts.top else {})


def _shares(model: torch.nn.Module, decay: float) -> dict[int, float]:
    """Gives the share of each parameter of the backbone, by its `id`; one that several parts share is the lowest's."""
    parts = locate(model)
    depth = len(parts.layers)
    placed = [(depth + 1, parts.embeddings)]
    placed += [(depth - number, [layer]) for number, layer in enumerate(parts.layers)]
    placed += [(1, parts.top)]
    shares: dict[int, float] = {}
    for distance, modules in placed:
        for module in modules:
            for parameter in module.parameters():
                shares.setdefault(id(parameter), decay**distance)
    return shares
