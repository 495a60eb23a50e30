"""From a prepared recipe to objects that train: the weights are loaded here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from textxfer import registry
from textxfer.modeling.activations import checkpoint_activations
from textxfer.modeling.build import Built, build
from textxfer.modeling.freezing import Frozen, fewest_layers, freeze_in_turn
from textxfer.modeling.head_start import open_up
from textxfer.modeling.lora import Lora, add_lora
from textxfer.recipe import sections
from textxfer.recipe.checks import chosen_metric
from textxfer.records import Scores
from textxfer.training.best import Best
from textxfer.training.judge import Judge
from textxfer.training.optimizer import adamw
from textxfer.training.phases import freezes_of
from textxfer.training.prepare import Prepared, head_of
from textxfer.training.start import start
from textxfer.training.stopping import StopSignal
from textxfer.training.writing import build_writing, is_written, teaches

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

    from textxfer.modeling.prefix_cache import Stored
    from textxfer.training.entrance import Started
    from textxfer.training.network import Network


@dataclass(frozen=True)
class Training:
    """Everything, ready to run.

    Attributes:
        model: A stock one or a `Headed`, fp32, on its device.
        network: What is computed of it; `start` gives it its states.
        optimizer: Of all weights that are trained in some phase.
        best: Keeps the best weights; None where there is no validation split.
        frozen: What is not trained in each phase.
        start: Does what comes before the first step; called with whether the run is new, and not gone on with, and with
            the phase that it is in, and observers.
        enter: Does what comes before the first step of a later phase, by its number.
        judge: Evaluates splits.
        watch: Scores a sample of the training rows; None where there is no validation split to compare it with.
        notes: What the user should know.
    """

    model: torch.nn.Module
    network: Network
    optimizer: torch.optim.Optimizer
    best: Best | None
    frozen: tuple[Frozen, ...]
    start: Callable[..., Started]
    enter: Callable[[int], Started]
    judge: Judge
    watch: Callable[[], Scores] | None
    notes: tuple[str, ...]


def assemble(
    prepared: Prepared,
    accelerator: Accelerator,
    stop: StopSignal | None = None,
    shared: dict[str, Stored] | None = None,
) -> Training:
    """Loads the weights and builds everything that trains and judges them.

    Args:
        prepared: The run.
        accelerator: Of the run.
        stop: Asked between two batches.
        shared: What runs of other seeds share of the states of frozen layers, see `Network`.

    Raises:
        CheckpointError: The weights cannot be loaded.
    """
    from textxfer.training.entrance import Entrance
    from textxfer.training.network import Network

    recipe, rows, train = prepared.recipe, prepared.rows, prepared.recipe.train
    built = _build(prepared)
    model = built.model
    fits = recipe.head.start == "probe" and built.has_new_logits
    if fits:
        open_up(model, built.new, train.seed)
    freezes, notes = freezes_of(prepared.plan.phases), built.notes
    if recipe.lora is not None:
        freezes = [(layers, True) for layers, _ in freezes]
        count = add_lora(model, lora_of(recipe.lora), fewest_layers(freezes), train.seed)
        notes = (*notes, f"LoRA of rank {recipe.lora.rank} in {count} modules; the rest is frozen")
    frozen = tuple(freeze_in_turn(model, freezes))
    if train.activation_checkpointing:
        checkpoint_activations(model)
    model.to(accelerator.device)
    pad, told_right = prepared.checkpoint.tokenizer.pad_token_id, teaches(recipe, rows.labels)
    network = Network(model, frozen[0], prepared.encoded, pad, teaches=told_right, shared=shared)
    optimizer = adamw(
        model,
        prepared.plan.learning_rate,
        train.weight_decay,
        layer_decay=train.layer_decay,
        head_learning_rate=train.head_learning_rate,
    )
    judge = Judge(prepared, network, accelerator, stop)
    best = watch = None
    if rows.splits.validation is not None:
        select_by = chosen_metric(recipe)
        better = registry.load("metrics", select_by).greater_is_better
        best = Best(model, lambda: judge("validation").scores, select_by, better, train.patience)
        watch = judge.watch
    if recipe.head.start == "probe" and not fits:
        notes = (*notes, "the head starts as it is, without a probe")
    entrance = Entrance(prepared, network, optimizer, accelerator, frozen, stop)
    begin = partial(start, entrance, fits)
    return Training(model, network, optimizer, best, frozen, begin, entrance.enter, judge, watch, notes)


def _build(prepared: Prepared) -> Built:
    recipe, task, labels = prepared.recipe, prepared.rows.task, prepared.rows.labels
    if is_written(recipe):
        return build_writing(recipe, prepared.checkpoint, labels, task)
    return build(
        prepared.checkpoint,
        task.auto_class,
        labels,
        head=head_of(recipe),
        multi_label=getattr(task, "multi_label", False),
        dropout=recipe.train.dropout,
        seed=recipe.train.seed,
    )


def lora_of(section: sections.Lora) -> Lora:
    """Gives plain arguments for a recipe's `lora` section."""
    return Lora(section.rank, section.alpha, section.dropout, section.targets)
