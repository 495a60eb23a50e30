"""`assess`: how good a saved model is on rows that it has not seen."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from textxfer import registry
from textxfer.data.columns import select_columns
from textxfer.errors import DataError
from textxfer.evaluation.evaluate import Evaluation
from textxfer.evaluation.slices import parts_of, quarters, scores_of_slices
from textxfer.evaluation.verdict import contexts, scores_by_split, verdict, with_texts
from textxfer.labels import LabelSet
from textxfer.records import Split, Splits
from textxfer.serving.engine import Engine, open_engine
from textxfer.sources.files import Files
from textxfer.sources.memory import as_dataset

DEFAULT_SPLITS = ("test", "validation", "train")


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
        TextxferError: The rows, their labels or the model are not as they must be; one line for each mistake.
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
    _check_slices(raw, slices)
    task = engine.task
    wanted = {name: name for name in task.required_columns} | dict(columns or {})
    told = select_columns(Splits(raw), wanted, label_delimiter=label_delimiter).train
    _check_labels(told, engine.labels)
    rows = replace(told, label_names=engine.labels.names if engine.labels else None)
    ready = task.prepare(Splits(rows))[0].train if engine.labels is None else rows
    if slices and len(ready) != len(raw):
        raise DataError(f"{raw.origin}: questions with several rows cannot be cut into slices by column")
    names = tuple(metrics or task.default_metrics)
    found = engine.evaluate(ready.rows, names)
    kinds = {name: parts_of(raw.rows[name][:]) for name in slices} | _own_slices(ready)
    groups = contexts(ready.rows)
    told_slices = scores_of_slices(found.predictions, kinds, names, engine.labels, groups)
    extra = {name: raw.rows[name][:] for name in slices}
    told_rows = with_texts(task.records(found.predictions, engine.labels), ready.rows)
    records = [
        {**record, **{name: values[place] for name, values in extra.items()}} for place, record in enumerate(told_rows)
    ]
    return Assessment(_metrics(found, engine.labels, groups) | {"slices": told_slices}, records)


def assess_given(
    engine: Engine,
    rows: Any,
    columns: Mapping[str, str] | None,
    label_delimiter: str | None,
    metrics: Sequence[str] | None,
) -> Assessment:
    """Judges a model that is open on rows given in Python; see `TextClassifier.evaluate`."""
    split = Split(as_dataset(rows, "rows"), "rows")
    named = {"text_pair": "text_pair"} if "text_pair" in split.rows.column_names else {}
    wanted = (named if engine.labels is not None else {}) | dict(columns or {})
    try:
        return assess_rows(engine, split, columns=wanted, label_delimiter=label_delimiter, metrics=metrics)
    except DataError as error:  # told in the words of a recipe
        lines = (re.sub(r"`dataset\.(\w+)`", r"columns={'\1': ...}", line) for line in error.lines)
        raise DataError(*lines) from error


def _check_slices(raw: Split, slices: Sequence[str]) -> None:
    there = raw.rows.column_names
    missing = [name for name in slices if name not in there]
    if missing:
        raise DataError(*(f"{raw.origin}: has {registry.unknown(name, there, 'column')}" for name in missing))


def _rows(data: Path, split: str | None) -> Split:
    """Gives the rows of a file, or of one split of a folder."""
    splits = Files(data).load() if data.is_dir() else Splits(Files(data).load().train)
    there = dict(splits.present())
    if data.is_dir():
        wanted = split or next(name for name in DEFAULT_SPLITS if name in there)
        if wanted not in there:
            raise DataError(f"{data}: has no {wanted} split; it has {', '.join(there)}")
        return there[wanted]
    if split is not None:
        raise DataError(f"{data}: is one file, and --split chooses among the files of a folder")
    return there["train"]


def _check_labels(split: Split, labels: LabelSet | None) -> None:
    if labels is None:
        return
    values = split.rows["label"][:]
    seen = {name for value in values for name in (value if isinstance(value, list) else [value])}
    unknown = sorted(map(str, seen - set(labels.names)))
    if unknown:
        known = [f"{split.origin}: {registry.unknown(name, labels.names, 'label')}" for name in unknown[:10]]
        raise DataError(*known, *([f"and {len(unknown) - 10} more labels"] if len(unknown) > 10 else []))


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
