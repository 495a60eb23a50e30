"""LoRA (Hu et al. 2022): low-rank updates of frozen weights, by peft; merged into the weights when training has ended.

The stock model keeps its shape: peft puts its layers in the places of the ones they update, so freezing, the frozen
prefix and views of a model work as they do without.
"""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from textxfer import registry
from textxfer.errors import MissingExtra, RecipeError
from textxfer.modeling.anatomy import attention_projections, backbone_parameters, locate
from textxfer.modeling.checkpoint import ADAPTER_CONFIG
from textxfer.modeling.saving import write_folder

if TYPE_CHECKING:
    import torch
    from torch import nn

WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
"""Before the names of weights in an adapter's file, as peft has it."""
TASK_TYPES = {"AutoModelForSequenceClassification": "SEQ_CLS", "AutoModelForQuestionAnswering": "QUESTION_ANS"}


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
        RecipeError: No module bears one of the names, in the layers that are not frozen.
    """
    import peft
    import torch

    chosen = _chosen(model, lora, frozen_layers)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    trained -= backbone_parameters(model)
    config = _config(model, lora, chosen)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        peft.inject_adapter_in_model(config, model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trained or _is_update(name))
    return len(chosen)


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


def save_adapter(
    model: nn.Module,
    updates: Updates,
    lora: Lora,
    folder: Path,
    *,
    base: str,
    revision: str | None,
    auto_class: str,
    tokenizer: Any,
) -> None:
    """Writes updates and head as peft has them, all or nothing.

    Args:
        model: Without the updates.
        updates: As `merge_lora` gave them.
        lora: How they were made.
        folder: Where to.
        base: The checkpoint they belong to, as `from_pretrained` takes it.
        revision: Of the checkpoint.
        auto_class: Of `transformers`, as in "AutoModelForSequenceClassification".
        tokenizer: Goes with it, as the model's configuration does.
    """
    from safetensors.torch import save_file

    own = backbone_parameters(model)
    head = {name: value.detach().cpu() for name, value in model.named_parameters() if name not in own}
    tensors = {name.replace(".default.", "."): value for name, value in updates.tensors.items()} | head
    config = _config(model, lora, updates.modules)
    config.task_type = TASK_TYPES.get(auto_class)
    config.modules_to_save = _head_modules(model, head)
    config.base_model_name_or_path, config.revision = base, revision
    config.inference_mode = True

    def write(temporary: Path) -> None:
        named = {PREFIX + name: value.contiguous() for name, value in tensors.items()}
        save_file(named, temporary / WEIGHTS, metadata={"format": "pt"})
        config.save_pretrained(temporary)
        model.config.save_pretrained(temporary)  # type: ignore[union-attr, operator]
        tokenizer.save_pretrained(temporary)

    write_folder(folder, write)


def load_adapter(model: nn.Module, folder: Path, with_head: bool = True) -> set[str]:
    """Puts a saved adapter's updates and head into a model, merged.

    Args:
        model: Stock, with the checkpoint's weights that the adapter belongs to.
        folder: As `save_adapter` wrote it.
        with_head: Whether the head is taken, too; then the model's must have its shape.

    Returns:
        Names of the head's parameters that were filled.
    """
    import peft
    import torch
    from safetensors.torch import load_file

    told = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    lora = Lora(told["r"], told["lora_alpha"], 0.0)
    peft.inject_adapter_in_model(_config(model, lora, told["target_modules"]), model)
    known = dict(model.named_parameters())
    filled = set()
    with torch.no_grad():
        for saved, value in load_file(folder / WEIGHTS).items():
            bare = saved.removeprefix(PREFIX)
            name = f"{bare.removesuffix('.weight')}.default.weight" if ".lora_" in bare else bare
            if _is_update(name) or with_head:
                known[name].copy_(value)
                filled.add(name)
    merge_lora(model)
    return {name for name in filled if not _is_update(name)}


def _config(model: nn.Module, lora: Lora, modules: Sequence[str]) -> Any:
    import peft
    from transformers.pytorch_utils import Conv1D

    whole = math.isclose(lora.alpha, round(lora.alpha))
    return peft.LoraConfig(
        r=lora.rank,
        lora_alpha=round(lora.alpha) if whole else lora.alpha,  # type: ignore[arg-type]
        lora_dropout=lora.dropout,
        target_modules=list(modules),
        fan_in_fan_out=isinstance(model.get_submodule(modules[0]), Conv1D),  # GPT-2's are the other way round
    )


def _chosen(model: nn.Module, lora: Lora, frozen_layers: int | Literal["all"]) -> list[str]:
    """Gives the full names of the modules to update."""
    parts = locate(model)
    count = len(parts.layers) if frozen_layers == "all" else frozen_layers
    above = [*parts.layers[count:], *(() if frozen_layers == "all" else parts.top)]
    inside = {id(module): None for part in above for module in part.modules()}
    updatable = {name: module for name, module in model.named_modules() if id(module) in inside and _is_linear(module)}
    wanted = lora.targets or attention_projections(model.config)
    last = {name: name.rpartition(".")[2] for name in updatable}
    there = list(dict.fromkeys(last.values()))
    if not there:
        raise RecipeError("lora: all layers are frozen, so that there is nothing to update; see freeze.layers")
    strangers = [target for target in lora.targets or () if target not in there]
    if strangers:
        raise RecipeError(f"lora.targets: {registry.unknown(strangers[0], there, 'module')}")
    chosen = [name for name in updatable if last[name] in wanted]
    assert chosen, "a family's projections are among its modules"
    return chosen


def _is_linear(module: nn.Module) -> bool:
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, (nn.Linear, Conv1D))


def _is_update(name: str) -> bool:
    return ".lora_A." in name or ".lora_B." in name


def _modules_with_updates(model: nn.Module) -> Iterator[tuple[str, Any]]:
    from peft.tuners.lora import LoraLayer

    yield from ((name, module) for name, module in model.named_modules() if isinstance(module, LoraLayer))


def _head_modules(model: nn.Module, head: Mapping[str, torch.Tensor]) -> list[str]:
    """Gives the highest modules that hold nothing but the head's parameters."""
    found: list[str] = []
    for name, module in model.named_modules():
        own = [f"{name}.{key}" for key, _ in module.named_parameters()]
        inside = any(name.startswith(f"{above}.") for above in found)
        if name and own and all(key in head for key in own) and not inside:
            found.append(name)
    return found
