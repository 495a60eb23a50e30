"""From a recipe to objects; the only module that reads a recipe's fields.

`prepare` does all that needs no weights and so finds most mistakes within seconds; `assemble` loads the weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textxfer import registry
from textxfer.data.columns import select_columns
from textxfer.data.splits import cut
from textxfer.errors import DataError, RecipeError
from textxfer.evaluation.evaluate import Evaluation, evaluate
from textxfer.labels import LabelSet
from textxfer.modeling.build import build, settle_labels
from textxfer.modeling.checkpoint import Checkpoint, open_checkpoint
from textxfer.modeling.freezing import Frozen, freeze
from textxfer.recipe.checks import task_of
from textxfer.recipe.schema import Recipe
from textxfer.recipe.sections import in_bytes
from textxfer.records import Encoded, Splits
from textxfer.sources.files import Files
from textxfer.sources.hub import Hub
from textxfer.sources.memory import Memory
from textxfer.tasks import Task
from textxfer.training.best import Best
from textxfer.training.checks import check_plan, check_rows
from textxfer.training.objective import make_loss
from textxfer.training.optimizer import adamw
from textxfer.training.plan import Plan
from textxfer.training.stopping import StopSignal

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

    from textxfer.training.network import CacheOptions, Network
    from textxfer.training.step import Stepper


@dataclass(frozen=True)
class Rows:
    """Checked and cut rows.

    Attributes:
        task: The recipe's.
        splits: Ready to encode.
        labels: None for answers.
        notes: What the user should know, a sentence each.
    """

    task: Task
    splits: Splits
    labels: LabelSet | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Prepared:
    """Everything but the weights.

    Attributes:
        recipe: Resolved.
        rows: Checked and cut; labels in their final order.
        checkpoint: Opened.
        encoded: Examples of each split by name.
        plan: The steps.
    """

    recipe: Recipe
    rows: Rows
    checkpoint: Checkpoint
    encoded: dict[str, Encoded]
    plan: Plan


@dataclass(frozen=True)
class Training:
    """Everything, ready to run.

    Attributes:
        model: The stock model, fp32, on its device.
        network: What is computed of it; `start` gives it its states.
        optimizer: Of the trained weights.
        best: Keeps the best weights; None where there is no validation split.
        frozen: What is not trained.
        start: Does what comes before the first step and gives what takes steps, and what the user should know.
        evaluate: Evaluates a split by name; `final=True` with the whole model in fp32, as stock transformers will.
        notes: What the user should know.
    """

    model: torch.nn.Module
    network: Network
    optimizer: torch.optim.Optimizer
    best: Best | None
    frozen: Frozen
    start: Callable[[], tuple[Stepper, list[str]]]
    evaluate: Callable[..., Evaluation]
    notes: tuple[str, ...]


def load_rows(recipe: Recipe, given: Any = None) -> Rows:
    """Loads, checks and cuts the rows of a recipe.

    Args:
        recipe: What and how.
        given: Splits or rows from Python, which then stand in for `dataset.path` and `dataset.hub`.

    Raises:
        DataError: One line for each mistake.
        RecipeError: The recipe asks for what these rows cannot give.
    """
    data, task = recipe.dataset, task_of(recipe)
    source = Memory(given) if given is not None else _source(recipe)
    columns = {name: getattr(data, name) for name in task.required_columns}
    if data.text_pair is not None and "text" in columns:
        columns["text_pair"] = data.text_pair
    raw = source.load()
    splits = select_columns(raw, columns, limit=data.limit, label_delimiter=data.label_delimiter)
    splits, labels = task.prepare(splits)
    strata, groups = task.cut_by(splits.train.rows)
    single_file = isinstance(source, Files) and source.path.is_file()
    splits = cut(
        splits,
        strata,
        groups,
        validation_fraction=data.validation_fraction,
        test_fraction=data.test_fraction if single_file else 0.0,
        seed=data.split_seed,
    )
    if labels is not None:
        labels = _recounted(labels, splits)
    notes = []
    if isinstance(source, Files) and (unused := source.unused()):
        notes.append(f"{source.path}: not used: {', '.join(unused)}")
    if raw.validation is None and splits.validation is not None:
        notes.append(f"no validation split: {len(splits.validation)} rows were cut from train")
    if splits.test is None and splits.validation is None:
        notes.append("no validation and no test split: the last weights are kept, and nothing is scored")
    elif splits.test is None:
        notes.append("no test split: the final scores are those on validation, which chose the weights")
    rows = Rows(task, splits, labels, tuple(notes))
    check_rows(recipe, rows.splits, rows.labels)
    return rows


def prepare(recipe: Recipe, given: Any = None) -> Prepared:
    """Does everything that needs no weights.

    Raises:
        TextxferError: The data or the checkpoint are wrong, or do not fit the recipe.
    """
    return encode_rows(recipe, load_rows(recipe, given))


def encode_rows(recipe: Recipe, rows: Rows) -> Prepared:
    """Opens the checkpoint, all but its weights, and tokenises rows for it.

    Raises:
        TextxferError: The checkpoint is wrong, or does not fit the recipe.
    """
    checkpoint = open_checkpoint(recipe.checkpoint.id, recipe.checkpoint.revision)
    rows = replace(rows, labels=settle_labels(checkpoint, rows.labels))
    task = rows.task
    if checkpoint.most_tokens is not None and task.max_length > checkpoint.most_tokens:
        _shorten(task, checkpoint.most_tokens)
        rows = replace(rows, notes=(*rows.notes, f"max_length is {task.max_length}, the checkpoint's limit"))
    encoded = {
        name: task.encode(split.rows, checkpoint.tokenizer, rows.labels) for name, split in rows.splits.present()
    }
    plan = _plan(recipe, encoded["train"])
    check_plan(recipe, plan, rows.splits)
    return Prepared(recipe, rows, checkpoint, encoded, plan)


def assemble(prepared: Prepared, accelerator: Accelerator, stop: StopSignal | None = None) -> Training:
    """Loads the weights and builds everything that trains and judges them.

    Raises:
        CheckpointError: The weights cannot be loaded.
        RecipeError: `freeze` asks for more than there is.
    """
    from textxfer.training.network import Network

    recipe, rows, train = prepared.recipe, prepared.rows, prepared.recipe.train
    task, labels = rows.task, rows.labels
    built = build(
        prepared.checkpoint,
        task.auto_class,
        labels,
        multi_label=getattr(task, "multi_label", False),
        dropout=train.dropout,
        seed=train.seed,
    )
    model = built.model
    frozen = freeze(model, recipe.freeze.layers, recipe.freeze.embeddings)
    if frozen.trainable == 0:
        raise RecipeError("freeze: nothing is left to train")
    if train.activation_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
    model.to(accelerator.device)
    network = Network(model, frozen, prepared.encoded, prepared.checkpoint.tokenizer.pad_token_id)
    optimizer = adamw(model, train.learning_rate, train.weight_decay)
    judge = _judge(prepared, network, accelerator, stop)
    best = None
    if rows.splits.validation is not None:
        select_by = recipe.evaluate.select_by or _default_choice(recipe, task)
        better = registry.load("metrics", select_by).greater_is_better
        best = Best(model, lambda: judge("validation").scores, select_by, better, train.patience)
    start = partial(_start, prepared, network, optimizer, accelerator, stop)
    return Training(model, network, optimizer, best, frozen, start, judge, built.notes)


def _start(
    prepared: Prepared,
    network: Network,
    optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
    stop: StopSignal | None,
) -> tuple[Stepper, list[str]]:
    """Stores what frozen layers make of the texts, where that pays, and wraps up for the processes of the run."""
    from textxfer.training.step import Stepper

    recipe, train = prepared.recipe, prepared.recipe.train
    splits = tuple(name for name in ("train", "validation") if name in prepared.encoded)
    note = None
    # A second look at the training rows is what pays for storing.
    if train.prefix_cache != "off" and prepared.plan.steps > prepared.plan.steps_per_epoch:
        between = stop.check_alone if stop is not None else lambda: None
        note = network.store(splits, _cache_options(recipe), accelerator, between)
    network.module, wrapped_optimizer = accelerator.prepare(network.module, optimizer)
    loss = make_loss(
        prepared.rows.task,
        prepared.rows.labels,
        label_smoothing=train.label_smoothing,
        class_weights=train.class_weights,
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
    )
    return stepper, [note] if note else []


def _cache_options(recipe: Recipe) -> CacheOptions:
    from textxfer.training.network import CacheOptions

    spill, asked = Path(recipe.output.directory), recipe.train.prefix_cache
    if isinstance(asked, str):
        return CacheOptions(spill=spill)
    keep = Path(asked.directory) if asked.directory is not None else None
    return CacheOptions(in_bytes(asked.memory) if asked.memory is not None else None, keep, spill)


def _source(recipe: Recipe) -> Files | Hub:
    data = recipe.dataset
    names = {"train": data.train, "validation": data.validation, "test": data.test}
    if data.path is not None:
        return Files(Path(data.path), **names)
    assert data.hub is not None
    return Hub(data.hub, data.config, data.revision, **names)


def _recounted(labels: LabelSet, splits: Splits) -> LabelSet:
    counts = dict.fromkeys(labels.names, 0)
    for value in splits.train.rows["label"][:]:
        for name in value if isinstance(value, list) else [value]:
            counts[name] += 1
    return LabelSet(labels.names, tuple(counts.values()))


def _shorten(task: Task, limit: int) -> None:
    stride = getattr(task, "stride", None)
    if stride is not None and stride + 8 >= limit:
        raise DataError(f"task.stride: is {stride}, but the checkpoint takes {limit} tokens at most; make it smaller")
    task.max_length = limit


def _plan(recipe: Recipe, encoded: Encoded) -> Plan:
    train = recipe.train
    return Plan(
        encoded.lengths,
        epochs=train.epochs,
        batch_size=train.batch_size,
        learning_rate=train.learning_rate,
        warmup_ratio=train.warmup_ratio,
        schedule=train.schedule,
        max_steps=train.max_steps,
        evaluate_every=train.evaluate_every,
        save_every=train.save_every,
        log_every=train.log_every,
        batching=train.batching,
        seed=train.seed,
    )


def _judge(
    prepared: Prepared, network: Network, accelerator: Accelerator, stop: StopSignal | None
) -> Callable[..., Evaluation]:
    def judge(split: str, final: bool = False) -> Evaluation:
        options: dict[str, Any] = {
            "accelerator": accelerator,
            "between": stop.check_alone if stop is not None else None,
        }
        if not final:
            options |= {
                "autocast": accelerator.autocast,
                "batch_of": lambda indices: network.batch(split, indices, accelerator.device),
            }
        return evaluate(
            network.model if final else accelerator.unwrap_model(network.module),
            prepared.rows.task,
            prepared.encoded[split] if final else network.encoded[split],
            getattr(prepared.rows.splits, split).rows,
            prepared.rows.labels,
            prepared.recipe.evaluate.metrics or (),
            pad_token_id=network.pad_token_id,
            **options,
        )

    return judge


def _default_choice(recipe: Recipe, task: Task) -> str:
    metrics = recipe.evaluate.metrics or task.default_metrics
    return task.select_by if task.select_by in metrics else metrics[0]
