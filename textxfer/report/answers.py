"""Answers beside their references, marked in their contexts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from markupsafe import Markup

from textxfer.report.pieces import Column, Table
from textxfer.report.rows import AnswerRow
from textxfer.report.showing import isolated, shortened, visible

MOST_OF_AN_ANSWER = 300


def answer_table(rows: Sequence[AnswerRow], most: int) -> Table:
    """Gives questions, answers and references.

    Args:
        rows: In the order of the table.
        most: Characters of a context that are kept.
    """
    asked = any(row.question or row.context for row in rows)
    columns = [
        Column("Outcome"),
        *([Column("Question and context", "long")] if asked else []),
        Column("Answer", "label"),
        Column("References", "label"),
        Column("F1", "score"),
        Column("Confidence", "score"),
        Column("Row", "id"),
    ]
    lines = [
        (outcome(row), *asking, _answer(row.answer), _references(row), row.f1, row.score, row.id)
        for row in rows
        for asking in [[_question(row, most)] if asked else []]
    ]
    return Table("Answers beside references", columns, lines, sortable=True)


def outcome(row: AnswerRow) -> str:
    """Gives in a word or two what became of a question."""
    if row.right:
        return "right" if row.references else "rightly none"
    if not row.references:
        return "invented"
    if not row.answer:
        return "missed"
    return "overlaps" if row.f1 else "wrong"


def _answer(answer: str) -> str:
    return shortened(answer, MOST_OF_AN_ANSWER) if answer else "(no answer)"


def _references(row: AnswerRow) -> str:
    return shortened(" · ".join(dict.fromkeys(row.references)), MOST_OF_AN_ANSWER) if row.references else "(no answer)"


def _question(row: AnswerRow, most: int) -> Markup:
    question = isolated(shortened(row.question, MOST_OF_AN_ANSWER))
    if not row.context:
        return question
    return Markup("{}<details class=context><summary>context</summary><bdi>{}</bdi></details>").format(
        question, marked(row, most)
    )


def marked(row: AnswerRow, most: int) -> Markup:
    """Gives the context around the answer, the answer in <mark> and references in <u>.

    Args:
        row: With a context.
        most: Characters that are kept.
    """
    references = [span for text in row.references for span in _places(row.context, text)]
    answer = (row.start, row.end)
    centre = answer[0] if row.end > 0 else min((start for start, _ in references), default=0)
    first = max(0, min(centre - most // 3, len(row.context) - most))
    last = min(len(row.context), max(first + most, answer[1]))
    edges = sorted({edge for span in (answer, *references, (first, last)) for edge in span if first <= edge <= last})
    pieces = [Markup("…")] if first or row.before else []
    for start, end in pairwise(edges):
        piece = Markup("{}").format(visible(row.context[start:end]))
        if any(low <= start and end <= high for low, high in references):
            piece = Markup("<u>{}</u>").format(piece)
        if answer[0] <= start and end <= answer[1]:
            piece = Markup("<mark>{}</mark>").format(piece)
        pieces.append(piece)
    if row.before + last < row.length:
        pieces.append(Markup("…({:,} characters)").format(row.length))
    return Markup("").join(pieces)


def _places(context: str, text: str) -> Iterator[tuple[int, int]]:
    place = context.find(text) if text else -1
    if place >= 0:
        yield place, place + len(text)
