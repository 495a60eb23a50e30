"""Which labels are hard, and which are taken for which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from textxfer.report import plots
from textxfer.report.pieces import Block, Column, Figure, Figures, Section, Sentences, Table
from textxfer.report.reading import RunFiles
from textxfer.report.showing import count, plural, score

MOST_OF_A_MATRIX = 25
WORST_OF_A_MATRIX = 20
MOST_BARS = 30
MOST_PAIRS = 10


def confusion(run: RunFiles) -> Section | None:
    """Gives the confusion matrix, of many labels the most confused; None where rows have sets of labels."""
    found = run.of_split("confusion")
    if not found:
        return None
    names, counts = [str(name) for name in found["labels"]], np.asarray(found["counts"])
    wrong = counts - np.diag(counts.diagonal())
    shown = _most_confused(wrong) if len(names) > MOST_OF_A_MATRIX else np.arange(len(names))
    blocks: list[Block] = [Figures([_matrix(names, counts, shown, len(shown) < len(names))])]
    pairs = _pairs(names, counts, wrong)
    if pairs.rows and len(names) > 2:
        blocks.append(pairs)
    if run.setting("task", "ordered"):
        blocks.append(_distances(counts))
    errors, whole = int(wrong.sum()), int(counts.sum())
    lead = f"{plural(errors, 'error')} on {plural(whole, 'row')}." if errors else f"No error on {plural(whole, 'row')}."
    if len(shown) < len(names):
        lead += f" Of {count(len(names))} labels, the {len(shown)} with the most confusions are drawn."
    reading = (
        "A line is what rows are, a column what they were taken for. Blue is right, orange is not; the shade is the "
        "share of the line."
    )
    return Section("confusion", "Confusion matrix", blocks, lead, reading)


def _most_confused(wrong: np.ndarray) -> np.ndarray:
    """Gives the labels that take part in the most errors, in the order of their ids."""
    errors = wrong.sum(axis=0) + wrong.sum(axis=1)
    return np.sort(np.argsort(-errors, kind="stable")[:WORST_OF_A_MATRIX])


def _matrix(names: Sequence[str], counts: np.ndarray, shown: np.ndarray, part: bool) -> Figure:
    labels, square = [names[label] for label in shown], counts[np.ix_(shown, shown)]
    title = f"The {len(shown)} most confused labels" if part else "Reference and prediction"
    right = int(square.diagonal().sum())
    told = f"{count(right)} of {count(int(square.sum()))} rows lie on the diagonal, which is what is right."
    svg = plots.matrix("matrix", title, told, labels, square)
    columns = [Column("Reference \\ prediction", "label"), *(Column(label, "count") for label in labels)]
    rows = [(label, *map(int, line)) for label, line in zip(labels, square, strict=True)]
    return Figure(title, svg, "", Table("Confusion matrix, numbers", columns, rows, folded=True), wide=True)


def _pairs(names: Sequence[str], counts: np.ndarray, wrong: np.ndarray) -> Table:
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_PAIRS]
    places = [np.unravel_index(place, wrong.shape) for place in order]
    rows = [
        (names[given], names[taken], int(wrong[given, taken]), wrong[given, taken] / counts[given].sum())
        for given, taken in places
        if wrong[given, taken]
    ]
    columns = [
        Column("Reference", "label"),
        Column("Taken for", "label"),
        Column("Rows", "count"),
        Column("Share of its rows", "score"),
    ]
    return Table("Most frequent confusions", columns, rows, sortable=True)


def _distances(counts: np.ndarray) -> Table:
    """Gives how many labels predictions are off, where labels have an order."""
    places = np.arange(len(counts))
    distance = np.abs(places[:, None] - places[None, :])
    by_distance = np.bincount(distance.ravel(), weights=counts.ravel())
    whole = max(by_distance.sum(), 1)
    rows = [(away, int(number), number / whole) for away, number in enumerate(by_distance) if number or not away]
    return Table("Labels off", [Column("Labels off", "count"), Column("Rows", "count"), Column("Share", "score")], rows)


def per_label(run: RunFiles) -> Section | None:
    """Gives precision, recall and F1 of each label, worst first."""
    found = run.of_split("per_label")
    if not found:
        return None
    order = sorted(found, key=lambda label: (not found[label].get("support", 0), found[label]["f1"]))
    shown = order[:MOST_BARS]
    blocks: list[Block] = [Figures([_bars(found, shown, len(order))]), _table(found, order)]
    missing = sum(not row.get("support", 0) for row in found.values())
    if missing:
        blocks.append(Sentences([f"{plural(missing, 'label')} without rows in this split: their scores say nothing."]))
    best, worst = max(found, key=lambda label: found[label]["f1"]), order[0]
    lead = f"Hardest is “\u2068{worst}\u2069” (F1 {score(found[worst]['f1'])})"
    lead += f", easiest “\u2068{best}\u2069” ({score(found[best]['f1'])})." if best != worst else "."
    reading = (
        "Precision: of the rows that got the label, the share that have it. Recall: of the rows that have it, the "
        "share that got it. F1 is high only if both are."
    )
    return Section("labels", "Labels", blocks, lead, reading)


def _bars(found: Mapping[str, Mapping[str, Any]], shown: Sequence[str], of: int) -> Figure:
    title = "F1 by label, worst first" if len(shown) == of else f"The {len(shown)} worst of {count(of)} labels by F1"
    values = [plots.Bar(label, found[label]["f1"], _dots(found[label])) for label in shown]
    told = f"From {score(values[0].value)} to {score(values[-1].value)}."
    svg = plots.bars("labels-bars", title, told, values)
    legend = [("block first", "F1"), ("dot second", "precision"), ("dot open second", "recall")]
    reading = "A dot far left of the other says which of the two is lacking. All numbers are in the table."
    return Figure(title, svg, reading, None, legend)


def _dots(row: Mapping[str, Any]) -> tuple[float, float]:
    return row["precision"], row["recall"]


def _table(found: Mapping[str, Mapping[str, Any]], order: Sequence[str]) -> Table:
    columns = [
        Column("Label", "label"),
        Column("Precision", "score"),
        Column("Recall", "score"),
        Column("F1", "score"),
        Column("Rows", "count"),
    ]
    rows = [(label, *_dots(found[label]), found[label]["f1"], int(found[label].get("support", 0))) for label in order]
    return Table("All labels", columns, rows, sortable=True)
