"""From a checkpoint to a model with the head that a task needs."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textxfer.errors import CheckpointError
from textxfer.labels import LabelSet
from textxfer.modeling.anatomy import dropout_fields
from textxfer.modeling.checkpoint import NO_SAFETENSORS, Checkpoint, first_line
from textxfer.modeling.quiet import quiet_transformers

if TYPE_CHECKING:
    from torch import nn


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
        CheckpointError: The weights cannot be loaded, or are no safetensors.
    """
    import torch
    import transformers

    config = copy.deepcopy(checkpoint.config)
    config.pad_token_id = checkpoint.tokenizer.pad_token_id
    if config.model_type == "t5" and getattr(config, "decoder_start_token_id", None) is None:
        config.decoder_start_token_id = config.pad_token_id
    for name in dropout_fields(config) if dropout is not None else ():
        setattr(config, name, dropout)
    dropped = None
    if labels is not None:
        dropped = _why_dropped(checkpoint, labels)
        config.num_labels = len(labels)
        config.id2label, config.label2id = labels.id2label, labels.label2id
        config.problem_type = "multi_label_classification" if multi_label else "single_label_classification"
    torch.manual_seed(seed)
    loader = getattr(transformers, auto_class)
    try:
        with quiet_transformers():
            model, info = loader.from_pretrained(
                checkpoint.location,
                config=config,
                revision=checkpoint.revision or "main",
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                key_mapping=_without_head(checkpoint) if dropped else None,
            )
    except OSError as error:
        reason = NO_SAFETENSORS if "safetensors" in str(error) else f"cannot be loaded: {first_line(error)}"
        raise CheckpointError(f"{checkpoint.id}: {reason}") from error
    except ValueError as error:
        raise CheckpointError(f"{checkpoint.id}: has no {auto_class}: {first_line(error)}") from error
    mismatched = [key[0] if isinstance(key, tuple) else key for key in info["mismatched_keys"]]
    return Built(model, tuple(sorted({*info["missing_keys"], *mismatched})), dropped)


def _why_dropped(checkpoint: Checkpoint, labels: LabelSet) -> str | None:
    known = checkpoint.label_names
    if known is None or known == labels.names:
        return None
    return f"its head knows the labels {', '.join(known[:10])}, not {', '.join(labels.names[:10])}"


def _without_head(checkpoint: Checkpoint) -> dict[str, str]:
    """Renames the parameters outside the backbone, so that loading takes them for missing and makes new ones."""
    import transformers

    architecture = getattr(transformers, checkpoint.config.architectures[0])
    return {rf"^(?!{architecture.base_model_prefix}\.)": "dropped."}
