"""Lists of training rows that somebody reviewed, to leave out or weigh less; `textxfer suspects` writes such lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from textxfer import registry
from textxfer.data.columns import row_texts
from textxfer.errors import DataError, shortened
from textxfer.labels import label_name
from textxfer.records import Split, Splits
from textxfer.sources.files import read_file

MARKS = ("x", "yes", "y", "true", "1", "drop")
NO_MARKS = ("", "no", "n", "false", "0", "keep")
MOST_CHARACTERS = 1000
"""Of a text in a list: spreadsheets refuse cells that are very long."""
WEIGHT = "weight"
"""The column of train, and of a list, that says how much a row counts in the loss."""
FORMULA = ("=", "+", "-", "@")


def cell(text: str) -> str:
    """Gives a text as a list has it: on one line, without control characters, cut, and never a formula.

    Spreadsheets run a cell that begins with "=", "+", "-" or "@"; a "'" before it stops them.
    """
    shown = "".join(character if character.isprintable() else " " for character in text[: 4 * MOST_CHARACTERS])
    folded = " ".join(shown.split())[:MOST_CHARACTERS].rstrip()
    return f"'{folded}" if folded.startswith(FORMULA) else folded


def heed(splits: Splits, path: Path) -> Splits:
    """Leaves the marked rows of a list out of train and weighs others less; the other splits stay as they are.

    The list has a column `drop`, in which "x" (or "yes", "1", "true") marks a row that is left out, or a column
    `weight` with a number above 0, up to 1, for a row that counts less in the loss; or both. It names rows by `id`.
    Where it has the columns `text` and `given` (the label), they must be those of the row. A list without `id` names
    all rows that have its text and label.

    Args:
        splits: Checked and cut.
        path: A csv file, or another that `sources.files` reads.

    Returns:
        The splits; train has a column `weight` where any row weighs less than 1.

    Raises:
        DataError: The list cannot be read or marks nothing, names rows that are not there or are others by now, gives
            a row two fates, or leaves a label without rows.
    """
    listed = _marked(read_file(path), path)
    train = _Train(splits.train)
    weights: dict[int, float] = {}
    problems = []
    for row in listed:
        found = train.find(row)
        if not found:
            problems.append(f"{row.where}: {_why_not(row, train, splits)}")
        elif any(weights.get(place, row.weight) != row.weight for place in found):
            problems.append(f"{row.where}: the list names this row before, with another mark or weight; leave one")
        weights.update(dict.fromkeys(found, row.weight))
    if problems:
        raise DataError(*shortened(problems))
    kept = [place for place in range(len(splits.train)) if weights.get(place) != 0]
    _check_kept(splits.train, kept, path)
    left = splits.train.select(kept)
    each = [weights.get(place, 1.0) for place in kept]
    if min(each) < 1:
        left = replace(left, rows=left.rows.add_column(WEIGHT, each))
    return replace(splits, train=left)


@dataclass(frozen=True)
class _Marked:
    """A marked row of a list; None where the list has no such column. A weight of 0 leaves it out."""

    where: str
    weight: float
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
    if "drop" not in there and WEIGHT not in there:
        raise DataError(
            f"{path}: has {registry.unknown('drop', there, 'column')}; `textxfer suspects` writes such lists"
        )
    if "id" not in there and "text" not in there:
        raise DataError(f"{path}: names no rows: it needs a column `id`, or `text` and `given`")
    columns = {name: list(_column(split, name)) for name in ("drop", WEIGHT, "id", "text", "given")}
    found, problems = [], []
    for place in range(len(split)):
        try:
            weight = _weight(columns["drop"][place] or "", columns[WEIGHT][place] or "")
        except ValueError as problem:
            problems.append(f"{split.where(place)}: {problem}")
            continue
        if weight is not None:
            text, label = columns["text"][place], columns["given"][place]
            shown = (cell(value) if value is not None else None for value in (text, label))
            found.append(_Marked(split.where(place), weight, columns["id"][place], *shown))
    if problems:
        raise DataError(*shortened(problems))
    if not found:
        raise DataError(
            f"{path}: marks no row: write x in the column `drop` of each row to leave out, or a number in `weight` for "
            "each that is to count less (`dataset.drop`)"
        )
    return found


def _weight(mark: str, weight: str) -> float | None:
    """Gives how much a row of a list counts, 0 where it is left out; None where nothing is said of it."""
    folded, number = mark.strip().casefold(), weight.strip()
    if folded not in (*MARKS, *NO_MARKS):
        raise ValueError(f"the column `drop` holds {folded!r}; write x, or leave it empty")
    if not number:
        return 0.0 if folded in MARKS else None
    try:
        value = float(number.replace(",", "."))  # as spreadsheets write it in half the world
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise ValueError(
            f"the column `weight` holds {number!r}; write a number above 0, up to 1, or leave it empty; x in `drop` "
            "leaves a row out"
        )
    if folded in MARKS:
        raise ValueError("is marked in `drop` and has a `weight`; leave one of them empty")
    return value


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
