"""From the columns that the data have to the columns that a task knows.

Afterwards every row has `id`, and either `text`, `text_pair` (where asked for) and `label` (a name, or a list of names),
or `question`, `context` and `answers` ({text, answer_start}).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from textxfer import registry
from textxfer.errors import DataError, shortened
from textxfer.labels import label_name
from textxfer.records import Split, Splits

TEXT_COLUMNS = ("text", "text_pair", "question", "context")


def select_columns(
    splits: Splits,
    columns: Mapping[str, str],
    *,
    limit: int | None = None,
    label_delimiter: str | None = None,
) -> Splits:
    """Renames, checks and normalises the columns that a task needs.

    Args:
        splits: As a source loaded them.
        columns: The data's column for each of the task's: {"text": "review", "label": "stars"}.
        limit: Keep the first rows of each split only.
        label_delimiter: Cut the label's text at this.

    Returns:
        Splits with the task's columns and `id`.

    Raises:
        DataError: One line for each column that is missing or of the wrong kind, and for each missing text.
    """
    problems: list[str] = []
    chosen: dict[str, Split] = {}
    for name, split in splits.present():
        if limit is not None:
            split = split.select(range(min(limit, len(split))))
        try:
            chosen[name] = _select(split, name, columns, label_delimiter)
        except DataError as error:
            problems.extend(error.lines)
    if problems:
        raise DataError(*problems)
    return Splits(**chosen)


def _select(split: Split, name: str, columns: Mapping[str, str], label_delimiter: str | None) -> Split:
    import datasets

    there = split.rows.column_names
    missing = [
        f"{split.origin}: has {registry.unknown(column, there, 'column')}; say `dataset.{key}`"
        for key, column in columns.items()
        if column not in there
    ]
    if missing:
        raise DataError(*missing)
    data: dict[str, Any] = {"id": _ids(split, name)}
    problems: list[str] = []
    label_names = None
    for key, column in columns.items():
        feature = split.rows.features[column]
        values = split.rows[column][:]
        if key in TEXT_COLUMNS:
            problems.extend(_text_problems(split, column, values))
            data[key] = values
        elif key == "label":
            label_names, data[key] = _labels(feature, values, label_delimiter)
        else:
            data[key] = [_answers(value) for value in values]
    if problems:
        raise DataError(*shortened(problems))
    return replace(split, rows=datasets.Dataset.from_dict(data), label_names=label_names)


def _ids(split: Split, name: str) -> list[str]:
    if "id" in split.rows.column_names:
        values = split.rows["id"][:]
        if all(value is not None for value in values):
            return [str(value) for value in values]
    return [f"{name}-{number}" for number in range(len(split))]


def _text_problems(split: Split, column: str, values: list[Any]) -> list[str]:
    for index, value in enumerate(values):
        if value is not None and not isinstance(value, str):
            return [f"{split.where(index)}: column `{column}` holds {type(value).__name__} ({value!r}), not text"]
    return [f"{split.where(index)}: column `{column}` is missing" for index, value in enumerate(values) if value is None]


def _labels(feature: Any, values: list[Any], delimiter: str | None) -> tuple[tuple[str, ...] | None, list[Any]]:
    """Gives the data set's own label names, if it has them, and each row's label or labels by name."""
    inner = getattr(feature, "feature", feature)
    declared = tuple(inner.names) if hasattr(inner, "names") else None

    def name(value: Any) -> str | None:
        if declared is not None and isinstance(value, int):
            return declared[value] if 0 <= value < len(declared) else None
        return label_name(value)

    named: list[Any] = []
    for value in values:
        if isinstance(value, str) and delimiter is not None:
            named.append([part.strip() for part in value.split(delimiter) if part.strip()])
        elif isinstance(value, (list, tuple)):
            named.append([name(item) for item in value])
        else:
            named.append(name(value))
    return declared, named


def _answers(value: Any) -> dict[str, list[Any]]:
    if value is None:
        return {"text": [], "answer_start": []}
    if isinstance(value, list):  # [{"text": ..., "answer_start": ...}, ...]
        value = {key: [item.get(key) for item in value] for key in ("text", "answer_start")}
    starts = [-1 if start is None else int(start) for start in value.get("answer_start") or []]
    return {"text": list(value.get("text") or []), "answer_start": starts}
