"""From a recipe to all that needs no weights, and so most mistakes within seconds.

Here and in `assemble`, `rows` and `phases` a recipe's fields become plain arguments.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from textxfer.errors import CheckpointError, DataError, RecipeError, all_at_once
from textxfer.heads import HeadChoice, is_stock
from textxfer.labels import LabelSet
from textxfer.modeling.anatomy import own_head, usual_pooling, usual_rate
from textxfer.modeling.build import keeps_head, settle_labels, skeleton
from textxfer.modeling.checkpoint import Checkpoint, open_checkpoint
from textxfer.modeling.label_words import check_writes
from textxfer.modeling.lora import check_peft
from textxfer.recipe.merging import id_and_revision
from textxfer.recipe.schema import Recipe
from textxfer.records import Encoded
from textxfer.tasks import Task
from textxfer.training.checks import check_checkpoint, check_contrast, check_plan, check_pooling
from textxfer.training.few_rows import heads, is_open, on_road, roads, settled
from textxfer.training.phases import plan_of, told
from textxfer.training.plan import Plan
from textxfer.training.rows import Rows, load_rows
from textxfer.training.seen import leak
from textxfer.training.start import probe_settles
from textxfer.training.writing import is_written, with_prompts, with_words

LORA_RATE = 10
"""Low-rank updates learn best at about ten times the rate of whole weights, whatever their rank (Schulman 2025)."""


@dataclass(frozen=True)
class Prepared:
    """Everything but the weights.

    Attributes:
        recipe: As it is carried out.
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


def prepare(recipe: Recipe, given: Any = None) -> Prepared:
    """Does everything that needs no weights.

    Raises:
        TextxferError: The data or the checkpoint are wrong, or do not fit the recipe.
    """
    return encode_rows(recipe, load_rows(recipe, given))


def encode_rows(recipe: Recipe, rows: Rows) -> Prepared:
    """Opens the checkpoint, all but its weights, and tokenises rows for it.

    Where the recipe leaves the checkpoint open (`training.choices` settles it), the first that can be used stands in.

    Raises:
        TextxferError: The checkpoint is wrong, or does not fit the recipe.
    """
    if recipe.lora is not None:
        check_peft()
    checkpoint, notes = _open(recipe, rows)
    rows = replace(rows, notes=(*rows.notes, *notes))
    recipe = _with_pooling(_with_native_head(recipe, checkpoint), checkpoint)
    recipe, rows = with_prompts(recipe, checkpoint, rows)
    recipe = with_words(recipe, checkpoint, rows.labels)
    rows, task = _with_settled_labels(recipe, rows, checkpoint), rows.task
    if checkpoint.most_tokens is not None and task.max_length > checkpoint.most_tokens:
        _shorten(task, checkpoint.most_tokens)
        rows = replace(rows, notes=(*rows.notes, f"max_length is {task.max_length}, the checkpoint's limit"))
    encoded = {
        name: task.encode(split.rows, checkpoint.tokenizer, rows.labels)
        for name, split in rows.splits.present(reserved=True)
    }
    recipe = settled(
        _as_done(recipe, rows, checkpoint),
        few=rows.few,
        kept=_keeps_head(recipe, checkpoint, rows),
        rows=len(rows.splits.train),
        fits=_takes_probe(recipe, checkpoint, rows),
    )
    plan = _plan(recipe, encoded["train"], checkpoint, rows.labels)
    rows = replace(rows, notes=(*rows.notes, *told(plan)))
    prepared = Prepared(recipe, rows, checkpoint, encoded, plan)
    _check_steps(prepared)
    return prepared


def planned_anew(prepared: Prepared, recipe: Recipe) -> Prepared:
    """Gives a run on the same rows and checkpoint whose recipe says otherwise how to train."""
    plan = _plan(recipe, prepared.encoded["train"], prepared.checkpoint, prepared.rows.labels)
    return replace(prepared, recipe=recipe, plan=plan)


def _check_steps(prepared: Prepared) -> None:
    """Stops where patience can never fire; where the road is open, on the one that may take steps on labels."""
    recipe, rows = prepared.recipe, prepared.rows
    if is_open(recipe):
        if "fine_tune" not in roads(recipe):
            return
        tuned = on_road(recipe, "fine_tune", heads(recipe)[0], len(rows.splits.train))
        prepared = planned_anew(prepared, tuned)
    check_plan(prepared.recipe, prepared.plan, rows.splits)


def _open(recipe: Recipe, rows: Rows) -> tuple[Checkpoint, list[str]]:
    if recipe.checkpoint.auto is None:
        assert recipe.checkpoint.id is not None
        checkpoint = open_checkpoint(recipe.checkpoint.id, recipe.checkpoint.revision)
        check_fit(recipe, checkpoint, rows)
        learned = leak(recipe, rows, checkpoint, _keeps_head(recipe, checkpoint, rows))
        return checkpoint, [] if learned is None else [learned]
    opened: list[Checkpoint] = []
    problems: list[str] = []
    for name in recipe.checkpoint.auto:
        try:
            checkpoint = open_checkpoint(*id_and_revision(name))
            check_fit(recipe, checkpoint, rows)
        except CheckpointError as error:
            problems.append(error.in_one_line)
        except RecipeError as error:
            problems.append(f"{name}: {error.in_one_line}")
        else:
            opened.append(checkpoint)
    notes = [f"checkpoint.auto: cannot be ranked: {problem}" for problem in problems]
    if not opened:
        raise CheckpointError("none of the checkpoints can be ranked:", *problems)
    return opened[0], [*notes, f"a run ranks the checkpoints; what is said of tokens is of {opened[0].id}"]


def check_fit(recipe: Recipe, checkpoint: Checkpoint, rows: Rows) -> None:
    """Stops where a checkpoint cannot become what the recipe asks for; no weight is loaded.

    Raises:
        CheckpointError: Its family has no such head, or nothing to adapt it by.
        RecipeError: It has not the layers, modules or tokens that the recipe names, or words do not tell labels apart.
            All that is wrong is in one error.
    """
    if is_written(recipe):
        check_writes(checkpoint)
    pooled = _with_pooling(recipe, checkpoint)
    all_at_once(
        lambda: with_words(recipe, checkpoint, rows.labels),
        lambda: check_pooling(pooled, checkpoint),
        lambda: check_checkpoint(pooled, checkpoint, rows.task, rows.labels, head_of(pooled)),
        lambda: check_contrast(recipe, checkpoint, rows.few),
    )


def _keeps_head(recipe: Recipe, checkpoint: Checkpoint, rows: Rows) -> bool:
    labels = settle_labels(checkpoint, rows.labels)
    return recipe.adapt is None and keeps_head(checkpoint, labels, head_of(_with_pooling(recipe, checkpoint)))


def _with_native_head(recipe: Recipe, checkpoint: Checkpoint) -> Recipe:
    """Gives the recipe that few rows choose no other head for, where the checkpoint is an adapter, which bears none."""
    if checkpoint.adapter is None or "name" in recipe.head.model_fields_set:
        return recipe
    return recipe.model_copy(update={"head": recipe.head.model_copy(update={"name": recipe.head.name})})


def _takes_probe(recipe: Recipe, checkpoint: Checkpoint, rows: Rows) -> bool:
    """Says whether a road of `small_data`, if one may be taken, can begin with the head as a probe."""
    head = head_of(recipe)
    if head is None or recipe.small_data.road == "off":
        return True
    made: Any = own_head(skeleton(checkpoint, rows.task.auto_class, rows.labels, head))
    return made.last is not None


def _with_pooling(recipe: Recipe, checkpoint: Checkpoint) -> Recipe:
    """Gives the recipe whose head pools as suits the checkpoint's family, where the recipe leaves it open."""
    if getattr(recipe.head, "pooling", "") is not None:
        return recipe
    head = recipe.head.model_copy(update={"pooling": usual_pooling(checkpoint.config)})
    return recipe.model_copy(update={"head": head})


def _with_settled_labels(recipe: Recipe, rows: Rows, checkpoint: Checkpoint) -> Rows:
    """Takes the order of labels from the checkpoint's head where that is kept; says so where it matters."""
    settled, own = settle_labels(checkpoint, rows.labels), rows.labels
    if settled is None or own is None or settled.names == own.names or not _keeps_head(recipe, checkpoint, rows):
        return rows
    order = ", ".join(settled.names)
    if getattr(rows.task, "ordered", False):
        raise RecipeError(
            f"task.ordered: the checkpoint's head has these labels in another order ({order}) than they have here "
            f"({', '.join(own.names)}); leave `ordered` out, or take a checkpoint without this head"
        )
    if not rows.task.label_names:
        return replace(rows, labels=settled)
    return replace(rows, labels=settled, notes=(*rows.notes, f"the order of labels is the checkpoint's: {order}"))


def _as_done(recipe: Recipe, rows: Rows, checkpoint: Checkpoint) -> Recipe:
    """Gives the recipe as it is carried out: a revision's commit, a length that fits, the rate, the cut."""
    is_open = recipe.checkpoint.auto is not None
    pinned = recipe.checkpoint.model_copy(update={} if is_open else {"revision": checkpoint.revision})
    told = recipe.task.model_copy(update={"max_length": rows.task.max_length})
    uncut = rows.few and rows.splits.validation is None
    data = recipe.dataset.model_copy(update={"validation_fraction": 0.0} if uncut else {})
    train = recipe.train
    if train.learning_rate == "auto":
        usual = usual_rate(checkpoint.config) * (LORA_RATE if recipe.lora is not None else 1)
        train = train.model_copy(update={"learning_rate": usual})
    return recipe.model_copy(update={"checkpoint": pinned, "task": told, "dataset": data, "train": train})


def head_of(recipe: Recipe) -> HeadChoice | None:
    """Gives plain arguments for a recipe's `head` section; None for a head that belongs to a stock model."""
    if is_stock(recipe.head.name):
        return None
    return HeadChoice(recipe.head.name, recipe.head.model_dump(mode="json", exclude={"name", "start"}))


def _shorten(task: Task, limit: int) -> None:
    stride = getattr(task, "stride", None)
    if stride is not None and stride + 8 >= limit:
        raise DataError(f"task.stride: is {stride}, but the checkpoint takes {limit} tokens at most; make it smaller")
    task.max_length = limit


def _plan(recipe: Recipe, encoded: Encoded, checkpoint: Checkpoint, labels: LabelSet | None) -> Plan:
    settles = probe_settles(recipe, checkpoint, labels, head_of(recipe))
    return plan_of(recipe, encoded, int(checkpoint.config.num_hidden_layers), settles)
