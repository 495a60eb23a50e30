"""What must hold of rows before a model is loaded. Every mistake is one line with file and row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from textxfer.errors import DataError, shortened
from textxfer.labels import LabelSet, in_order, twins
from textxfer.records import Split, Splits

MOST_LABELS_SHOWN = 20


def label_set(splits: Splits, names: Sequence[str] | None = None, several: bool = False) -> LabelSet:
    """Gives the labels of a data set, in their settled order, after checking every row's.

    Args:
        splits: With columns selected.
        names: The labels and their order, where the recipe says them.
        several: Whether a row may have any number of labels.

    Returns:
        Labels in the order of `names`, else of the data set's ClassLabel, else numbers ascending, else by code point.

    Raises:
        DataError: A label is missing, unknown, the twin of another, or there is one only.
    """
    problems: list[str] = []
    for _, split in splits.present():
        problems.extend(_shape_problems(split, several))
    if problems:
        raise DataError(*problems)
    counts = Counter(_all_labels(splits.train))
    known = tuple(names) if names else (splits.train.label_names or in_order(counts))
    legal = f"the labels are: {', '.join(known[:MOST_LABELS_SHOWN])}{', ...' if len(known) > MOST_LABELS_SHOWN else ''}"
    if not names:
        problems.extend(
            f"{splits.train.origin}: the labels {first!r} and {second!r} look like one; mend them, or name both in "
            "`task.labels`"
            for first, second in twins(counts)
        )
    if len(known) < 2 or (not names and len(counts) < 2):
        only = ", ".join(repr(name) for name in counts) or "none"
        problems.append(f"{splits.train.origin}: has one label only ({only}); a classifier needs two or more")
    problems.extend(f"{splits.train.origin}: no row has the label {name!r} of `task.labels`" for name in _unseen(names, counts))
    for name, split in splits.present():
        where_from = "task.labels" if names else "the training rows"
        strangers = [
            f"{split.where(index)}: label {label!r} is not among {where_from} ({legal})"
            for index, label in _labels_by_row(split)
            if label not in known and (names or name != "train")
        ]
        problems.extend(shortened(strangers))
    if problems:
        raise DataError(*problems)
    return LabelSet(known, tuple(counts.get(name, 0) for name in known))


def question_rows(splits: Splits) -> Splits:
    """Checks answers and ids, and joins rows that repeat a question into one with several references.

    Raises:
        DataError: An answer is not at its offset, or an id is used for two questions.
    """
    problems: list[str] = []
    joined = {}
    for name, split in splits.present():
        found = [*_answer_problems(split), *_id_problems(split)]
        problems.extend(shortened(found))
        if not found:
            joined[name] = _joined(split)
    if problems:
        raise DataError(*problems)
    return Splits(**joined)


def _shape_problems(split: Split, several: bool) -> list[str]:
    values = split.rows["label"][:]
    if values and all(value is None or value == [] for value in values) and not (several and [] in values):
        return [
            f"{split.origin}: every label is missing (-1 or empty), as in test splits whose labels the Hub hides; use "
            "another split as `dataset.test`"
        ]
    problems = []
    for index, value in enumerate(values):
        if value is None or (isinstance(value, list) and None in value):
            problems.append(f"{split.where(index)}: the label is missing")
        elif value == "":
            problems.append(f"{split.where(index)}: the label is empty")
        elif isinstance(value, list) and not several:
            problems.append(f"{split.where(index)}: has a list of labels; say `task: {{name: topic, multi_label: true}}`")
        elif isinstance(value, str) and several:
            return [f"{split.where(index)}: has one label, not a list; say `dataset.label_delimiter` (multi_label is true)"]
    return shortened(problems)


def _labels_by_row(split: Split) -> Iterator[tuple[int, str]]:
    for index, value in enumerate(split.rows["label"][:]):
        for label in value if isinstance(value, list) else [value]:
            yield index, label


def _all_labels(split: Split) -> Iterable[str]:
    return (label for _, label in _labels_by_row(split))


def _unseen(names: Sequence[str] | None, counts: Counter[str]) -> list[str]:
    return [name for name in names or () if name not in counts]


def _answer_problems(split: Split) -> Iterator[str]:
    contexts, answers = split.rows["context"][:], split.rows["answers"][:]
    for index, (context, answer) in enumerate(zip(contexts, answers, strict=True)):
        if len(answer["text"]) != len(answer["answer_start"]):
            yield f"{split.where(index)}: has {len(answer['text'])} answers and {len(answer['answer_start'])} offsets"
            continue
        for text, start in zip(answer["text"], answer["answer_start"], strict=True):
            if not text:
                yield f"{split.where(index)}: an answer is empty; a question without answer has an empty list"
            elif start < 0 or context[start : start + len(text)] != text:
                found = context[max(start, 0) : max(start, 0) + len(text)]
                place = context.find(text)
                hint = f"; the text first stands at {place}" if place >= 0 else "; the context does not contain it"
                yield f"{split.where(index)}: the answer {text!r} is not at offset {start}, where {found!r} is{hint}"


def _id_problems(split: Split) -> Iterator[str]:
    first: dict[str, int] = {}
    keys = list(zip(split.rows["id"][:], split.rows["question"][:], split.rows["context"][:], strict=True))
    for index, key in enumerate(keys):
        earlier = first.setdefault(key[0], index)
        if keys[earlier] != key:
            yield f"{split.where(index)}: the id {key[0]!r} is also that of another question (row {earlier + 1})"


def _joined(split: Split) -> Split:
    import datasets

    groups: dict[str, dict[str, object]] = {}
    for row in split.rows:
        known = groups.setdefault(row["id"], {**row, "answers": {"text": [], "answer_start": []}})
        seen = known["answers"]
        assert isinstance(seen, dict)
        pairs = set(zip(seen["text"], seen["answer_start"], strict=True))
        for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True):
            if (text, start) not in pairs:
                seen["text"].append(text)
                seen["answer_start"].append(start)
    if len(groups) == len(split):
        return split
    rows = datasets.Dataset.from_list(list(groups.values()), features=split.rows.features)
    return replace(split, rows=rows)
