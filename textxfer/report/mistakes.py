"""Rows with what was predicted, the surest errors first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from textxfer.report.answers import answer_table
from textxfer.report.pieces import Column, Explorer, Section, Table
from textxfer.report.reading import RunFiles
from textxfer.report.rows import AnswerRow, LabelRow
from textxfer.report.showing import SHOWN_CHARACTERS, count, plural, shortened
from textxfer.report.slices import question_word

MOST_WRONG, MOST_ROWS = 400, 500
CHARACTERS_OF_ALL = 400_000

Row = TypeVar("Row", bound=LabelRow | AnswerRow)


def section(run: RunFiles) -> Section | None:
    """Gives a table of errors and of the least sure rows that are right; None where there are no rows."""
    if run.answers:
        return _answers(run.answers)
    return _labels(run.rows) if run.rows else None


def _labels(rows: Sequence[LabelRow]) -> Section:
    known = [row for row in rows if row.reference is not None]
    wrong = sorted((row for row in known if not row.right), key=lambda row: -(row.confidence or 0))
    right = sorted((row for row in rows if row.right or row.reference is None), key=lambda row: row.confidence or 0)
    shown = _chosen(wrong, right)
    texts = any(row.texts for row in rows)
    several = any(isinstance(row.prediction, tuple) for row in rows)
    columns = [Column("Reference", "label"), Column("Prediction", "label")]
    columns += [Column("Text", "long")] if texts else []
    columns += [Column("Confidence", "score")] + ([] if several else [Column("In reference", "score")])
    columns += [Column("Row", "id")]
    most = min(SHOWN_CHARACTERS, CHARACTERS_OF_ALL // max(len(shown), 1))
    lines = [
        (
            _label(row.reference),
            _label(row.prediction),
            *([_text(row, most)] if texts else []),
            row.confidence,
            *([] if several else [row.given_to_reference]),
            row.id,
        )
        for row in shown
    ]
    tags = [_tags(row) for row in shown]
    table = Table("Rows with reference and prediction", columns, lines, sortable=True)
    choices = sorted({tag for found in tags for tag in found})
    block = Explorer(table, "Label", choices, tags, [row.reference is not None and not row.right for row in shown])
    reading = (
        "Errors come first, the surest on top: they show wrong references, missing context, or what the model has "
        "misunderstood. After them come the least sure of the rows that are right. Confidence is the probability of "
        "the prediction, beside it stands that of the reference."
    )
    return Section("rows", "Errors and close calls", [block], _lead(len(wrong), len(known), shown, len(rows)), reading)


def _answers(rows: Sequence[AnswerRow]) -> Section:
    wrong = sorted((row for row in rows if not row.right), key=lambda row: (row.f1, -(row.score or 0)))
    right = sorted((row for row in rows if row.right), key=lambda row: row.score or 0)
    shown = _chosen(wrong, right)
    tags = [(question_word(row.question),) for row in shown]
    choices = sorted({tag for found in tags for tag in found})
    most = min(SHOWN_CHARACTERS, CHARACTERS_OF_ALL // max(len(shown), 1))
    block = Explorer(answer_table(shown, most), "Question word", choices, tags, [not row.right for row in shown])
    reading = (
        "Worst first: the least overlap with a reference, and among those the surest. In a context the model's answer "
        "is marked, references are underlined."
    )
    return Section(
        "rows", "Answers beside references", [block], _lead(len(wrong), len(rows), shown, len(rows)), reading
    )


def _chosen(wrong: Sequence[Row], right: Sequence[Row]) -> list[Row]:
    """Gives the rows that the page holds: errors, and as many rows that are right as there is room for."""
    errors = wrong[: max(MOST_WRONG, MOST_ROWS - len(right))]
    return [*errors, *right[: MOST_ROWS - len(errors)]]


def _lead(wrong: int, known: int, shown: Sequence[LabelRow | AnswerRow], rows: int) -> str:
    said = f"{plural(wrong, 'error')} on {plural(known, 'row')}." if wrong else f"No error on {plural(known, 'row')}."
    if len(shown) == rows:
        return f"{said} All rows are below."
    kept = sum(not row.right for row in shown)
    return (
        f"{said} Below are {count(kept)} of them and {plural(len(shown) - kept, 'row')} that are right; "
        f"{plural(rows - len(shown), 'row')} are left out (predictions.jsonl has all)."
    )


def _text(row: LabelRow, most: int) -> str:
    cut = most // max(len(row.texts), 1)
    pieces = zip(row.texts, row.lengths, strict=True)
    return " ‖ ".join(shortened(text, cut, length) for text, length in pieces)


def _label(label: str | tuple[str, ...] | None) -> str | None:
    return label if label is None or isinstance(label, str) else ", ".join(label) or "(none)"


def _tags(row: LabelRow) -> tuple[str, ...]:
    labels = [label for label in (row.reference, row.prediction) if label is not None]
    return tuple(dict.fromkeys(part for label in labels for part in ([label] if isinstance(label, str) else label)))
