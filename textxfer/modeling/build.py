"""From a checkpoint to a model with the head that a task needs."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textxfer.errors import CheckpointError
from textxfer.labels import LabelSet
from textxfer.modeling.anatomy import backbone_parameters, dropout_fields, last_linear
from textxfer.modeling.checkpoint import Checkpoint, fetch_weights, first_line
from textxfer.modeling.lora import load_adapter
from textxfer.modeling.quiet import quiet_transformers

if TYPE_CHECKING:
    from torch import nn


TASK_HEADS = ("ForMultipleChoice", "ForQuestionAnswering", "ForSequenceClassification", "ForTokenClassification")
"""What ends the names of architectures whose heads were trained for one task."""


@dataclass(frozen=True)
class Built:
    """A model, and what is new in it.

    Attributes:
        model: A stock model with fp32 weights, on the CPU.
        new: Names of the parameters that were not in the checkpoint.
        dropped: Why the checkpoint's own head was not kept, or None.
    """

    model: nn.Module
    new: tuple[str, ...]
    dropped: str | None = None

    @property
    def has_new_logits(self) -> bool:
        """Whether the layer that gives a classifier's logits was not in the checkpoint, or was not kept."""
        weight = last_linear(self.model).weight
        return any(self.model.get_parameter(name) is weight for name in self.new)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of the head, a sentence each."""
        notes = [f"the checkpoint's own head was not kept: {self.dropped}"] if self.dropped is not None else []
        modules = sorted({name.rpartition(".")[0] for name in self.new})
        if modules:
            notes.append(f"new in this model: {', '.join(modules)}")
        else:
            notes.append("the checkpoint's own head is kept")
        return tuple(notes)


def settle_labels(checkpoint: Checkpoint, labels: LabelSet | None) -> LabelSet | None:
    """Gives the labels in the order of the checkpoint's head, where it was trained on the same ones."""
    known = checkpoint.label_names
    if labels is None or known is None or sorted(known) != sorted(labels.names):
        return labels
    return labels.reordered(known)


def build(
    checkpoint: Checkpoint,
    auto_class: str,
    labels: LabelSet | None = None,
    *,
    multi_label: bool = False,
    dropout: float | None = None,
    seed: int = 0,
) -> Built:
    """Loads a checkpoint's weights, fp32, under a native head.

    Args:
        checkpoint: As `open_checkpoint` gives it.
        auto_class: A class of `transformers`, as in "AutoModelForSequenceClassification".
        labels: In the order `settle_labels` gave; None for answers.
        multi_label: Whether the head answers yes or no for each label.
        dropout: Replaces all dropout rates.
        seed: Of the new parameters.

    Raises:
        CheckpointError: The weights cannot be loaded, are no safetensors, or do not fill the backbone.
    """
    import torch

    config = _config_for(checkpoint, labels, multi_label, dropout)
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers are not ours to change
        torch.manual_seed(seed)
        model, info = _load(checkpoint, auto_class, config)
    mismatched = [key[0] if isinstance(key, tuple) else key for key in info["mismatched_keys"]]
    new = {*info["missing_keys"], *mismatched}
    _refuse_holes(checkpoint, model, sorted(new))
    dropped = _why_dropped(checkpoint, type(model).__name__, labels)
    if checkpoint.adapter is not None:
        new -= load_adapter(model, Path(checkpoint.adapter), with_head=dropped is None)
    if dropped is not None:
        new |= _renew_head(model, auto_class, seed)
    return Built(model, tuple(sorted(new)), dropped)


def _config_for(checkpoint: Checkpoint, labels: LabelSet | None, multi_label: bool, dropout: float | None) -> Any:
    config = copy.deepcopy(checkpoint.config)
    config.pad_token_id = checkpoint.tokenizer.pad_token_id
    config.use_cache = False  # nothing is generated
    if config.model_type == "t5" and getattr(config, "decoder_start_token_id", None) is None:
        config.decoder_start_token_id = config.pad_token_id
    for name in dropout_fields(config) if dropout is not None else ():
        setattr(config, name, dropout)
    if labels is None:
        config.num_labels = 2  # a span's first and last token
        config.problem_type = None
    else:
        config.num_labels = len(labels)
        config.id2label, config.label2id = labels.id2label, labels.label2id
        config.problem_type = "multi_label_classification" if multi_label else "single_label_classification"
    return config


def _load(checkpoint: Checkpoint, auto_class: str, config: Any) -> tuple[Any, Any]:
    import torch
    import transformers
    from safetensors import SafetensorError

    try:
        with quiet_transformers():
            fetch_weights(checkpoint)
            loaded: tuple[Any, Any] = getattr(transformers, auto_class).from_pretrained(
                checkpoint.location,
                config=config,
                revision=checkpoint.revision or "main",
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except SafetensorError as error:
        reason = f"its weights are damaged ({first_line(error)}); copy or download them again"
        raise CheckpointError(f"{checkpoint.id}: {reason}") from error
    except OSError as error:
        raise CheckpointError(f"{checkpoint.id}: its weights cannot be loaded: {first_line(error)}") from error
    except ValueError as error:
        raise CheckpointError(f"{checkpoint.id}: has no {auto_class}: {first_line(error)}") from error
    return loaded


def _refuse_holes(checkpoint: Checkpoint, model: nn.Module, new: Sequence[str]) -> None:
    """Stops where a part of the backbone would start from nothing; that is no transfer."""
    backbone = backbone_parameters(model)
    holes = [name for name in new if name in backbone]
    if holes:
        raise CheckpointError(
            f"{checkpoint.id}: its weights do not fill the backbone that its config.json describes: {len(holes)} "
            f"parameters are missing or have another shape ({', '.join(holes[:3])}{', ...' if len(holes) > 3 else ''})"
        )


def _why_dropped(checkpoint: Checkpoint, architecture: str, labels: LabelSet | None) -> str | None:
    """Gives why a head that the checkpoint brings must not be kept, though its weights may have the right names."""
    if checkpoint.architecture != architecture and checkpoint.architecture.endswith(TASK_HEADS):
        return f"it is of a {checkpoint.architecture}"
    known = checkpoint.label_names
    if labels is None or known is None or known == labels.names:
        return None
    return f"it knows the labels {_listed(known)}, not {_listed(labels.names)}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _renew_head(model: Any, auto_class: str, seed: int) -> set[str]:
    """Gives everything outside the backbone new weights, as a head has that was never trained; gives their names."""
    import torch
    import transformers

    torch.manual_seed(seed)
    fresh = getattr(transformers, auto_class).from_config(model.config, dtype=torch.float32)
    kept, prefix = backbone_parameters(model), f"{model.base_model_prefix}."  # a pooler has the prefix, and is kept too
    new = {
        name: weight for name, weight in fresh.named_parameters() if name not in kept and not name.startswith(prefix)
    }
    with torch.no_grad():
        for name, weight in new.items():
            model.get_parameter(name).copy_(weight)
    return set(new)
