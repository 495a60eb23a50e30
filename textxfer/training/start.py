"""What comes before the first step of a run: its first phase, and a head that starts from a probe."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from textxfer.errors import TrainingDiverged
from textxfer.heads import HeadChoice
from textxfer.labels import LabelSet
from textxfer.modeling.anatomy import last_linear
from textxfer.modeling.build import keeps_head
from textxfer.modeling.checkpoint import Checkpoint
from textxfer.modeling.device import reuse_freed_memory
from textxfer.modeling.head_start import install, is_one_layer
from textxfer.modeling.probe import Probe
from textxfer.recipe.schema import Recipe
from textxfer.records import Encoded
from textxfer.training.head_probe import head_inputs, probe_of
from textxfer.training.observers import Observer
from textxfer.training.processes import on_main

if TYPE_CHECKING:
    from accelerate import Accelerator

    from textxfer.training.entrance import Entrance, Started
    from textxfer.training.network import Network
    from textxfer.training.prepare import Prepared

PENALTY_AFTER_CONTRAST = 0.08
"""Inverse penalty, for a row a label, of a probe on a backbone that has seen all of its rows: none can be held back to
choose it. The backbone tells those apart however many they are, so that they say nothing of how sure to be: of twice as
many each counts half."""
MOST_ROWS = 20_000
"""Training rows that a probe is fitted on, where steps follow; the time stays below that of an epoch."""
MOST_ROWS_ALONE = 200_000
"""Where it is the whole training: as many as lie in memory with ease."""


def probe_settles(recipe: Recipe, checkpoint: Checkpoint, labels: LabelSet | None, head: HeadChoice | None) -> bool:
    """Says whether the head is new and has nothing left to learn, once it has started on a backbone as it is to be.

    That is frozen, or trained by the contrastive start. Hidden layers of a head of textxfer's are left to train, unless
    that start has done it; what a stock head has below its last layer is not.
    """
    contrasted = recipe.small_data.road == "contrastive"
    kept = recipe.adapt is None and keeps_head(checkpoint, labels, head)  # an adaptation leaves the head out
    if recipe.head.start != "probe" or kept:
        return False
    if head is not None and not contrasted:
        assert labels is not None
        return is_one_layer(head, checkpoint.config.hidden_size, len(labels))
    # A config.json that names no architecture does not say whether its weights have a head.
    return bool(checkpoint.architecture)


def start(
    entrance: Entrance, fits: bool, new: bool = True, phase: int = 0, observers: Sequence[Observer] = ()
) -> Started:
    """Stores what frozen layers make of the texts, where that pays, fits the head and wraps up for the processes.

    Where few rows are to go the road `contrastive`, that start comes before the head's.

    Args:
        entrance: To the phases of the run.
        fits: Whether the head is to start from a probe.
        new: Whether the run begins here; one that goes on has its head already.
        phase: The number of the phase (from 0) in which it begins or goes on.
        observers: Told of the steps of a contrastive start.
    """
    network, accelerator = entrance.network, entrance.accelerator
    if accelerator.device.type == "cpu":
        reuse_freed_memory(network.model)
    notes, seconds = entrance.freeze(phase), 0.0
    began = time.monotonic()
    if entrance.prepared.recipe.small_data.road == "contrastive" and new:
        notes.append(_contrast(entrance, observers))
    if fits and new:
        notes.append(_fit_head(entrance.prepared, network, accelerator, entrance.between))
    if new:
        seconds = time.monotonic() - began
    return entrance.begin(phase, notes, seconds)


def _contrast(entrance: Entrance, observers: Sequence[Observer]) -> str:
    """Carries the contrastive start out; gives what the user should know."""
    from textxfer.training.contrastive import contrast

    prepared, network, stop = entrance.prepared, entrance.network, entrance.stop
    few, train = prepared.recipe.small_data, prepared.recipe.train
    assert few.steps is not None, "it is settled before"
    assert few.learning_rate is not None, "it is settled before"
    began = time.monotonic()
    contrast(
        network.model,
        network.frozen,
        prepared.encoded["train"],
        entrance.accelerator,
        steps=few.steps,
        learning_rate=few.learning_rate,
        weight_decay=train.weight_decay,
        micro_batch_size=train.micro_batch_size,
        bulk_dropout=not train.activation_checkpointing,  # see `Entrance.begin`
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
    began = time.monotonic()
    most = MOST_ROWS if prepared.plan.steps else MOST_ROWS_ALONE
    chosen = _some_rows(prepared.encoded["train"], most, prepared.recipe.train.seed)
    encoded, places = network.encoded["train"].of_rows(chosen)
    features = head_inputs(network, encoded, places, accelerator, between)
    if not np.isfinite(features).all():
        if prepared.plan.steps == 0:
            raise TrainingDiverged(
                "head.start: what the frozen backbone makes of some training rows is not a finite number, so nothing "
                "can be learnt from it; try train.precision: fp32"
            )
        return "the head starts at random: what the backbone makes of some training rows is not a finite number"
    contrasted = prepared.recipe.small_data.road == "contrastive"
    penalty = PENALTY_AFTER_CONTRAST * len(labels) / len(chosen) if contrasted else None

    def fit() -> Probe:
        return probe_of(prepared, features, chosen, labels, inverse_penalty=penalty, between=between)

    probe = on_main(accelerator, fit)
    install(probe, layer, features)
    ended = ", which training makes good" if prepared.plan.steps else ": its scores may be a little below its best"
    ended = "" if probe.converged else f"; its solver had not come to an end{ended}"
    rows = f"{len(chosen):,}" if len(chosen) == len(prepared.encoded["train"]) else f"{len(chosen):,} of the"
    how = f"{rows} training rows, inverse penalty {probe.inverse_penalty:g}"
    note = f"the head starts from a probe ({how}, {time.monotonic() - began:.1f} s){ended}"
    if prepared.plan.steps == 0:
        why = "that" if contrasted else "the backbone is frozen: that"
        hint = " (`head.start: random` takes steps)" if prepared.recipe.small_data.road == "off" else ""
        note += f"; {why} is the answer, and no step is taken{hint}"
    return note


def _some_rows(encoded: Encoded, most: int, seed: int) -> np.ndarray:
    """Gives the rows to fit a probe on (R,), in order: all, or as many as it needs, with each label among them."""
    count = len(encoded)
    if count <= most:
        return np.arange(count)
    order, targets = np.random.default_rng(seed).permutation(count), encoded.targets
    assert targets is not None
    if targets.ndim == 1:
        _, first = np.unique(targets[order], return_index=True)
    else:
        first = np.unique(targets[order][:, targets.any(axis=0)].argmax(axis=0))
    return np.sort(np.concatenate([order[first], np.delete(order, first)])[: max(most, len(first))])
