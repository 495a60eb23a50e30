"""LoRA adapters in peft's own files: written beside a model, read into the checkpoint that they belong to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textxfer.errors import CheckpointError
from textxfer.modeling.anatomy import backbone_parameters
from textxfer.modeling.checkpoint import ADAPTER_CONFIG, first_line
from textxfer.modeling.lora import Lora, Updates, merge_lora, peft_config
from textxfer.modeling.saving import write_folder

if TYPE_CHECKING:
    import torch
    from torch import nn

WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
"""Before the names of weights in an adapter's file, as peft has it."""
UPDATE = ".lora_"
"""Between the name of a module and what updates it."""
TASK_TYPES = {"AutoModelForSequenceClassification": "SEQ_CLS", "AutoModelForQuestionAnswering": "QUESTION_ANS"}
SCALES = ("use_rslora", "use_dora", "rank_pattern", "alpha_pattern")
"""Fields of an adapter_config.json, beside rank and alpha, by which updates become weights."""
FOREIGN = (
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "layer_replication",
    "lora_bias",
    "monteclora_config",
    "target_parameters",
    "trainable_token_indices",
    "velora_config",
)
"""Fields that make updates of another kind, as do those that begin with `use_`."""
STARTS = ("eva", "gaussian", "orthogonal")
"""Values of `init_lora_weights`, beside true and false, that leave the base as it is."""


@dataclass(frozen=True)
class AdapterConfig:
    """What an adapter's adapter_config.json says.

    Attributes:
        base: The checkpoint that it belongs to, as `from_pretrained` takes it.
        revision: Of the base.
        lora: How its updates were made.
        scales: Fields of `SCALES`.
        has_head: Whether it brings more than updates.
    """

    base: str
    revision: str | None
    lora: Lora
    scales: Mapping[str, Any]
    has_head: bool


def read_config(name: str, folder: Path) -> AdapterConfig:
    """Reads what an adapter says of itself.

    Args:
        name: As the user named it.
        folder: With its adapter_config.json.

    Raises:
        CheckpointError: It is damaged, or of a kind that cannot be merged here.
    """
    merge = "merge it into its base by peft (`merge_and_unload`), and name the merged model"
    try:
        told = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        kind = told["peft_type"]
        if kind != "LORA":
            raise CheckpointError(f"{name}: is an adapter of the kind {kind}, and textxfer loads LORA; {merge}")
        foreign = ", ".join(_foreign(told))
        if foreign:
            raise CheckpointError(f"{name}: its {ADAPTER_CONFIG} sets {foreign}, which textxfer does not do; {merge}")
        return AdapterConfig(
            base=str(told["base_model_name_or_path"] or ""),
            revision=told.get("revision"),
            lora=Lora(int(told["r"]), float(told["lora_alpha"])),
            scales={key: told[key] for key in SCALES if told.get(key)},
            has_head=bool(told.get("modules_to_save")),
        )
    except KeyError as error:
        raise CheckpointError(f"{name}: its {ADAPTER_CONFIG} does not say {error}") from error
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"{name}: its {ADAPTER_CONFIG} cannot be read: {first_line(error)}") from error


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
    config = peft_config(model, updates.modules, lora)
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
        folder: As `save_adapter` or peft wrote it.
        with_head: Whether the head is taken, too, where the model has one of that kind.

    Returns:
        Names of the head's parameters that were filled.

    Raises:
        CheckpointError: It is damaged, or does not fit the model.
    """
    import peft
    import torch

    told, known, own = read_config(str(folder), folder), _parameters(model), backbone_parameters(model)
    trained = [parameter for parameter in known.values() if parameter.requires_grad]
    tensors = {_name_in(model, saved): value for saved, value in _tensors(folder).items()}
    updates = {name: value for name, value in tensors.items() if UPDATE in name}
    filled = {name for name in tensors if name in own or (with_head and name in known)}
    modules = sorted({name.partition(UPDATE)[0] for name in updates})
    there = {name for name, _ in model.named_modules()}
    if strangers := [name for name in modules if name not in there]:
        raise CheckpointError(f"{folder}: updates modules that its base does not have ({', '.join(strangers[:3])})")
    try:
        if modules:
            peft.inject_adapter_in_model(peft_config(model, modules, told.lora, **told.scales), model)
            found: Any = peft.set_peft_model_state_dict(model, updates)
            if strangers := found.unexpected_keys:
                raise CheckpointError(f"{folder}: has updates that textxfer does not know ({strangers[0]})")
        with torch.no_grad():
            for name in filled:
                known[name].copy_(tensors[name])
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(f"{folder}: does not fit its base, {told.base}: {first_line(error)}") from error
    merge_lora(model)
    for parameter in trained:  # peft has frozen all but the updates
        parameter.requires_grad_(True)
    return filled - own


def _foreign(told: Mapping[str, Any]) -> Iterator[str]:
    """Gives the fields by which an adapter is more than low-rank updates, or its base other than the checkpoint."""
    for key, value in told.items():
        if value and (key in FOREIGN or (key.startswith("use_") and key not in SCALES)):
            yield f"`{key}`"
    if told.get("bias", "none") != "none":
        yield "`bias`"
    start = told.get("init_lora_weights", True)
    if isinstance(start, str) and start not in STARTS:
        yield f"`init_lora_weights: {start}`"


def _tensors(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(folder / WEIGHTS)
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder}: has no {WEIGHTS}; save the adapter as safetensors") from error
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: its {WEIGHTS} is damaged ({first_line(error)}); copy it again") from error


def _parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    return dict(model.named_parameters(remove_duplicate=False))


def _name_in(model: nn.Module, saved: str) -> str:
    """Gives the name that a saved tensor has in a model; one that was saved of a bare backbone has no prefix."""
    bare = saved.removeprefix(PREFIX)
    inside = f"{model.base_model_prefix}.{bare}"
    top = bare.partition(".")[0]
    below = getattr(model, str(model.base_model_prefix), None)
    return inside if below is not None and not hasattr(model, top) and hasattr(below, top) else bare


def _head_modules(model: nn.Module, head: Mapping[str, torch.Tensor]) -> list[str]:
    """Gives the highest modules that hold nothing but the head's parameters."""
    found: list[str] = []
    for name, module in model.named_modules():
        own = [f"{name}.{key}" for key, _ in module.named_parameters()]
        inside = any(name.startswith(f"{above}.") for above in found)
        if name and own and all(key in head for key in own) and not inside:
            found.append(name)
    return found
