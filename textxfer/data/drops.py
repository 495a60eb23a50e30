"""Leaving rows out of train that somebody marked in a list, as `textxfer suspects` writes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from textxfer import registry
from textxfer.data.findings import row_texts
from textxfer.errors import DataError, shortened
from textxfer.labels import label_name
from textxfer.records import Split, Splits
from textxfer.sources.files import read_file

MARKS = ("x", "yes", "y", "true", "1", "drop")
NO_MARKS = ("", "no", "n", "false", "0", "keep")
MOST_CHARACTERS = 1000
"""Of a text in a list: spreadsheets refuse cells that are very long."""
FORMULA = ("=", "+", "-", "@")


def cell(text: str) -> str:
    """Gives a text as a list has it: on one line, without control characters, cut, and never a formula.

    Spreadsheets run a cell that begins with "=", "+", "-" or "@"; a "'" before it stops them.
    """
    shown = "".join(character if character.isprintable() else " " for character in text[: 4 * MOST_CHARACTERS])
    folded = " ".join(shown.split())[:MOST_CHARACTERS].rstrip()
    return f"'{folded}" if folded.startswith(FORMULA) else folded


def drop_rows(splits: Splits, path: Path) -> Splits:
    """Leaves the marked rows of a list out of train; the other splits stay as they are.

    The list has a column `drop`, in which "x" (or "yes", "1", "true") marks a row, and names rows by `id`. Where it has
    the columns `text` and `given` (the label), they must be those of the row. A list without `id` names all rows that
    have its text and label.

    Args:
        splits: Checked and cut.
        path: A csv file, or another that `sources.files` reads.

    Raises:
        DataError: The list cannot be read or marks nothing, names rows that are not there or are others by now, or
            leaves a label without rows.
    """
    listed = _marked(read_file(path), path)
    train = _Train(splits.train)
    dropped: set[int] = set()
    problems = []
    for row in listed:
        found = train.find(row)
        if not found:
            problems.append(f"{row.where}: {_why_not(row, train, splits)}")
        dropped.update(found)
    if problems:
        raise DataError(*shortened(problems))
    kept = [place for place in range(len(splits.train)) if place not in dropped]
    _check_kept(splits.train, kept, path)
    return replace(splits, train=splits.train.select(kept))


@dataclass(frozen=True)
class _Marked:
    """A marked row of a list; None where the list has no such column."""

    where: str
    id: str | None
    text: str | None
    label: str | None


class _Train:
    """The rows that a list may name, by what it names them with."""

    def __init__(self, train: Split) -> None:
        rows = train.rows
        self.ids: list[str] = rows["id"][:]
        self.texts = list(map(cell, row_texts(rows)))
        labels: Sequence[Any] = rows["label"][:] if "label" in rows.column_names else [None] * len(rows)
        self.labels = [cell(label) if isinstance(label, str) else None for label in labels]
        self.by_id: dict[str, list[int]] = {}
        self.by_text: dict[str, list[int]] = {}
        for place, (row_id, text) in enumerate(zip(self.ids, self.texts, strict=True)):
            self.by_id.setdefault(row_id, []).append(place)
            self.by_text.setdefault(text, []).append(place)

    def find(self, row: _Marked) -> list[int]:
        """Gives the places of the rows that a row of the list names and that are still what it says."""
        places = self.by_id.get(row.id, []) if row.id is not None else self.by_text.get(row.text or "", [])
        return [
            place
            for place in places
            if row.text in (None, self.texts[place])
            and (None in (row.label, self.labels[place]) or row.label == self.labels[place])
        ]


def _marked(split: Split, path: Path) -> list[_Marked]:
    """Gives the marked rows of a list."""
    there = split.rows.column_names
    if "drop" not in there:
        raise DataError(
            f"{path}: has {registry.unknown('drop', there, 'column')}; `textxfer suspects` writes such lists"
        )
    if "id" not in there and "text" not in there:
        raise DataError(f"{path}: names no rows: it needs a column `id`, or `text` and `given`")
    columns = {name: list(_column(split, name)) for name in ("drop", "id", "text", "given")}
    marks = [(mark or "").strip().casefold() for mark in columns["drop"]]
    problems = [
        f"{split.where(place)}: the column `drop` holds {mark!r}; write x, or leave it empty"
        for place, mark in enumerate(marks)
        if mark not in (*MARKS, *NO_MARKS)
    ]
    if problems:
        raise DataError(*shortened(problems))
    found = []
    for place, mark in enumerate(marks):
        if mark in MARKS:
            text, label = columns["text"][place], columns["given"][place]
            shown = (cell(value) if value is not None else None for value in (text, label))
            found.append(_Marked(split.where(place), columns["id"][place], *shown))
    if not found:
        raise DataError(f"{path}: marks no row: write x in the column `drop` of each row to leave out (`dataset.drop`)")
    return found


def _column(split: Split, name: str) -> Iterator[str | None]:
    if name not in split.rows.column_names:
        yield from [None] * len(split)
    else:
        yield from map(label_name, split.rows[name][:])


def _why_not(row: _Marked, train: _Train, splits: Splits) -> str:
    anew = "make the list anew with `textxfer suspects`"
    if row.id is None:
        return f"no row of train has this text and label ({row.text!r:.60}, {row.label!r:.40})"
    if places := train.by_id.get(row.id):
        text, label = train.texts[places[0]], train.labels[places[0]]
        return (
            f"the row {row.id!r} of train is another by now: it has the text {text!r:.60} and the label {label!r:.40}, "
            f"the list {row.text!r:.60} and {row.label!r:.40}; {anew}"
        )
    for name, split in splits.present(reserved=True):
        if name != "train" and row.id in split.rows["id"][:]:
            return f"the row {row.id!r} is in {name}, not in train (was `dataset.split_seed` another?); {anew}"
    return f"train has no row with the id {row.id!r}; {anew}"


def _check_kept(train: Split, kept: Sequence[int], path: Path) -> None:
    """Stops where nothing is left of a label, or of train."""
    if not kept:
        raise DataError(f"{path}: marks all rows of train; leave some")
    if "label" not in train.rows.column_names:
        return
    labels = [value if isinstance(value, list) else [value] for value in train.rows["label"][:]]
    left = {label for place in kept for label in labels[place]}
    gone = sorted({label for each in labels for label in each} - left)
    if gone:
        raise DataError(
            f"{path}: marks all rows of train with the label {gone[0]!r}; leave one, or name the labels anew"
        )
