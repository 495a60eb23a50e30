"""What comes before the first step: stored states, a head that starts from a probe, the wrapping for processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textxfer.data.reviewed import WEIGHT
from textxfer.errors import TrainingDiverged
from textxfer.evaluation.features import vectors
from textxfer.heads import HeadChoice
from textxfer.labels import LabelSet
from textxfer.modeling.anatomy import last_linear, pooled_token
from textxfer.modeling.build import keeps_head
from textxfer.modeling.checkpoint import Checkpoint
from textxfer.modeling.device import reuse_freed_memory
from textxfer.modeling.head_start import install, is_one_layer
from textxfer.modeling.probe import Probe, fit_probe
from textxfer.recipe.schema import Recipe
from textxfer.recipe.sections import in_bytes
from textxfer.records import Batch, Encoded
from textxfer.training.objective import label_weights, make_loss
from textxfer.training.observers import Observer
from textxfer.training.processes import on_main
from textxfer.training.stopping import StopSignal
from textxfer.training.writing import loss_of

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

    from textxfer.training.assemble import Prepared
    from textxfer.training.network import CacheOptions, Network
    from textxfer.training.step import Stepper

PENALTY_AFTER_CONTRAST = 0.01
"""Inverse penalty of a probe on a backbone that has seen all of its rows, of which none can be held back to choose."""
MOST_ROWS = 20_000
"""Training rows that a probe is fitted on; more would hardly change it, and the time stays below that of an epoch."""


@dataclass(frozen=True)
class Started:
    """A run that is ready for its first step.

    Attributes:
        stepper: Takes the steps.
        notes: What the user should know.
        probe_seconds: Time that the probe took.
    """

    stepper: Stepper
    notes: tuple[str, ...] = ()
    probe_seconds: float = 0.0


def probe_settles(recipe: Recipe, checkpoint: Checkpoint, labels: LabelSet | None, head: HeadChoice | None) -> bool:
    """Says whether nothing is left to train once the head has started: it is new, and the backbone is as it is to be.

    That is frozen, or trained by the contrastive start. Hidden layers of a head of textxfer's are left to train, unless
    that start has done it; what a stock head has below its last layer is not.
    """
    contrasted = recipe.small_data.road == "contrastive"
    whole = contrasted or (recipe.freeze.layers == "all" and recipe.freeze.embeddings is not False)
    if recipe.head.start != "probe" or not whole or recipe.lora is not None or keeps_head(checkpoint, labels, head):
        return False
    if head is not None and not contrasted:
        assert labels is not None
        return is_one_layer(head, checkpoint.config.hidden_size, len(labels))
    # A config.json that names no architecture does not say whether its weights have a head.
    return bool(checkpoint.architecture)


def start(
    prepared: Prepared,
    network: Network,
    optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
    stop: StopSignal | None,
    fits: bool,
    new: bool = True,
    observers: Sequence[Observer] = (),
) -> Started:
    """Stores what frozen layers make of the texts, where that pays, fits the head and wraps up for the processes.

    Where few rows are to go the road `contrastive`, that start comes before the head's.

    Args:
        prepared: The run.
        network: What is computed of its model.
        optimizer: Of the trained weights.
        accelerator: Of the run.
        stop: Asked between two batches.
        fits: Whether the head is to start from a probe.
        new: Whether the run begins here; one that goes on has its head already.
        observers: Told of the steps of a contrastive start.
    """
    from textxfer.training.step import Stepper

    recipe, train, plan = prepared.recipe, prepared.recipe.train, prepared.plan
    between = stop.check_alone if stop is not None else lambda: None
    if accelerator.device.type == "cpu":
        reuse_freed_memory(network.model)
    splits = tuple(name for name in ("train", "validation") if name in prepared.encoded)
    notes, seconds = [], 0.0
    # A second look at the training rows is what pays for storing.
    if train.prefix_cache != "off" and plan.steps > plan.steps_per_epoch:
        note = network.store(splits, _cache_options(recipe), accelerator, between)
        notes += [note] if note else []
    began = time.monotonic()
    if recipe.small_data.road == "contrastive" and new:
        notes.append(_contrast(prepared, network, accelerator, stop, observers))
    if fits and new:
        notes.append(_fit_head(prepared, network, accelerator, between))
    if new:
        seconds = time.monotonic() - began
    network.module, wrapped_optimizer = accelerator.prepare(network.module, optimizer)
    loss = make_loss(
        loss_of(recipe, prepared.rows.task),
        prepared.rows.labels,
        label_smoothing=train.label_smoothing,
        class_weights=train.class_weights,
        weights=example_weights(prepared),
        device=accelerator.device,
    )
    stepper = Stepper(
        network,
        wrapped_optimizer,
        loss,
        accelerator,
        micro_batch_size=train.micro_batch_size,
        max_grad_norm=train.max_grad_norm,
        seed=train.seed,
        bulk_dropout=not train.activation_checkpointing,  # which does not last while activations are computed again
    )
    notes += _record(stepper, prepared)
    return Started(stepper, tuple(notes), seconds)


def _record(stepper: Stepper, prepared: Prepared) -> list[str]:
    """Has steps recorded where the recipe lets it; gives what the user should know where they are not."""
    train = prepared.recipe.train
    if train.cuda_graphs == "off" or prepared.plan.steps == 0 or stepper.accelerator.device.type != "cuda":
        return []
    if train.activation_checkpointing:
        why: str | None = "`train.activation_checkpointing` computes parts of a step twice"
    else:
        why = stepper.record(prepared.plan)
    return [f"steps are not recorded as CUDA graphs: {why}"] if why is not None else []


def _contrast(
    prepared: Prepared,
    network: Network,
    accelerator: Accelerator,
    stop: StopSignal | None,
    observers: Sequence[Observer],
) -> str:
    """Carries the contrastive start out; gives what the user should know."""
    from textxfer.training.contrastive import contrast

    few, train = prepared.recipe.small_data, prepared.recipe.train
    assert few.steps is not None, "it is settled before"
    assert few.learning_rate is not None, "it is settled before"
    began = time.monotonic()
    contrast(
        network.model,
        network.frozen,
        prepared.encoded["train"],
        accelerator,
        steps=few.steps,
        learning_rate=few.learning_rate,
        weight_decay=train.weight_decay,
        pad_token_id=network.pad_token_id,
        seed=train.seed,
        check_stop=stop.check if stop is not None else lambda: None,
        observers=observers,
    )
    return f"the backbone has a contrastive start of {few.steps} steps ({time.monotonic() - began:.1f} s)"


def _fit_head(
    prepared: Prepared, network: Network, accelerator: Accelerator, between: Callable[[], None] = lambda: None
) -> str:
    """Gives the last linear layer of the head what a probe finds, on all processes; gives what the user should know."""
    labels = prepared.rows.labels
    assert labels is not None
    layer: Any = last_linear(network.model)
    began, seed = time.monotonic(), prepared.recipe.train.seed
    encoded, places = network.encoded["train"].of_rows(_some_rows(prepared.encoded["train"], seed))
    features = head_inputs(network, encoded, places, accelerator, between)
    if not np.isfinite(features).all():
        if prepared.plan.steps == 0:
            raise TrainingDiverged(
                "head.start: what the frozen backbone makes of some training rows is not a finite number, so nothing "
                "can be learnt from it; try train.precision: fp32"
            )
        return "the head starts at random: what the backbone makes of some training rows is not a finite number"
    of_labels, of_examples = label_weights(labels, prepared.recipe.train.class_weights), example_weights(prepared)
    assert encoded.targets is not None
    targets = encoded.targets

    def fit() -> Probe:
        return fit_probe(
            features,
            targets,
            len(labels),
            label_weights=None if of_labels is None else np.array(of_labels),
            weights=None if of_examples is None else of_examples[places],
            inverse_penalty=PENALTY_AFTER_CONTRAST if prepared.recipe.small_data.road == "contrastive" else None,
            seed=seed,
            between=between,
        )

    probe = on_main(accelerator, fit)
    install(probe, layer, features)
    ended = "" if probe.converged else "; its solver had not come to an end, which training makes good"
    how = f"{len(features)} training rows, inverse penalty {probe.inverse_penalty:g}"
    note = f"the head starts from a probe ({how}, {time.monotonic() - began:.1f} s){ended}"
    if prepared.plan.steps == 0:
        is_frozen = prepared.recipe.small_data.road != "contrastive"
        why = "the backbone is frozen: that" if is_frozen else "that"
        hint = " (`head.start: random` takes steps)" if prepared.recipe.small_data.road == "off" else ""
        note += f"; {why} is the answer, and no step is taken{hint}"
    return note


def head_inputs(
    network: Network,
    encoded: Encoded,
    places: np.ndarray,
    accelerator: Accelerator,
    between: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """Gives what the head's last linear layer sees of some training examples, from stored states where there are."""
    from textxfer.modeling.features import HeadInputs
    from textxfer.modeling.inference import for_inference

    layer = last_linear(network.model)
    name = next(name for name, module in network.module.named_modules() if module is layer)
    ready = for_inference(network.module, bf16=accelerator.mixed_precision == "bf16")

    def batch_of(indices: np.ndarray) -> Batch:
        return replace(network.batch("train", places[indices], accelerator.device), indices=indices)

    return vectors(
        HeadInputs(ready, ready.get_submodule(name), pooled_token(network.model)),
        encoded,
        batch_of,
        pad_token_id=network.pad_token_id,
        autocast=accelerator.autocast,
        accelerator=accelerator,
        between=between,
    )


def _some_rows(encoded: Encoded, seed: int) -> np.ndarray:
    """Gives the rows to fit a probe on (R,), in order: all, or as many as it needs, with each label among them."""
    count = len(encoded)
    if count <= MOST_ROWS:
        return np.arange(count)
    order, targets = np.random.default_rng(seed).permutation(count), encoded.targets
    assert targets is not None
    labels = targets if targets.ndim == 1 else np.where(targets.any(axis=1), targets.argmax(axis=1), -1)
    _, first = np.unique(labels[order], return_index=True)
    return np.sort(np.concatenate([order[first], np.delete(order, first)])[: max(MOST_ROWS, len(first))])


def example_weights(prepared: Prepared) -> np.ndarray | None:
    """Gives what each training example counts: as much as its row."""
    rows = prepared.rows.splits.train.rows
    if WEIGHT not in rows.column_names:
        return None
    return np.array(rows[WEIGHT][:])[prepared.encoded["train"].rows]


def _cache_options(recipe: Recipe) -> CacheOptions:
    from textxfer.training.network import CacheOptions

    spill, asked = Path(recipe.output.directory), recipe.train.prefix_cache
    if isinstance(asked, str):
        return CacheOptions(spill=spill)
    keep = Path(asked.directory) if asked.directory is not None else None
    return CacheOptions(in_bytes(asked.memory) if asked.memory is not None else None, keep, spill)
