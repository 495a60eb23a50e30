"""What can be wrong with a recipe whose every field is right: fields that do not fit each other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from textxfer import registry
from textxfer.errors import RecipeError
from textxfer.recipe.freeze_checks import freeze_problems
from textxfer.recipe.merging import id_and_revision
from textxfer.recipe.problems import Problem
from textxfer.recipe.schema import Recipe
from textxfer.recipe.sections import ADAPTED
from textxfer.recipe.small_data_section import unused_fields
from textxfer.section import NATIVE, TEXT2TEXT

ON_EVERY_ROAD = {
    "class_weights",
    "precision",
    "prefix_cache",
    "cuda_graphs",
    "activation_checkpointing",
    "micro_batch_size",
    "seed",
    "seeds",
    "save_every",
    "log_every",
    "trackers",
}
"""Fields of `train` that do not say how steps are taken: they leave the road of `small_data` open."""


def task_of(recipe: Recipe) -> Any:
    """Makes the task that a recipe names (no weights are needed for it)."""
    options = recipe.task.model_dump(exclude={"name"})
    task = registry.load("tasks", recipe.task.name)(**options)  # type: ignore[attr-defined]
    head: Any = recipe.head
    if head.name != TEXT2TEXT or not hasattr(task, "to_be_written"):
        return task
    return task.to_be_written(head.prompt, head.prompt_pair)


def completed(recipe: Recipe) -> Recipe:
    """Gives the recipe with all it leaves to others: metrics, the head's start, what is frozen at first.

    It also settles that few rows are treated like many where the recipe says how to train.
    """
    task = task_of(recipe)
    metrics = recipe.evaluate.metrics or task.default_metrics
    chosen = recipe.evaluate.model_copy(update={"metrics": tuple(metrics)})
    written = recipe.head.name == TEXT2TEXT
    usual = "random" if written or task.predicts == "answers" else "probe"
    few = recipe.small_data
    fits = task.predicts == "labels" and not written and _leaves_training_open(recipe)
    if few.road == "auto" and not fits and "road" not in few.model_fields_set:
        few = few.model_copy(update={"road": "off"})
    freeze = recipe.freeze
    if _thaws_from_all(recipe):
        freeze = freeze.model_copy(update={"layers": "all"})
    head = recipe.head.model_copy(update={"start": recipe.head.start or usual})
    return recipe.model_copy(update={"evaluate": chosen, "head": head, "freeze": freeze, "small_data": few})


def _thaws_from_all(recipe: Recipe) -> bool:
    """Says whether gradual unfreezing begins with all layers frozen, since the recipe gives no number."""
    return recipe.freeze.thaw_every is not None and "layers" not in recipe.freeze.model_fields_set


def find_problems(recipe: Recipe, task: Any, rows_given: bool) -> list[Problem]:
    """Gives everything about a recipe that can never work, data and weights unseen.

    Args:
        recipe: With every field right by itself.
        task: Its task; None where that is not known, which leaves out what depends on it.
        rows_given: Rows come from Python.
    """
    return [
        *_name(recipe),
        *_checkpoint(recipe),
        *_dataset(recipe, rows_given),
        *_metrics(recipe, task),
        *_training(recipe, task),
        *_head(recipe, task),
        *_written(recipe, task),
        *freeze_problems(recipe),
        *_choices(recipe, task),
        *_small_data(recipe, task),
        *_unused(recipe),
    ]


def _name(recipe: Recipe) -> Iterator[Problem]:
    if recipe.name.lower() == ADAPTED:
        yield Problem(
            ("name",), f"`{recipe.name}` is the folder of adapted checkpoints, among those of runs; change it"
        )


def _checkpoint(recipe: Recipe) -> Iterator[Problem]:
    name, revision, auto = recipe.checkpoint.id, recipe.checkpoint.revision, recipe.checkpoint.auto
    if name is None and auto is None:
        yield Problem(("checkpoint",), "says neither `id` (a folder or a Hub id) nor `auto` (several to choose from)")
    if auto is not None:
        for key in [key for key, value in (("id", name), ("revision", revision)) if value is not None]:
            hint = "; in the list, write id@revision" if key == "revision" else ""
            yield Problem(("checkpoint", key), f"names one checkpoint, and `auto` several; keep one of them{hint}")
    elif revision is not None and name is not None and (name.startswith("package:") or os.path.isabs(name)):
        yield Problem(("checkpoint", "revision"), f"goes with a Hub id only, not with `{name}`")
    for place, each in enumerate(auto or ()):
        if not all(part is None or part for part in id_and_revision(each)):
            yield Problem(("checkpoint", "auto", f"[{place}]"), f"`{each}` is not of the form id@revision")


def _choices(recipe: Recipe, task: Any) -> Iterator[Problem]:
    """Finds what is left to probes, which need one label a text, where there is none."""
    if task is None or task.predicts == "labels":
        return
    instead = {
        ("checkpoint", "auto"): (recipe.checkpoint.auto is not None, "name one checkpoint as `id`"),
        ("freeze", "layers"): (recipe.freeze.layers == "auto", "give a number or `all`"),
    }
    for path, (asked, hint) in instead.items():
        if asked:
            yield Problem(path, f"can be chosen where each text has one label; this task gives {task.predicts}: {hint}")


def _leaves_training_open(recipe: Recipe) -> bool:
    """Says whether a recipe, as it was written, leaves it to `small_data` how the model is trained."""
    steps = recipe.train.model_fields_set - ON_EVERY_ROAD
    return not (steps or recipe.freeze.model_fields_set or recipe.lora or "start" in recipe.head.model_fields_set)


def _small_data(recipe: Recipe, task: Any) -> Iterator[Problem]:
    few, written = recipe.small_data, recipe.small_data.model_fields_set
    if few.road != "contrastive":
        for key in sorted(written & {"steps", "learning_rate"}):
            if getattr(few, key) is not None:
                yield Problem(("small_data", key), f"is of the road `contrastive`, and `road` is `{few.road}`")
    if "road" not in written or few.road == "off":
        return
    road = ("small_data", "road")
    if task is not None and task.predicts != "labels":
        yield Problem(road, f"there are roads where each text has one label; this task gives {task.predicts}")
    if recipe.head.name == TEXT2TEXT:
        yield Problem(road, f"a road begins with a probe, and the head `{TEXT2TEXT}` has none; leave it out")
    if recipe.head.start == "random":
        yield Problem(("head", "start"), f"the road `{few.road}` fits the head as a probe; leave it out")
    if recipe.lora is not None and few.road != "fine_tune":
        yield Problem(("lora",), f"goes with the road `fine_tune`, not with `{few.road}`; leave one of them out")
    if recipe.train.phases is not None or recipe.freeze.thaw_every is not None:
        yield Problem(road, f"the road `{few.road}` says what is trained; leave it out, or phases and `thaw_every`")
    layers = recipe.freeze.layers
    if few.road == "auto" and layers == "auto":
        message = "cannot be `auto` while roads are compared (`small_data: auto`); give a number, or name a road"
        yield Problem(("freeze", "layers"), message)
    if few.road == "probe" and "layers" in recipe.freeze.model_fields_set and layers != "all":
        yield Problem(("freeze", "layers"), f"is {layers}, but on the road `probe` all layers are frozen; leave it out")
    if few.road == "contrastive" and layers == "all":
        yield Problem(("freeze", "layers"), "is `all`: nothing is left that the contrastive start could train")


def _unused(recipe: Recipe) -> Iterator[Problem]:
    """Finds fields of `train` that the road of `small_data` that is named makes no use of."""
    road = recipe.small_data.road
    for name in set_but_unused(recipe, road, recipe.head.name):
        what = f"the road `{road}` takes no steps on labels and has no use for it; leave it out, or take `fine_tune`"
        if name == "learning_rate" and road == "contrastive":
            what = "`small_data.learning_rate` stands in for it; keep one of them"
        yield Problem(("train", name), what)


def set_but_unused(recipe: Recipe, road: str, head: str) -> list[str]:
    """Gives the fields of `train` that a recipe sets to something unusual, and that a road makes no use of.

    Args:
        recipe: As it was given.
        road: Of `small_data`.
        head: The name of the head.
    """
    train, own_rate = recipe.train, recipe.small_data.learning_rate is not None
    usual = type(train)()
    return [
        name
        for name in unused_fields(road, head, own_rate=own_rate)
        if name in train.model_fields_set and getattr(train, name) != getattr(usual, name)
    ]


def _head(recipe: Recipe, task: Any) -> Iterator[Problem]:
    head = recipe.head
    if recipe.lora is not None and not recipe.lora.merge and head.name != NATIVE:
        message = f"is false: it keeps an adapter, which peft loads with the native head only, not `{head.name}`"
        yield Problem(("lora", "merge"), message)
    if task is None or task.predicts != "answers":
        return
    if head.name not in (NATIVE, TEXT2TEXT):
        yield Problem(("head",), f"answers need the native head: `{head.name}` gives one vector of logits a text")
    elif head.start == "probe":
        yield Problem(("head", "start"), "a probe foretells labels, and this task gives answers; leave it out")


def _written(recipe: Recipe, task: Any) -> Iterator[Problem]:
    """Finds what does not go with a model that writes, whose head is its own decoder."""
    head: Any = recipe.head
    if head.name != TEXT2TEXT:
        return
    if head.start == "probe":
        what = f"a probe is fitted to a last linear layer, and {TEXT2TEXT} has none; leave it out"
        yield Problem(("head", "start"), what)
    thaws = _thaws_from_all(recipe)
    frozen: dict[tuple[str, ...], bool] = {
        ("freeze", "thaw_every" if thaws else "layers"): thaws or recipe.freeze.layers == "all"
    }
    for number, phase in enumerate(recipe.train.phases or ()):
        frozen["train", "phases", f"[{number}]", "freeze", "layers"] = phase.freeze.layers == "all"
    what = f"leaves nothing to train: {TEXT2TEXT} has no head but the decoder; freeze a number of layers"
    yield from (Problem(path, what) for path, whole in frozen.items() if whole)
    if recipe.train.head_learning_rate is not None:
        yield Problem(("train", "head_learning_rate"), f"{TEXT2TEXT} has no head but the decoder; leave it out")
    if task is None:
        return
    if not hasattr(task, "to_be_written"):
        yield Problem(("head",), f"{TEXT2TEXT} does not know how to write this task; use another head")
    if task.predicts == "label sets":
        yield Problem(("task", "multi_label"), f"the head {TEXT2TEXT} writes one label a text; use another head")
    if head.words and task.predicts == "answers":
        yield Problem(("head", "words"), "are for labels, and this task gives answers; leave it out")
    for label in head.words if task.label_names else ():
        if label not in task.label_names:
            yield Problem(("head", "words", label), registry.unknown(label, task.label_names, "label"))


def chosen_metric(recipe: Recipe) -> str:
    """Gives the metric on validation that chooses the best weights."""
    task = task_of(recipe)
    metrics = recipe.evaluate.metrics or task.default_metrics
    return recipe.evaluate.select_by or (task.select_by if task.select_by in metrics else metrics[0])


def _dataset(recipe: Recipe, rows_given: bool) -> Iterator[Problem]:
    data = recipe.dataset
    if data.path is not None and data.hub is not None:
        yield Problem(("dataset",), "names both `path` and `hub`; keep one")
    if data.path is None and data.hub is None and not rows_given:
        yield Problem(("dataset",), "says neither `path` (a file or folder) nor `hub` (a data set's id)")
    if data.hub is None:
        for key in ("config", "revision"):
            if getattr(data, key) is not None:
                yield Problem(("dataset", key), "goes with `dataset.hub` only")


def _metrics(recipe: Recipe, task: Any) -> Iterator[Problem]:
    chosen, names = recipe.evaluate.select_by, recipe.evaluate.metrics or ()
    labels = len(task.label_names) if task is not None and task.label_names else None
    for place, name in enumerate(names):
        if message := metric_problem(name, task, labels):
            yield Problem(("evaluate", "metrics", f"[{place}]"), message)
    known = [name for name in names if name in registry.names("metrics")]
    if not names and task is not None:
        known = list(task.default_metrics)
    if chosen is not None and known and chosen not in known:
        message = "must be one of `evaluate.metrics`: " + registry.unknown(chosen, known, what="metric")
        yield Problem(("evaluate", "select_by"), message)


def metric_problem(name: str, task: Any, labels: int | None) -> str | None:
    """Says why what a task gives cannot be judged by a metric; None where it can.

    Args:
        name: Of the metric.
        task: Of a recipe or of a saved model; None where that is not known.
        labels: How many it has; None where that is not known, or there are none.
    """
    try:
        metric = registry.load("metrics", name)
    except RecipeError as error:
        return str(error)
    if not hasattr(metric, "misfit"):
        return f"`{name}` was registered, but is no `textxfer.Metric`"
    if task is None:
        return None
    why = metric.misfit(task.predicts, ordered=getattr(task, "ordered", False), labels=labels)
    return f"`{name}` {why}" if why else None


def _training(recipe: Recipe, task: Any) -> Iterator[Problem]:
    train = recipe.train
    size = train.micro_batch_size
    if size != "auto" and size > train.batch_size:
        message = f"is {size}, which is more than `train.batch_size` ({train.batch_size})"
        yield Problem(("train", "micro_batch_size"), message)
    if train.seeds is not None and "seed" in train.model_fields_set:
        yield Problem(("train", "seed"), "`train.seeds` stands in for it; keep one of them")
    # On a road of `small_data` there may be more epochs, where their number is not written.
    lengthened = "road" in recipe.small_data.model_fields_set and recipe.small_data.road != "off"
    settled = "epochs" in train.model_fields_set or not lengthened
    counted = train.evaluate_every == "epoch" and train.phases is None and settled
    if train.patience is not None and counted and train.patience >= train.epochs:
        epochs = train.epochs
        message = f"is {train.patience}, but {epochs} epochs are evaluated {epochs} times: it can never fire"
        yield Problem(("train", "patience"), message)
    if task is None:
        return
    if recipe.suspects == "on" and task.predicts != "labels":
        yield Problem(("suspects",), "is `on`, but suspects can be found only where each row has one label")
    if train.class_weights != "none" and task.predicts == "answers":
        yield Problem(("train", "class_weights"), "has no meaning for answers; leave it out")
    if isinstance(train.class_weights, dict) and task.label_names:
        for label in train.class_weights:
            if label not in task.label_names:
                yield Problem(("train", "class_weights", label), registry.unknown(label, task.label_names, "label"))
