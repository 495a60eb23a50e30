"""From a checkpoint to a model with the head that a task needs."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textxfer.errors import CheckpointError
from textxfer.heads import HeadChoice
from textxfer.labels import LabelSet
from textxfer.modeling.adapter import load_adapter, read_config
from textxfer.modeling.anatomy import backbone_class, backbone_parameters, dropout_fields, last_linear, strip
from textxfer.modeling.checkpoint import Checkpoint, fetch_weights, first_line
from textxfer.modeling.head_files import load_head
from textxfer.modeling.quiet import quiet_transformers

if TYPE_CHECKING:
    from torch import nn


TASK_HEADS = ("ForMultipleChoice", "ForQuestionAnswering", "ForSequenceClassification", "ForTokenClassification")
"""What ends the names of architectures whose heads were trained for one task."""


@dataclass(frozen=True)
class Built:
    """A model, and what is new in it.

    Attributes:
        model: A stock model, or a `Headed`, with fp32 weights, on the CPU.
        new: Names of the parameters that were not in the checkpoint.
        dropped: Why the checkpoint's own head was not kept, or None.
    """

    model: nn.Module
    new: tuple[str, ...]
    dropped: str | None = None

    @property
    def has_new_logits(self) -> bool:
        """Whether a linear layer gives a classifier's logits that was not in the checkpoint, or was not kept."""
        try:
            weight = last_linear(self.model).weight
        except AttributeError:
            return False
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


def keeps_head(checkpoint: Checkpoint, labels: LabelSet | None, head: HeadChoice | None = None) -> bool:
    """Says whether a checkpoint brings the head that a model is to have, trained for the same labels.

    Args:
        checkpoint: As `open_checkpoint` gives it.
        labels: In the order `settle_labels` gave; None for answers, whose heads bear no names.
        head: That the model is to have; None: the native one.
    """
    return _same(checkpoint.head, head) and labels is not None and checkpoint.label_names == labels.names


def build(
    checkpoint: Checkpoint,
    auto_class: str,
    labels: LabelSet | None = None,
    *,
    head: HeadChoice | None = None,
    multi_label: bool = False,
    dropout: float | None = None,
    seed: int = 0,
) -> Built:
    """Loads a checkpoint's weights, fp32, under a head.

    Args:
        checkpoint: As `open_checkpoint` gives it.
        auto_class: A class of `transformers`, as in "AutoModelForSequenceClassification"; idle where `head` is given.
        labels: In the order `settle_labels` gave; None for answers.
        head: One of textxfer's; None: the native one.
        multi_label: Whether the head answers yes or no for each label.
        dropout: Replaces all dropout rates of the checkpoint.
        seed: Of the new parameters.

    Raises:
        CheckpointError: The weights cannot be loaded, are no safetensors, or do not fill the backbone.
        RecipeError: The head is one that is not there, or does not take its options.
    """
    import torch

    config = _config_for(checkpoint, labels, multi_label, dropout)
    if head is not None:
        return _build_headed(checkpoint, head, labels, config, seed)
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


def _build_headed(checkpoint: Checkpoint, head: HeadChoice, labels: LabelSet | None, config: Any, seed: int) -> Built:
    import torch

    from textxfer.modeling.headed import Headed

    if checkpoint.adapter is not None:
        raise CheckpointError(
            f"{checkpoint.id}: is a LoRA adapter of a model with the native head, which {head.name} cannot take over; "
            "start from the run's merged `model`"
        )
    place, sizes = (checkpoint.id, checkpoint.location, checkpoint.revision), (config.hidden_size, config.num_labels)
    kept = keeps_head(checkpoint, labels, head)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone, info = _load(checkpoint, backbone_class(config), config)
        strip(backbone)
        torch.manual_seed(seed)
        made = load_head(head, *place, *sizes) if kept else head.make(*sizes)
    dropped = _why_dropped(checkpoint, type(backbone).__name__, labels, head)
    model = Headed(backbone, made, head)
    there = set(dict(model.named_parameters(remove_duplicate=False)))
    mismatched = [key[0] if isinstance(key, tuple) else key for key in info["mismatched_keys"]]
    holes = {f"backbone.{name}" for name in (*info["missing_keys"], *mismatched)} & there
    _refuse_holes(checkpoint, model, sorted(holes))
    new = set() if kept else {name for name in there if name.startswith("head.")}
    return Built(model, tuple(sorted(new | holes)), dropped)


def skeleton(
    checkpoint: Checkpoint, auto_class: str, labels: LabelSet | None = None, head: HeadChoice | None = None
) -> nn.Module:
    """Gives the network that `build` would give: every module, and no weight of the backbone (PyTorch's meta device).

    Args:
        checkpoint: As `open_checkpoint` gives it.
        auto_class: See `build`.
        labels: None for answers.
        head: See `build`.

    Raises:
        CheckpointError: Its family has no such head.
        RecipeError: The head is one that is not there, or does not take its options.
    """
    import torch
    import transformers

    from textxfer.modeling.headed import Headed

    config = _config_for(checkpoint, labels, multi_label=False, dropout=None)
    kind: Any = getattr(transformers, auto_class if head is None else backbone_class(config))
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"), quiet_transformers():
            model: nn.Module = kind.from_config(config) if hasattr(kind, "from_config") else kind(config)
    except ValueError as error:
        raise _without_head(checkpoint, auto_class, error) from error
    if head is None:
        return model
    strip(model)
    with torch.random.fork_rng(devices=[]):  # not on the meta device: a head may look at its numbers
        return Headed(model, head.make(config.hidden_size, config.num_labels), head)


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
        raise _without_head(checkpoint, auto_class, error) from error
    return loaded


def _without_head(checkpoint: Checkpoint, auto_class: str, error: ValueError) -> CheckpointError:
    return CheckpointError(f"{checkpoint.id}: has no {auto_class}: {first_line(error)}")


def _refuse_holes(checkpoint: Checkpoint, model: nn.Module, new: Sequence[str]) -> None:
    """Stops where a part of the backbone would start from nothing; that is no transfer."""
    backbone = backbone_parameters(model)
    holes = [name for name in new if name in backbone]
    if holes:
        raise CheckpointError(
            f"{checkpoint.id}: its weights do not fill the backbone that its config.json describes: {len(holes)} "
            f"parameters are missing or have another shape ({', '.join(holes[:3])}{', ...' if len(holes) > 3 else ''})"
        )


def _why_dropped(
    checkpoint: Checkpoint, architecture: str, labels: LabelSet | None, head: HeadChoice | None = None
) -> str | None:
    """Gives why a head that the checkpoint brings must not be kept, though its weights may have the right names."""
    if checkpoint.head is not None and not _same(checkpoint.head, head):
        own = checkpoint.head
        keeps = f"; `head: {own.name}` with its options keeps it" if own is not None and labels is not None else ""
        return f"it is {_described(own)}, not {_described(head)}{keeps}"
    if checkpoint.architecture != architecture and checkpoint.architecture.endswith(TASK_HEADS):
        return f"it is of a {checkpoint.architecture}"
    known = checkpoint.label_names
    if labels is None or known == labels.names:
        return None
    if known is None:
        unnamed = checkpoint.adapter is not None and read_config(checkpoint.id, Path(checkpoint.adapter)).has_head
        return "the adapter does not say which labels it knows" if unnamed else None
    return f"it knows the labels {_listed(known)}, not {_listed(labels.names)}"


def _same(one: HeadChoice | None, other: HeadChoice | None) -> bool:
    """Says whether two heads have the same weights' meaning: dropout may differ."""
    if one is None or other is None:
        return one is other
    options = [{key: value for key, value in each.options.items() if key != "dropout"} for each in (one, other)]
    return one.name == other.name and options[0] == options[1]


def _described(head: HeadChoice | None) -> str:
    if head is None:
        return "the native one"
    options = ", ".join(f"{key} {value}" for key, value in head.options.items() if key != "dropout")
    return f"`{head.name}`{f' ({options})' if options else ''}"


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
