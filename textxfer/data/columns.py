"""From the columns that the data have to the columns that a task knows.

Afterwards every row has `id`, and either `text`, `text_pair` (where asked for) and `label` (a name, or a list of
names), or `question`, `context` and `answers` ({text, answer_start}).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from textxfer import registry
from textxfer.errors import DataError, shortened
from textxfer.labels import label_name
from textxfer.records import Split, Splits

if TYPE_CHECKING:
    import pyarrow as pa

TEXT_COLUMNS = ("text", "text_pair", "question", "context")
LABEL_KINDS = (str, bool, int, float)


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
        if limit is not None and limit < len(split):
            first = split.select(range(limit))
            split = replace(first, origin=f"{split.origin} (its first {limit} rows, by `dataset.limit`)")
        try:
            chosen[name] = _select(split, name, columns, label_delimiter)
        except DataError as error:
            problems.extend(error.lines)
    if problems:
        raise DataError(*problems)
    return Splits(**chosen)


def row_texts(rows: Any) -> list[str]:
    """Gives the text of each row; of rows with two texts, both, with " | " between them."""
    columns = [rows[column][:] for column in TEXT_COLUMNS if column in rows.column_names]
    return [" | ".join(texts) for texts in zip(*columns, strict=True)]


def _select(split: Split, name: str, columns: Mapping[str, str], label_delimiter: str | None) -> Split:
    import datasets
    import pyarrow as pa
    from datasets.fingerprint import generate_random_fingerprint

    there = split.rows.column_names
    missing = [
        f"{split.origin}: has {registry.unknown(column, there, 'column')}; say `dataset.{key}`"
        for key, column in columns.items()
        if column not in there
    ]
    if missing:
        raise DataError(*missing)
    data: dict[str, Any] = {"id": pa.array(_ids(split, name), pa.large_string())}
    problems: list[str] = []
    label_names = None
    for key, column in columns.items():
        if key in TEXT_COLUMNS:
            texts = split.rows.with_format("arrow")[column][:]
            problems.extend(_text_problems(split, column, texts))
            data[key] = texts
            continue
        feature, values = split.rows.features[column], split.rows.with_format(None)[column][:]
        if key == "label":
            label_names, data[key], found = _labels(split, column, feature, values, label_delimiter)
        else:
            data[key], found = _each(split, column, values, _answers)
        problems.extend(found)
    if problems:
        raise DataError(*shortened(problems))
    rows = datasets.Dataset(pa.table(data), fingerprint=generate_random_fingerprint())
    return replace(split, rows=rows, label_names=label_names)


def _ids(split: Split, name: str) -> list[str]:
    if "id" in split.rows.column_names:
        values = [label_name(value) for value in split.rows.with_format(None)["id"][:]]
        if None not in values:
            return values  # type: ignore[return-value]
    return [f"{name}-{number}" for number in range(len(split))]


def _text_problems(split: Split, column: str, texts: pa.Array | pa.ChunkedArray) -> list[str]:
    from pyarrow import compute

    if str(texts.type) not in ("string", "large_string", "string_view", "null"):
        index = max(compute.index(texts.is_valid(), True).as_py(), 0)
        value = texts[index].as_py()
        return [f"{split.where(index)}: column `{column}` holds {type(value).__name__} ({value!r:.40}), not text"]
    if texts.null_count == 0:
        return []
    places = compute.indices_nonzero(texts.is_null()).to_pylist()
    return [f"{split.where(index)}: column `{column}` is missing" for index in places]


def _labels(
    split: Split, column: str, feature: Any, values: list[Any], delimiter: str | None
) -> tuple[tuple[str, ...] | None, list[Any], list[str]]:
    """Gives the data set's own label names, if it has them, each row's label or labels by name, and what is wrong."""
    inner = getattr(feature, "feature", feature)
    declared = tuple(inner.names) if hasattr(inner, "names") else None

    def name(value: Any) -> str | None:
        if declared is not None and isinstance(value, int):
            return declared[value] if 0 <= value < len(declared) else None
        if value is None or isinstance(value, LABEL_KINDS):
            return label_name(value)
        kinds = "a text, a number, true/false or a list of them"
        raise ValueError(f"holds {type(value).__name__} ({value!r:.40}), not {kinds}")

    def names(value: Any) -> Any:
        if delimiter is not None and isinstance(value, str):
            value = [part.strip() for part in value.split(delimiter) if part.strip()]
        elif delimiter is not None and value is not None and not isinstance(value, list):
            value = [value]
        return list(dict.fromkeys(map(name, value))) if isinstance(value, list) else name(value)

    return declared, *_each(split, column, values, names)


def _each(split: Split, column: str, values: list[Any], change: Callable[[Any], Any]) -> tuple[list[Any], list[str]]:
    """Changes each value; where that is impossible, says why."""
    changed, problems = [], []
    for index, value in enumerate(values):
        try:
            changed.append(change(value))
        except ValueError as error:
            problems.append(f"{split.where(index)}: column `{column}` {error}")
    return changed, problems


def _answers(value: Any) -> dict[str, list[Any]]:
    """Gives the answers of a row; a question without any has None, an empty list or empty lists.

    Raises:
        ValueError: They are of another form.
    """
    if value is None:
        return {"text": [], "answer_start": []}
    if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
        value = {key: [item.get(key) for item in value] for key in ("text", "answer_start")}
    if not isinstance(value, Mapping) or not {"text", "answer_start"} <= value.keys():
        raise ValueError(f"holds {value!r:.60}; it must be {{text: [...], answer_start: [...]}}")
    texts, starts = ([] if each is None else each for each in (value["text"], value["answer_start"]))
    if isinstance(texts, str) and isinstance(starts, int):
        texts, starts = [texts], [starts]
    if not isinstance(texts, list) or not isinstance(starts, list):
        raise ValueError(f"holds {value!r:.60}; `text` and `answer_start` must be lists")
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"holds an answer that is not text ({texts!r:.60})")
    if not all(isinstance(start, (int, float)) and float(start).is_integer() for start in starts):
        raise ValueError(f"holds an offset that is not a whole number ({starts!r:.60})")
    return {"text": texts, "answer_start": [int(start) for start in starts]}
