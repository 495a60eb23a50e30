"""Scores of parts of the test rows: by length, by label, by question word, by further columns."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from textxfer.report import plots
from textxfer.report.pieces import Block, Column, Figure, Figures, Section, Table
from textxfer.report.reading import RunFiles
from textxfer.report.rows import AnswerRow, LabelRow
from textxfer.report.showing import count, score

MOST_VALUES = 20
"""Different values of a column that makes slices."""
MOST_LABELS = 12
QUESTION_WORDS = ("who", "what", "when", "where", "why", "how", "which")
_WORD = re.compile(rf"\b(?:{'|'.join(QUESTION_WORDS)})\b|\bwho(?=m\b|se\b)", re.IGNORECASE)

Row = TypeVar("Row", bound=LabelRow | AnswerRow)


def section(run: RunFiles) -> Section | None:
    """Gives tables of slices; None where there are no rows with references."""
    blocks = (
        _of_answers(run.answers) if run.answers else _of_labels([row for row in run.rows if row.reference is not None])
    )
    blocks = [block for block in blocks if not isinstance(block, Table) or len(block.rows) > 1]
    share = "exact answers" if run.answers else "rows that are right"
    reading = (
        f"The score is the share of {share}, with its 95 % interval (Wilson 1927), which takes rows as independent. "
        "Intervals of small slices are wide: where two overlap much, the slices may well be alike."
    )
    return Section("slices", "Slices", blocks, "", reading) if blocks else None


def question_word(question: str) -> str:
    """Gives the first question word of a question, "other" where there is none."""
    found = _WORD.search(question)
    return found[0].lower() if found else "other"


def _of_answers(rows: Sequence[AnswerRow]) -> list[Block]:
    blocks: list[Block] = []
    if any(row.question for row in rows):
        groups = _grouped(rows, lambda row: question_word(row.question))
        blocks += [_word_bars(groups), _table("By question word", "Word", groups)]
    kinds = _grouped(rows, lambda row: "with an answer" if row.references else "without an answer")
    blocks.append(_table("By whether there is an answer", "Questions", kinds))
    blocks.append(_by_length("By length of the context", rows, [row.length for row in rows]))
    return blocks + _by_columns(rows)


def _word_bars(groups: Mapping[str, Sequence[AnswerRow]]) -> Figures:
    f1 = {word: _mean([row.f1 for row in rows]) for word, rows in groups.items()}
    words = sorted(groups, key=lambda word: f1[word])
    values = [plots.Bar(word, f1[word], (_mean([row.right for row in groups[word]]),)) for word in words]
    told = "; ".join(f"{word} {score(f1[word])}" for word in words)
    title = "Answer F1 by question word"
    svg = plots.bars("question-words", title, f"{told}.", values)
    legend = [("block first", "answer F1"), ("dot second", "exact match")]
    return Figures([Figure(title, svg, "Worst first. The first question word of each question counts.", None, legend)])


def _of_labels(rows: Sequence[LabelRow]) -> list[Block]:
    blocks: list[Block] = []
    if rows and all(row.texts for row in rows):
        blocks.append(_by_length("By length of the text", rows, [sum(row.lengths) for row in rows]))
    groups: dict[str, list[LabelRow]] = defaultdict(list)
    for row in rows:
        labels = (row.reference,) if isinstance(row.reference, str) else row.reference or ("(none)",)
        for label in labels:
            groups[label].append(row)
    part = f", the worst {MOST_LABELS} of {count(len(groups))}" if len(groups) > MOST_LABELS else ""
    blocks.append(_table(f"By reference label{part}", "Label", groups, most=MOST_LABELS))
    return blocks + _by_columns(rows)


def _by_length(title: str, rows: Sequence[Row], lengths: Sequence[int]) -> Table:
    """Gives a table by quartile of length."""
    import numpy as np

    quarters = np.searchsorted(np.quantile(lengths, (0.25, 0.5, 0.75)), lengths)
    groups: dict[str, list[Row]] = {}
    for quarter in range(4):
        members = np.flatnonzero(quarters == quarter)
        if len(members):
            within = [lengths[int(place)] for place in members]
            groups[f"{count(min(within))} to {count(max(within))}"] = [rows[int(place)] for place in members]
    return _table(title, "Characters", groups, keep_order=True)


def _by_columns(rows: Sequence[Row]) -> list[Block]:
    blocks: list[Block] = []
    for name in dict.fromkeys(name for row in rows for name in row.extra):
        groups: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            groups[str(row.extra.get(name, "(none)"))].append(row)
        if len(groups) <= MOST_VALUES:
            blocks.append(_table(f"By {name}", name, groups))
    return blocks


def _grouped(rows: Sequence[Row], key: Callable[[Row], str]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def _table(
    title: str, head: str, groups: Mapping[str, Sequence[Row]], most: int = MOST_VALUES, keep_order: bool = False
) -> Table:
    """Gives the share right of each group with its interval, worst first."""
    from scipy.stats import binomtest

    lines: list[tuple[Any, ...]] = []
    answers = any(isinstance(row, AnswerRow) for rows in groups.values() for row in rows)
    for name, rows in groups.items():
        right = sum(row.right for row in rows)
        interval = binomtest(right, len(rows)).proportion_ci(method="wilson")
        f1 = [_mean([row.f1 for row in rows if isinstance(row, AnswerRow)])] if answers else []
        lines.append((name, *f1, right / len(rows), float(interval.low), float(interval.high), len(rows)))
    if not keep_order:
        lines.sort(key=lambda line: line[1:])
    scores = ["Answer F1", "Exact", "from", "to"] if answers else ["Right", "from", "to"]
    columns = [Column(head, "label"), *(Column(score, "score") for score in scores), Column("Rows", "count")]
    return Table(title, columns, lines[:most], sortable=True)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
