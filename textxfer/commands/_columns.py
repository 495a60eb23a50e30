"""What the columns of somebody's data probably hold: texts, labels, questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from textxfer.errors import DataError
from textxfer.labels import label_name
from textxfer.records import Split
from textxfer.registry import unknown

ROWS_LOOKED_AT = 5000
MOST_LABELS = 200
MOST_LETTERS = 50
"""Of a label, where only its value shows that it is one."""

# fmt: off
TEXT_NAMES = (
    "text", "texts", "sentence", "review", "review_text", "content", "body", "comment", "message", "tweet",
    "document", "article", "headline", "title", "utterance", "query", "question", "description", "summary", "input",
)
LABEL_NAMES = (
    "label", "labels", "sentiment", "category", "categories", "class", "topic", "topics", "target", "polarity",
    "emotion", "emotions", "intent", "stars", "rating", "score", "tag", "tags", "genre", "genres", "coarse_label",
)
FEELINGS = {
    "positive", "negative", "neutral", "mixed", "pos", "neg", "neu", "good", "bad", "happy", "unhappy", "satisfied",
    "dissatisfied", "very positive", "very negative", "somewhat positive", "somewhat negative",
}
# fmt: on
FEELING_COLUMNS = {"sentiment", "polarity", "stars", "rating"}
PAIRS = (
    ("text", "text_pair"),
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("text1", "text2"),
    ("text_a", "text_b"),
)
CONTEXT_NAMES = ("context", "passage", "paragraph")
DELIMITERS = ("|", ";", ",")


@dataclass(frozen=True)
class Columns:
    """What was found.

    Attributes:
        task: Name of the task that fits.
        text: Column of the text.
        text_pair: Column of a second text, or None.
        label: Column of the label.
        labels: The labels found, most frequent first.
        several: Whether a row may have several labels.
        delimiter: What separates several labels within a text, or None.
        ordered: Whether the labels are numbers of stars or the like.
        question: Column of the question, for question answering; likewise the others.
        context: Column of the passage.
        answers: Column of the answers.
    """

    task: str
    text: str = ""
    text_pair: str | None = None
    label: str = ""
    labels: tuple[str, ...] = ()
    several: bool = False
    delimiter: str | None = None
    ordered: bool = False
    question: str = ""
    context: str = ""
    answers: str = ""


def guess(split: Split, task: str | None = None, text: str | None = None, label: str | None = None) -> Columns:
    """Guesses the columns of a data set and the task that fits.

    Args:
        split: As a source loaded it.
        task: What the user said, if anything; likewise the others.
        text: A column.
        label: A column.

    Raises:
        DataError: No column fits, or the user named one that is not there; the message lists the columns.
    """
    rows = split.select(range(min(len(split), ROWS_LOOKED_AT))).rows
    values = {name: rows[name][:] for name in rows.column_names}
    for column in (text, label):
        if column is not None and column not in values:
            raise DataError(f"{split.origin}: has {unknown(column, values, 'column')}")
    if task == "question_answering" or (task is None and label is None and text is None and _answers(values)):
        return _questions(split, values)
    label = label or _label_column(split, values, text)
    found, several, delimiter = _labels_in(rows.features[label], split.rows[label][:])
    text_pair = None
    if text is None:
        text, text_pair = _text_columns(split, values, label)
    feels = label.lower() in FEELING_COLUMNS or {name.strip().lower().replace("_", " ") for name in found} <= FEELINGS
    numbers = all(name.strip().isdecimal() for name in found)
    if task is None:
        task = "sentiment" if feels and not several and text_pair is None else "topic"
    if task == "sentiment" and several:
        raise DataError(f"{split.origin}: column `{label}` holds several labels a row; say --task topic")
    ordered = task == "sentiment" and numbers and len(found) > 2
    return Columns(task, text, text_pair, label, found, several, delimiter, ordered)


def _label_column(split: Split, values: dict[str, list[Any]], text: str | None) -> str:
    """Gives the column whose name says label, else the one with the fewest different values, each of them repeated."""
    others = {name: column for name, column in values.items() if name != text}
    sizes = {name: len({str(value) for value in column}) for name, column in others.items()}
    many = {name for name, size in sizes.items() if len(others[name]) >= 20 and size > len(others[name]) // 2}
    named = _by_name({name: size for name, size in sizes.items() if name not in many}, LABEL_NAMES)
    if named is not None:
        return named
    for name, column in others.items():
        repeats = len(column) >= 4 and 2 <= sizes[name] <= min(MOST_LABELS, len(column) // 2)
        short = all(isinstance(value, (str, int)) and len(str(value)) <= MOST_LETTERS for value in column)
        if not repeats or not short or name.lower().endswith("id"):
            del sizes[name]
    if sizes:
        return min(sizes, key=lambda name: sizes[name])
    raise DataError(
        f"{split.origin}: no column looks like a label (columns: {', '.join(values)}); say --label COLUMN, and "
        "--text COLUMN for the text"
    )


def _text_columns(split: Split, values: dict[str, list[Any]], label: str) -> tuple[str, str | None]:
    """Gives the column of the text, by its name or else the longest texts, and that of a second text."""
    lower = {name.lower(): name for name in values if name != label and _is_text(values[name])}
    for first, second in PAIRS:
        if first in lower and second in lower:
            return lower[first], lower[second]
    named = _by_name(lower, TEXT_NAMES)
    if named is not None:
        return lower[named], None
    lengths = {
        name: sum(map(len, filter(None, values[name]))) for name in lower.values() if not name.lower().endswith("id")
    }
    if not lengths:
        raise DataError(
            f"{split.origin}: no column looks like a text (columns: {', '.join(values)}; the label is `{label}`); say "
            "--text COLUMN, and --label COLUMN if the label is another"
        )
    return max(lengths, key=lambda name: lengths[name]), None


def _questions(split: Split, values: dict[str, list[Any]]) -> Columns:
    question, answers = _by_name(values, ("question", "query")), _answers(values)
    context = _by_name(values, CONTEXT_NAMES)
    if question is None or context is None or answers is None:
        raise DataError(
            f"{split.origin}: question answering needs a question, its context and answers of the form "
            f"{{text: [...], answer_start: [...]}} (columns: {', '.join(values)})"
        )
    return Columns("question_answering", question=question, context=context, answers=answers)


def _answers(values: dict[str, list[Any]]) -> str | None:
    """Gives the column whose values have `answer_start`, beside a context."""
    if _by_name(values, CONTEXT_NAMES) is None:
        return None
    for name, column in values.items():
        first = next((value for value in column if value), None)
        if isinstance(first, list):
            first = first[0]
        if isinstance(first, dict) and {"text", "answer_start"} <= set(first):
            return name
    return None


def _labels_in(feature: Any, column: list[Any]) -> tuple[tuple[str, ...], bool, str | None]:
    """Gives the labels, whether a row may have several, and what separates them."""
    declared = getattr(getattr(feature, "feature", feature), "names", None)
    lists = any(isinstance(value, (list, tuple)) for value in column)
    delimiter = None if lists or declared else _delimiter([value for value in column if isinstance(value, str)])
    counts: Counter[str] = Counter()
    for value in column:
        parts = value if isinstance(value, (list, tuple)) else [value]
        if delimiter is not None and isinstance(value, str):
            parts = [part.strip() for part in value.split(delimiter)]
        names = [
            declared[part] if declared and isinstance(part, int) and part >= 0 else label_name(part) for part in parts
        ]
        counts.update(name for name in names if name)
    return tuple(name for name, _ in counts.most_common()), lists or delimiter is not None, delimiter


def _delimiter(texts: Sequence[str]) -> str | None:
    """Gives the character that separates several labels: with it there are fewer different labels than without."""
    whole = len(set(texts))
    for delimiter in DELIMITERS:
        with_it = sum(delimiter in text for text in texts)
        parts = {part.strip() for text in texts for part in text.split(delimiter)}
        short = all(len(part) <= 30 for part in parts)
        if with_it >= max(2, len(texts) // 20) and len(parts) < whole and short and "" not in parts:
            return delimiter
    return None


def _is_text(column: Sequence[Any]) -> bool:
    return any(isinstance(value, str) for value in column) and all(
        value is None or isinstance(value, str) for value in column
    )


def _by_name(columns: dict[str, Any], wanted: Sequence[str]) -> str | None:
    lower = {name.lower().replace(" ", "_"): name for name in columns}
    return next((lower[name] for name in wanted if name in lower), None)
