"""What the checks of the data found, and the rows whose label is probably wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from textxfer.report.pieces import Block, Column, Section, Sentences, Table
from textxfer.report.reading import RunFiles
from textxfer.report.showing import plural, sentence, shortened

MOST_EXAMPLES = 20
"""Of each finding."""
MOST_SUSPECTS = 100
MOST_CHARACTERS = 400


def findings(run: RunFiles) -> Section | None:
    """Gives what findings.json says: a sentence for each finding, and its examples to unfold."""
    if not run.findings:
        return None
    blocks: list[Block] = []
    for found in run.findings.get("findings") or ():
        blocks.append(Sentences([found["message"]]))
        if found.get("examples"):
            blocks.append(_examples(found["examples"]))
    lead = "" if blocks else "The checks found nothing that should be known."
    reading = "Found before training, on all splits, the worst first."
    return Section("data", "Data checks", blocks, lead, reading)


def _examples(examples: Sequence[Mapping[str, Any]]) -> Table:
    columns = [Column("Split"), Column("Row", "id"), Column("Text", "long"), Column("About", "label")]
    rows = [
        (
            example.get("split"),
            example.get("id"),
            shortened(str(example.get("text", "")), MOST_CHARACTERS),
            example.get("about"),
        )
        for example in examples[:MOST_EXAMPLES]
    ]
    return Table(plural(len(rows), "example"), columns, rows, folded=True)


def suspects(run: RunFiles) -> Section | None:
    """Gives the rows of suspects.csv, or how to get them; None where rows have any number of labels, or answers."""
    title = "Label-noise suspects"
    if run.suspects is None:
        if not run.of_split("confusion"):
            return None
        lead = "This run did not look for training rows whose label is probably wrong (see `suspects` in the recipe)."
        how = "textxfer suspects RUN, with the folder of this run, looks for them and puts them into this report."
        return Section("suspects", title, [Sentences([how])], lead)
    lead = sentence(str(run.about_suspects.get("message") or _counted(run.suspects)))
    if not run.suspects:
        return Section("suspects", title, [], lead)
    shown = run.suspects[:MOST_SUSPECTS]
    columns = [
        Column("Row", "id"),
        Column("Text", "long"),
        Column("Given", "label"),
        Column("Suggested", "label"),
        Column("Score", "score"),
    ]
    rows = [
        (
            row.get("id"),
            shortened(row.get("text", ""), MOST_CHARACTERS),
            row.get("given"),
            row.get("suggested"),
            _number(row.get("score")),
        )
        for row in shown
    ]
    if len(shown) < len(run.suspects):
        lead += f" The first {len(shown)} are below; suspects.csv has all."
    reading = (
        "A model trained on the other rows is sure of another label than the one given. Look at them from the top: not "
        "all are wrong, and a row can be right and odd. The score says how improbable the given label is."
    )
    return Section("suspects", title, [Table("Suspects", columns, rows, sortable=True)], lead, reading)


def _counted(suspects: Sequence[Mapping[str, str]]) -> str:
    """Says of a list alone how many rows it has: earlier versions kept no more of what was found."""
    if not suspects:
        return "no training row is named"
    return f"{plural(len(suspects), 'training row')} may bear the wrong label"


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None
