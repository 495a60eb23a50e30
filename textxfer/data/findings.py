"""What somebody should know of the rows before a score on them is believed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from textxfer.data._oddities import ODDITIES, oddities, script_of
from textxfer.data._shown_rows import MOST_EXAMPLES, Example, ShownRows
from textxfer.data.columns import TEXT_COLUMNS
from textxfer.data.duplicates import Duplicates, find_duplicates, numbered
from textxfer.labels import LabelSet
from textxfer.records import Splits

if TYPE_CHECKING:
    import numpy as np

MOST_LABELS_SHOWN = 10
NOTABLE = 0.01
"""Share of the rows from which on cut texts and a second script are told."""
IMBALANCE = 10
"""How many times commoner than the rarest the commonest label may be."""
LONG = 20_000
"""Characters from which on a text is long whatever the model."""
WHAT_TWINS_DO = {
    ("test", "train"): "scores on them flatter the model",
    ("validation", "train"): "they may choose the wrong weights",
    ("reserved", "train"): "label sets measured on them may promise too much",
    ("test", "validation"): "weights that were chosen by them flatter the model a little",
}


@dataclass(frozen=True)
class Finding:
    """Something to know.

    Attributes:
        kind: As in "leak_test", "conflicting_labels", "imbalance".
        message: One plain sentence.
        count: Rows, or labels, that it is of.
        examples: 50 at most.
    """

    kind: str
    message: str
    count: int
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True)
class Findings:
    """All there is to know of a data set's rows.

    Attributes:
        found: The worst first; empty where all is well.
        duplicates: Which rows say the same.
        num_rows: By split.
    """

    found: tuple[Finding, ...]
    duplicates: Duplicates
    num_rows: Mapping[str, int]

    @property
    def leaked_test_rows(self) -> np.ndarray:
        """Places of test rows that have a twin in train, from 0."""
        return self.duplicates.leaked("test")

    def lines(self) -> list[str]:
        """Gives a sentence for each finding, the worst first; none where all is well."""
        return [finding.message for finding in self.found]

    def to_dict(self) -> dict[str, Any]:
        """Gives all of it as plain data for JSON."""
        return {
            "num_rows": dict(self.num_rows),
            "near_duplicates_searched": self.duplicates.near,
            "leaked_test_rows": len(self.leaked_test_rows),
            "findings": [asdict(finding) for finding in self.found],
        }


def find(
    splits: Splits,
    labels: LabelSet | None,
    *,
    max_length: int | None = None,
    truncated: Mapping[str, int] | None = None,
    near: bool = True,
    between: Callable[[float], None] | None = None,
) -> Findings:
    """Looks through the rows of a data set, those that are reserved too.

    Args:
        splits: Checked and cut.
        labels: None for answers.
        max_length: In tokens; goes with `truncated`.
        truncated: Rows of each split whose end is cut off, where that is known.
        near: Whether to look for nearly equal texts too, which takes most of the time.
        between: Called often with the share that is done, 0 to 1; may raise to stop.
    """
    rows = ShownRows(splits)
    duplicates = find_duplicates(splits, near=near, between=between)
    found = [
        *_twins(rows, duplicates, "test"),
        *_conflicts(rows, splits, labels),
        *_missing_labels(splits, labels),
        *_twins(rows, duplicates, "validation"),
        *_twins(rows, duplicates, "reserved"),
        *_twins(rows, duplicates, "test", "validation"),
        *_empty(rows),
        *_repeats(rows, duplicates),
        *_odd(rows),
        *_cut(rows, max_length, truncated or {}),
        *_long(rows),
        *_imbalance(labels),
        *_scripts(rows),
    ]
    return Findings(tuple(found), duplicates, {name: len(texts) for name, texts in rows.texts.items()})


def _twins(rows: ShownRows, duplicates: Duplicates, split: str, other: str = "train") -> Iterator[Finding]:
    """Tells of the rows of a split whose text stands in another."""
    leaks = other == "train"
    twins = [twin for twin in (duplicates.twins if leaks else duplicates.twins_in_validation) if twin.split == split]
    if not twins:
        return
    exact, total = sum(twin.exact for twin in twins), len(rows.texts[split])
    parts = f"{exact:,} equal, {len(twins) - exact:,} nearly" if duplicates.near else "equal"
    about = [
        f"{'equals' if twin.exact else f'is like ({twin.similarity:.2f})'} {twin.other.split} row {twin.other.row + 1}"
        for twin in twins[:MOST_EXAMPLES]
    ]
    where = "train too" if leaks else f"{other}, though not in train"
    message = (
        f"{split}: rows whose {duplicates.of} stands in {where}: {len(twins):,} of {total:,} "
        f"({len(twins) / total:.1%}; {parts}); {WHAT_TWINS_DO[split, other]}"
    )
    kind = f"leak_{split}" if leaks else f"{split}_in_{other}"
    yield Finding(kind, message, len(twins), rows.examples(((split, twin.row) for twin in twins), about))


def _conflicts(rows: ShownRows, splits: Splits, labels: LabelSet | None) -> Iterator[Finding]:
    if labels is None:
        return
    said: dict[int, dict[tuple[str, int], Any]] = {}
    for name, numbers in numbered(splits, ("text", "text_pair")).numbers.items():
        values = getattr(splits, name).rows["label"][:]
        for row, (number, value) in enumerate(zip(numbers.tolist(), values, strict=True)):
            if number >= 0:
                said.setdefault(number, {})[name, row] = tuple(sorted(value)) if isinstance(value, list) else value
    torn = [places for places in said.values() if len(places) > 1 and len(set(places.values())) > 1]
    if not torn:
        return
    places = {place: value for group in torn for place, value in group.items()}
    (one, first), (other, second) = _two_that_differ(torn[0])
    message = (
        f"texts with different labels in different rows: {len(torn):,} ({len(places):,} rows), such as {one[0]} row "
        f"{one[1] + 1} ({_named(first)}) and {other[0]} row {other[1] + 1} ({_named(second)})"
    )
    about = [f"label {_named(value)}" for value in places.values()]
    yield Finding("conflicting_labels", message, len(places), rows.examples(places, about))


def _two_that_differ(group: Mapping[tuple[str, int], Any]) -> tuple[Any, Any]:
    items = list(group.items())
    return items[0], next(item for item in items if item[1] != items[0][1])


def _named(value: Any) -> str:
    return repr(value) if isinstance(value, str) else repr(list(value))


def _counted(rows: int) -> str:
    return "1 row" if rows == 1 else f"{rows:,} rows"


def _missing_labels(splits: Splits, labels: LabelSet | None) -> Iterator[Finding]:
    for name, split in splits.present():
        if labels is None:
            return
        values = split.rows["label"][:]
        there = {label for value in values for label in (value if isinstance(value, list) else [value])}
        missing = [label for label in labels.names if label not in there]
        if missing:
            shown = ", ".join(map(repr, missing[:MOST_LABELS_SHOWN])) + (", ..." * (len(missing) > MOST_LABELS_SHOWN))
            message = f"{name}: labels that no row has: {len(missing)} of {len(labels)} ({shown})"
            yield Finding("missing_labels", message, len(missing))


def _empty(rows: ShownRows) -> Iterator[Finding]:
    found = []
    for name, split in rows.splits.present(reserved=True):
        columns = [split.rows[column][:] for column in TEXT_COLUMNS if column in split.rows.column_names]
        found += [
            (name, row) for row, each in enumerate(zip(*columns, strict=True)) if not all(text.strip() for text in each)
        ]
    if found:
        message = f"empty texts: {_counted(len(found))} ({rows.per_split(found)})"
        yield Finding("empty", message, len(found), rows.examples(found))


def _repeats(rows: ShownRows, duplicates: Duplicates) -> Iterator[Finding]:
    for name, equal in duplicates.repeated.items():
        nearly = duplicates.nearly_repeated[name]
        count = len(equal) + len(nearly)
        if count:
            parts = f"{len(equal):,} equal, {len(nearly):,} nearly" if duplicates.near else "equal"
            share = f"{count / len(rows.texts[name]):.1%}"
            message = f"{name}: rows that repeat an earlier one: {count:,} ({share}; {parts})"
            places = sorted([*equal.tolist(), *nearly.tolist()])
            yield Finding("repeated", message, count, rows.examples((name, row) for row in places))


def _odd(rows: ShownRows) -> Iterator[Finding]:
    found: dict[str, list[tuple[str, int]]] = {}
    for name, row, text in rows.all():
        for kind in oddities(text):
            found.setdefault(kind, []).append((name, row))
    for kind, words in ODDITIES.items():
        if places := found.get(kind):
            message = f"{words}: {_counted(len(places))} ({rows.per_split(places)})"
            yield Finding(kind, message, len(places), rows.examples(places))


def _cut(rows: ShownRows, max_length: int | None, truncated: Mapping[str, int]) -> Iterator[Finding]:
    for name, count in truncated.items():
        share = count / len(rows.texts[name])
        if share >= NOTABLE:
            limit = f"max_length ({max_length} tokens)" if max_length is not None else "max_length"
            message = f"{name}: rows longer than {limit}, whose end is cut off: {count:,} ({share:.1%})"
            yield Finding("truncated", message, count)


def _long(rows: ShownRows) -> Iterator[Finding]:
    found = [(name, row) for name, row, text in rows.all() if len(text) >= LONG]
    if found:
        longest = max(len(rows.texts[name][row]) for name, row in found)
        message = f"texts of {LONG:,} characters or more: {_counted(len(found))} ({rows.per_split(found)}; the longest "
        yield Finding("long", f"{message}has {longest:,})", len(found), rows.examples(found))


def _imbalance(labels: LabelSet | None) -> Iterator[Finding]:
    counts = {name: count for name, count in zip(labels.names, labels.counts, strict=False) if count} if labels else {}
    if not counts:
        return
    rarest, commonest = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    ratio = counts[commonest] / counts[rarest]
    if ratio >= IMBALANCE:
        message = (
            f"train: the label {commonest!r} has {counts[commonest]:,} rows and {rarest!r} {counts[rarest]:,}, "
            f"{ratio:.0f} times fewer: look at macro_f1, and try `train.class_weights: balanced`"
        )
        yield Finding("imbalance", message, counts[rarest])


def _scripts(rows: ShownRows) -> Iterator[Finding]:
    places: dict[str, list[tuple[str, int]]] = {}
    for name, row, text in rows.all():
        if (script := script_of(text)) is not None:
            places.setdefault(script, []).append((name, row))
    total, main = sum(map(len, places.values())), max(places, key=lambda script: len(places[script]), default="")
    for script, found in sorted(places.items(), key=lambda item: -len(item[1])):
        if script != main and len(found) / total >= NOTABLE:
            share = f"{_counted(len(found))} ({len(found) / total:.1%}; {rows.per_split(found)})"
            message = f"texts in {script}, where most are in {main}: {share}"
            yield Finding("script", message, len(found), rows.examples(found))
