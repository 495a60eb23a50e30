"""From a recipe's `dataset` and `task` to rows that are checked and cut."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textxfer.data.columns import select_columns
from textxfer.data.reviewed import WEIGHT, heed
from textxfer.data.splits import cut, reserve
from textxfer.labels import LabelSet
from textxfer.recipe.checks import task_of
from textxfer.recipe.schema import Recipe
from textxfer.records import Splits
from textxfer.sources.files import Files
from textxfer.sources.hub import Hub
from textxfer.sources.memory import Memory
from textxfer.tasks import Task
from textxfer.training.checks import check_rows
from textxfer.training.few_rows import are_few, keeps_rows


@dataclass(frozen=True)
class Rows:
    """Checked and cut rows.

    Attributes:
        task: The recipe's.
        splits: Ready to encode.
        labels: None for answers.
        notes: What the user should know, a sentence each.
        few: Whether they are so few that the recipe treats them unlike many.
        held_back: Names of the splits that were cut from train.
    """

    task: Task
    splits: Splits
    labels: LabelSet | None
    notes: tuple[str, ...]
    few: bool = False
    held_back: tuple[str, ...] = ()

    @property
    def sets(self) -> int | None:
        """How many training rows there are, where each has a set of labels; None where it has one, or none."""
        return len(self.splits.train) if getattr(self.task, "multi_label", False) else None


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
    few = are_few(recipe, task, labels)
    whole = few and keeps_rows(recipe)
    splits = cut(
        splits,
        strata,
        groups,
        validation_fraction=0.0 if whole else data.validation_fraction,
        test_fraction=data.test_fraction if single_file else 0.0,
        seed=data.split_seed,
    )
    notes = []
    if data.drop is not None:
        count, splits = len(splits.train), heed(splits, Path(data.drop))
        notes.append(_heeded(count, splits))
    if labels is not None:
        labels = _recounted(labels, splits)
    if isinstance(source, Files) and (unused := source.unused()):
        notes.append(f"{source.path}: not used: {', '.join(unused)}")
    if whole and raw.validation is None and data.validation_fraction > 0:
        notes.append("no validation split, and none is cut from so few rows (`small_data: off` cuts one)")
    held_back = {name: split for name, split in splits.present() if getattr(raw, name) is None}
    notes += [f"no {name} split: {len(split)} rows were cut from train" for name, split in held_back.items()]
    if splits.test is None and splits.validation is None:
        notes.append("no validation and no test split: the last weights are kept, and nothing is scored")
    elif splits.test is None:
        notes.append("no test split: the final scores are those on validation, which chose the weights")
    check_rows(recipe, splits, labels)
    if recipe.calibrate == "auto" and task.predicts == "labels" and splits.validation is not None:
        splits = reserve(splits, task.cut_by(splits.validation.rows)[0] or (), seed=data.split_seed)
    return Rows(task, splits, labels, tuple(notes), few, tuple(held_back))


def _heeded(count: int, splits: Splits) -> str:
    rows = splits.train.rows
    lighter = sum(weight < 1 for weight in rows[WEIGHT]) if WEIGHT in rows.column_names else 0
    less = f", and {lighter} count less in the loss" if lighter else ""
    return f"dataset.drop: {count - len(rows)} of {count} training rows are left out{less}"


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
