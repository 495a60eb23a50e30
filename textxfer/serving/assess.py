"""`assess`: how good a saved model is on rows that it has not seen."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from textxfer import registry
from textxfer.data.checks import label_problems
from textxfer.data.columns import select_columns
from textxfer.errors import DataError, RecipeError
from textxfer.evaluation.evaluate import Evaluation
from textxfer.evaluation.slices import parts_of, quarters, scores_of_slices
from textxfer.evaluation.verdict import contexts, scores_by_split, verdict, with_texts
from textxfer.labels import LabelSet
from textxfer.recipe.checks import metric_problem
from textxfer.records import Split, Splits
from textxfer.serving._columns_to_read import columns_to_read
from textxfer.serving.engine import Engine, open_engine
from textxfer.sources.files import Files
from textxfer.sources.memory import as_dataset

DEFAULT_SPLITS = ("test", "validation", "train")
OF_LABELS = {"id", "reference", "prediction", "probabilities", "text", "text_pair", "label"}
OF_ANSWERS = {"id", "references", "answer", "score", "start", "end", "question", "context"}
"""What a line of predictions.jsonl has, and so no column beside it."""


@dataclass(frozen=True)
class Assessment:
    """What is known of a model on some rows.

    Attributes:
        metrics: As metrics.json has it, the rows under `test`; with `slices`.
        records: A line of predictions.jsonl for each row: with its texts and the columns of its slices.
    """

    metrics: Mapping[str, Any]
    records: Sequence[Mapping[str, Any]]

    @property
    def scores(self) -> Mapping[str, float]:
        """Each metric's number over all rows."""
        found: Mapping[str, float] = self.metrics["test"]
        return found


def assess(
    model: str,
    data: Path,
    *,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
    label_delimiter: str | None = None,
    metrics: Sequence[str] | None = None,
    slices: Sequence[str] = (),
    revision: str | None = None,
    backend: Literal["torch", "onnx"] = "torch",
    device: str | None = None,
    precision: Literal["fp32", "auto"] = "fp32",
    batch_tokens: int | None = None,
) -> Assessment:
    """Judges a saved model on labelled rows.

    Args:
        model: A folder or a Hub id.
        data: A file, or a folder with a file for each split.
        split: Of the folder: train, validation or test. Default: the test split if there is one.
        columns: The data's names of the task's columns, where they differ: {"text": "review"}.
        label_delimiter: What separates the labels of a row, for several labels a row.
        metrics: Names. Default: the task's.
        slices: Columns whose values cut the rows into slices, which get scores of their own.
        revision: Of a model on the Hub.
        backend: torch, or `onnx` for what `textxfer export` wrote.
        device: Default: CUDA, then MPS, else the CPU.
        precision: fp32, or `auto`: bf16 where the device does it well; for torch.
        batch_tokens: Padded tokens of a batch. Default: by device.

    Raises:
        TextxferError: The rows, their labels or the model are not as they must be, or a metric cannot judge them; one
            line for each mistake.
    """
    raw = _rows(data, split)
    _check_slices(raw, slices)
    how: dict[str, Any] = {"device": device, "precision": precision, "batch_tokens": batch_tokens}
    engine = open_engine(model, revision, backend=backend, **how)
    return assess_rows(engine, raw, columns=columns, label_delimiter=label_delimiter, metrics=metrics, slices=slices)


def assess_rows(
    engine: Engine,
    raw: Split,
    *,
    columns: Mapping[str, str] | None = None,
    label_delimiter: str | None = None,
    metrics: Sequence[str] | None = None,
    slices: Sequence[str] = (),
) -> Assessment:
    """Judges a model that is open on labelled rows; see `assess`."""
    task, labels = engine.task, engine.labels
    wanted = {name: name for name in task.required_columns} | columns_to_read(engine, raw, columns or {})
    _check_slices(raw, slices)
    _check_names(raw, slices, wanted, task.predicts == "answers")
    names = tuple(metrics or task.default_metrics)
    count = None if labels is None else len(labels)
    if problems := [problem for name in names if (problem := metric_problem(name, task, count))]:
        raise RecipeError(*(f"metrics: {problem}" for problem in problems))
    told = select_columns(Splits(raw), wanted, label_delimiter=label_delimiter).train
    if labels is not None:
        _check_labels(told, labels, task.predicts == "label sets", label_delimiter)
    rows = replace(told, label_names=labels.names if labels else None)
    ready = task.prepare(Splits(rows))[0].train if labels is None else rows
    if slices and len(ready) != len(raw):
        raise DataError(f"{raw.origin}: questions with several rows cannot be cut into slices by column")
    extra = {name: list(map(_plain, raw.rows[name][:])) for name in slices}
    found = engine.evaluate(ready.rows, names)
    kinds = {name: parts_of(values) for name, values in extra.items()} | _own_slices(ready)
    groups = contexts(ready.rows)
    told_slices = scores_of_slices(found.predictions, kinds, names, labels, groups)
    told_rows = with_texts(task.records(found.predictions, labels), ready.rows)
    records = [
        {**record, **{name: values[place] for name, values in extra.items()}} for place, record in enumerate(told_rows)
    ]
    return Assessment(_metrics(found, labels, groups) | {"slices": told_slices}, records)


def assess_given(
    engine: Engine,
    rows: Any,
    columns: Mapping[str, str] | None,
    label_delimiter: str | None,
    metrics: Sequence[str] | None,
) -> Assessment:
    """Judges a model that is open on rows given in Python; see `TextClassifier.evaluate`."""
    split = Split(as_dataset(rows, "rows"), "rows")
    try:
        return assess_rows(engine, split, columns=columns, label_delimiter=label_delimiter, metrics=metrics)
    except DataError as error:  # told in the words of a recipe
        raise DataError(*(re.sub(r"`dataset\.(\w+)`", _argument, line) for line in error.lines)) from error


def _argument(field: re.Match[str]) -> str:
    """Gives the argument in Python for a field of `dataset`."""
    own = {"label_delimiter": "`label_delimiter`", "test": "`rows`"}
    return own.get(field[1], f"columns={{'{field[1]}': ...}}")


def _check_slices(raw: Split, slices: Sequence[str]) -> None:
    there = raw.rows.column_names
    missing = [name for name in slices if name not in there]
    if missing:
        raise DataError(*(f"{raw.origin}: has {registry.unknown(name, there, 'column')}" for name in missing))


def _check_names(raw: Split, slices: Sequence[str], columns: Mapping[str, str], answers: bool) -> None:
    """Stops where a column that makes slices bears a name that predictions, or slices by length and label, have."""
    own = {*(OF_ANSWERS if answers else OF_LABELS), "length"}
    taken = [name for name in slices if name in own and columns.get(name) != name]
    if taken:
        raise DataError(
            *(f"{raw.origin}: no slices by `{name}`: results have that name; rename the column" for name in taken)
        )


def _rows(data: Path, split: str | None) -> Split:
    """Gives the rows of a file, or of one split of a folder."""
    if data.is_dir():
        return Files(data).one_of(DEFAULT_SPLITS if split is None else (split,))
    if split is not None:
        raise DataError(f"{data}: is one file, and --split chooses among the files of a folder")
    return Files(data).load().train


def _check_labels(split: Split, labels: LabelSet, several: bool, delimiter: str | None) -> None:
    """Stops where rows have labels of another kind than the model gives, or others than it knows."""
    values = split.rows["label"][:]
    advice = "say `dataset.label_delimiter`" if several else "the model gives one label a text"
    if not several and delimiter is not None:
        advice += "; leave `dataset.label_delimiter` out"
    if problems := label_problems(split, values, several=several, advice=advice):
        raise DataError(*problems)
    seen = {name for value in values for name in (value if isinstance(value, list) else [value])}
    unknown = sorted(seen - set(labels.names))
    if unknown:
        known = [f"{split.origin}: {registry.unknown(name, labels.names, 'label')}" for name in unknown[:10]]
        raise DataError(*known, *([f"and {len(unknown) - 10} more labels"] if len(unknown) > 10 else []))


def _plain(value: Any) -> Any:
    """Gives a value of a column as JSON can hold it: a date or a list as its text."""
    return value if value is None or isinstance(value, (str, bool, int, float)) else str(value)


def _own_slices(split: Split) -> dict[str, Any]:
    rows = split.rows
    column = "context" if "context" in rows.column_names else "text"
    kinds: dict[str, Any] = {"length": quarters([len(text) for text in rows[column][:]])}
    if "label" in rows.column_names and rows["label"][:] and not isinstance(rows["label"][0], list):
        kinds["label"] = parts_of(rows["label"][:])
    return kinds


def _metrics(found: Evaluation, labels: LabelSet | None, groups: Any) -> dict[str, Any]:
    told = verdict(found, found.scores.values, labels, groups).to_metrics("test")
    return {
        "format": 1,
        **scores_by_split({"test": found}),
        **told,
        "num_examples": {"test": found.scores.num_examples},
    }
