"""What must hold of rows before a model is loaded. Every mistake is one line with file and row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

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
    labels = {name: split.rows["label"][:] for name, split in splits.present()}
    problems: list[str] = []
    advice = "say `dataset.label_delimiter`" if several else "say `task: {name: topic, multi_label: true}`"
    for name, split in splits.present():
        problems.extend(label_problems(split, labels[name], several=several, advice=advice))
    if problems:
        raise DataError(*problems)
    train = splits.train
    counts = Counter(label for _, label in _each_label(labels["train"]))
    known = tuple(names) if names else (train.label_names or in_order(counts))
    if names:
        problems.extend(
            f"{train.origin}: no row has the label {name!r} of `task.labels`" for name in names if name not in counts
        )
    else:
        advice = "mend them, or name both in `task.labels`"
        problems.extend(f"{train.origin}: the labels {a!r} and {b!r} look like one; {advice}" for a, b in twins(counts))
    if len(known) < 2 or (not names and len(counts) < 2):
        only = ", ".join(repr(name) for name in counts) or "none"
        problems.append(f"{train.origin}: has one label only ({only}); a classifier needs two or more")
    legal = "`task.labels`" if names else f"the labels of {train.origin}"
    shown = f"{', '.join(known[:MOST_LABELS_SHOWN])}{', ...' if len(known) > MOST_LABELS_SHOWN else ''}"
    for name, split in splits.present():
        strangers = _labels_outside(split, labels[name], set(known), f"{legal} ({shown})")
        problems.extend(shortened(strangers))
    if problems:
        raise DataError(*problems)
    return LabelSet(known, tuple(counts[name] for name in known))


def label_problems(split: Split, values: list[Any], *, several: bool, advice: str) -> list[str]:
    """Says which labels are missing, and which are lists where there should be one or the other way round.

    Args:
        split: That they are of.
        values: What its column of labels holds.
        several: Whether a row may have any number of labels.
        advice: What to do about lists, or single labels, where the others should be.
    """
    if values and all(value is None for value in values):
        return [_all_missing(split)]
    problems = []
    for index, label in _each_label(values):
        if label is None or not label.strip():
            problems.append(f"{split.where(index)}: the label is {'missing' if label is None else 'empty'}")
    wrong = next((index for index, value in enumerate(values) if isinstance(value, str if several else list)), None)
    if wrong is not None:
        has = "one label and no list" if several else "a list of labels"
        problems.append(f"{split.where(wrong)}: has {has} ({values[wrong]!r}); {advice}")
    return shortened(problems)


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


def _each_label(values: list[Any]) -> Iterator[tuple[int, Any]]:
    """Gives (row, label) of every label of every row."""
    for index, value in enumerate(values):
        if isinstance(value, list):
            for label in value:
                yield index, label
        else:
            yield index, value


def _all_missing(split: Split) -> str:
    why = "every label is missing (-1 or null), as in splits whose labels the Hub hides"
    return f"{split.origin}: {why}; use another split as `dataset.test`"


def _labels_outside(split: Split, values: list[Any], known: set[str], legal: str) -> list[str]:
    outside = [(index, label) for index, label in _each_label(values) if label not in known]
    if len(outside) >= len(values) and {label for _, label in outside} == {"-1"}:
        return [_all_missing(split)]
    return [f"{split.where(index)}: label {label!r} is not among {legal}" for index, label in outside]


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
            other = f"the id {key[0]!r} is also that of another question (row {earlier + 1})"
            yield f"{split.where(index)}: {other}; mend it, or leave the column `id` out"


def _joined(split: Split) -> Split:
    """Joins rows of one id into the first of them, which gets all their answers, each once."""
    import datasets

    ids, answers = split.rows["id"][:], split.rows["answers"][:]
    first: dict[str, int] = {}
    for index, row_id in enumerate(ids):
        first.setdefault(row_id, index)
    if len(first) == len(ids):
        return split
    found: dict[int, dict[tuple[str, int], None]] = {index: {} for index in first.values()}
    for row_id, answer in zip(ids, answers, strict=True):
        found[first[row_id]].update(dict.fromkeys(zip(answer["text"], answer["answer_start"], strict=True)))
    joined = split.rows.select(list(found))
    pairs = [{"text": [text for text, _ in each], "answer_start": [at for _, at in each]} for each in found.values()]
    return replace(split, rows=datasets.Dataset.from_dict({**joined[:], "answers": pairs}, features=joined.features))
