"""What can be wrong with a recipe whose every field is right: fields that do not fit each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from textxfer import registry
from textxfer.errors import RecipeError
from textxfer.recipe.problems import Problem
from textxfer.recipe.schema import Recipe


def task_of(recipe: Recipe) -> Any:
    """Makes the task that a recipe names (no weights are needed for it)."""
    options = recipe.task.model_dump(exclude={"name"})
    return registry.load("tasks", recipe.task.name)(**options)  # type: ignore[attr-defined]


def completed(recipe: Recipe) -> Recipe:
    """Gives the recipe with the task's own metrics where it names none."""
    metrics = recipe.evaluate.metrics or task_of(recipe).default_metrics
    chosen = recipe.evaluate.model_copy(update={"metrics": tuple(metrics)})
    return recipe.model_copy(update={"evaluate": chosen})


def find_problems(recipe: Recipe, rows_given: bool) -> list[Problem]:
    """Gives everything about a recipe that can never work, data and weights unseen."""
    task = task_of(recipe)
    return [*_dataset(recipe, rows_given), *_metrics(recipe, task), *_training(recipe, task)]


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
    fitting = []
    for name in recipe.evaluate.metrics or task.default_metrics:
        try:
            metric = registry.load("metrics", name)
        except RecipeError as error:
            yield Problem(("evaluate", "metrics"), str(error))
            continue
        fitting.append(name)
        task_name = recipe.task.name  # type: ignore[attr-defined]
        if task.predicts not in metric.judges:
            judges = " or ".join(metric.judges)
            message = f"`{name}` judges {judges}, but the task {task_name} gives {task.predicts}"
            yield Problem(("evaluate", "metrics"), message)
        elif metric.needs == "ordered labels" and not getattr(task, "ordered", False):
            yield Problem(("evaluate", "metrics"), f"`{name}` needs labels with an order: say `task.ordered: true`")
        elif metric.needs == "two labels" and task.label_names and len(task.label_names) != 2:
            message = f"`{name}` needs two labels, and `task.labels` has {len(task.label_names)}; try `macro_f1`"
            yield Problem(("evaluate", "metrics"), message)
    chosen = recipe.evaluate.select_by
    if chosen is not None and chosen not in fitting:
        yield Problem(("evaluate", "select_by"), "must be one of `evaluate.metrics`: " + registry.unknown(chosen, fitting))


def _training(recipe: Recipe, task: Any) -> Iterator[Problem]:
    train = recipe.train
    size = train.micro_batch_size
    if size != "auto" and size > train.batch_size:
        message = f"is {size}, which is more than `train.batch_size` ({train.batch_size})"
        yield Problem(("train", "micro_batch_size"), message)
    if train.patience is not None and train.evaluate_every == "epoch" and train.patience >= train.epochs:
        message = f"is {train.patience}, but {train.epochs} epochs are evaluated {train.epochs} times: it can never fire"
        yield Problem(("train", "patience"), message)
    if train.class_weights != "none" and task.predicts == "answers":
        yield Problem(("train", "class_weights"), "has no meaning for answers; leave it out")
    if isinstance(train.class_weights, dict) and task.label_names:
        for label in train.class_weights:
            if label not in task.label_names:
                yield Problem(("train", "class_weights", label), registry.unknown(label, task.label_names, "label"))
