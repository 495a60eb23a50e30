"""LoRA (Hu et al. 2022): low-rank updates of frozen weights, by peft; merged into the weights when training has ended.

The stock model keeps its shape: peft puts its layers in the places of the ones they update, so freezing, the frozen
prefix and views of a model work as they do without.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from textxfer import registry
from textxfer.errors import MissingExtra, RecipeError
from textxfer.modeling.anatomy import attention_projections, backbone_parameters, locate

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Lora:
    """How a model is adapted.

    Attributes:
        rank: Of the updates.
        alpha: Updates are multiplied by alpha / rank.
        dropout: On what goes into them.
        targets: Names of the modules that are updated, as in "query"; None: the attention's queries and values.
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    targets: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Updates:
    """Updates, taken out of a model.

    Attributes:
        modules: Names of the modules that had them.
        tensors: By the names that they had in the model.
    """

    modules: tuple[str, ...]
    tensors: Mapping[str, torch.Tensor]


def check_peft(what: str = "lora") -> None:
    """Makes sure that peft is installed.

    Args:
        what: Needs it.

    Raises:
        MissingExtra: It is not.
    """
    if importlib.util.find_spec("peft") is None:  # importing it takes seconds
        raise MissingExtra(f"{what}: needs the package peft; `pip install textxfer[lora]` brings it")


def add_lora(model: nn.Module, lora: Lora, frozen_layers: int | Literal["all"] = 0, seed: int = 0) -> int:
    """Puts updates into the layers above the lowest ones; all of the backbone but them keeps its weights.

    Args:
        model: Stock, with a head, which is trained as before.
        lora: How.
        frozen_layers: Lowest layers that get none.
        seed: Of the updates; they begin as none at all.

    Returns:
        The number of modules that have updates.

    Raises:
        RecipeError: No module bears one of the names, in the layers that are not frozen; a line for each.
    """
    import peft
    import torch

    chosen = modules_to_update(model, lora.targets, frozen_layers)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    trained -= backbone_parameters(model)
    config = peft_config(model, chosen, lora)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        peft.inject_adapter_in_model(config, model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trained or _is_update(name))
    return len(chosen)


def modules_to_update(
    model: nn.Module, targets: Sequence[str] | None = None, frozen_layers: int | Literal["all"] = 0
) -> list[str]:
    """Gives the full names of the modules that get updates.

    Args:
        model: Stock, with a head; weights are not looked at.
        targets: See `Lora`.
        frozen_layers: Lowest layers that get none.

    Raises:
        RecipeError: No module bears one of the names, in the layers that are not frozen; a line for each.
    """
    parts = locate(model)
    count = len(parts.layers) if frozen_layers == "all" else frozen_layers
    above = [*parts.layers[count:], *(() if frozen_layers == "all" else parts.top)]
    inside = {id(module): None for part in above for module in part.modules()}
    updatable = {name: module for name, module in model.named_modules() if id(module) in inside and _is_linear(module)}
    wanted = targets or attention_projections(model.config)
    last = {name: name.rpartition(".")[2] for name in updatable}
    there = list(dict.fromkeys(last.values()))
    if not there:
        raise RecipeError("lora: all layers are frozen, so that there is nothing to update; see freeze.layers")
    strangers = [target for target in targets or () if target not in there]
    if strangers:
        raise RecipeError(*(f"lora.targets: {registry.unknown(name, there, 'module')}" for name in strangers))
    chosen = [name for name in updatable if last[name] in wanted]
    assert chosen, "a family's projections are among its modules"
    return chosen


def merge_lora(model: nn.Module) -> Updates:
    """Adds the updates to the weights that they belong to, and puts the stock layers back; the outputs stay.

    Returns:
        The updates, for those who want them apart.
    """
    updates = {name: value.detach().cpu() for name, value in model.named_parameters() if _is_update(name)}
    layers = list(_modules_with_updates(model))
    for name, layer in layers:
        parent, _, own = name.rpartition(".")
        layer.merge(safe_merge=True)
        setattr(model.get_submodule(parent), own, layer.get_base_layer())
    return Updates(tuple(name for name, _ in layers), updates)


def peft_config(model: nn.Module, modules: Sequence[str], lora: Lora, **options: Any) -> Any:
    """Gives a `peft.LoraConfig`.

    Args:
        model: Stock, without updates.
        modules: Full names of those that have updates, one at least.
        lora: How they are made.
        **options: More of its fields.
    """
    import peft
    from transformers.pytorch_utils import Conv1D

    whole = math.isclose(lora.alpha, round(lora.alpha))
    return peft.LoraConfig(
        r=lora.rank,
        lora_alpha=round(lora.alpha) if whole else lora.alpha,  # type: ignore[arg-type]
        lora_dropout=lora.dropout,
        target_modules=list(modules),
        fan_in_fan_out=isinstance(model.get_submodule(modules[0]), Conv1D),  # GPT-2's are the other way round
        **options,
    )


def _is_linear(module: nn.Module) -> bool:
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, (nn.Linear, Conv1D))


def _is_update(name: str) -> bool:
    return ".lora_A." in name or ".lora_B." in name


def _modules_with_updates(model: nn.Module) -> Iterator[tuple[str, Any]]:
    from peft.tuners.lora import LoraLayer

    yield from ((name, module) for name, module in model.named_modules() if isinstance(module, LoraLayer))
