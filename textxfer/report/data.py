"""What the checks of the data found, and the rows whose label is probably wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from textxfer.report.pieces import Block, Column, Section, Sentences, Table
from textxfer.report.reading import RunFiles
from textxfer.report.showing import plural, shortened

MOST_EXAMPLES = 20
"""Of each finding."""
MOST_SUSPECTS = 100
MOST_CHARACTERS = 400


def findings(run: RunFiles) -> Section | None:
    """Gives what findings.json says: its lines, and the examples of each kind to unfold."""
    if not run.findings:
        return None
    lines = [str(line) for line in run.findings.get("lines") or ["The checks found nothing to report."]]
    blocks: list[Block] = [Sentences(lines)]
    for kind, found in run.findings.items():
        if kind != "lines":
            blocks += _examples(kind.replace("_", " ").capitalize(), found)
    reading = (
        "Found before training, on all splits. Rows of test that are in train make a model look better than it is."
    )
    return Section("data", "Data checks", blocks, "", reading)


def _examples(kind: str, found: Any) -> Iterator[Table]:
    """Gives a folded table of the examples of one kind, whatever their columns."""
    examples = found.get("examples") if isinstance(found, Mapping) else found
    if not isinstance(examples, Sequence) or isinstance(examples, str) or not examples:
        return
    records = [example if isinstance(example, Mapping) else {"example": example} for example in examples]
    names = list(dict.fromkeys(name for record in records for name in record))
    rows = [tuple(_cell(record.get(name)) for name in names) for record in records[:MOST_EXAMPLES]]
    more = f", the first {MOST_EXAMPLES}" if len(records) > MOST_EXAMPLES else ""
    columns = [Column(name.replace("_", " ").capitalize(), "long") for name in names]
    yield Table(f"{kind}: {plural(len(records), 'example')}{more}", columns, rows, folded=True)


def _cell(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, Mapping):
        value = ", ".join(f"{key}: {part}" for key, part in value.items())
    elif isinstance(value, (list, tuple)):
        value = ", ".join(map(str, value))
    return shortened(str(value), MOST_CHARACTERS)


def suspects(run: RunFiles) -> Section | None:
    """Gives the rows of suspects.csv; None where there are none."""
    if not run.suspects:
        return None
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
    lead = f"{plural(len(run.suspects), 'training row')} may bear the wrong label."
    if len(shown) < len(run.suspects):
        lead += f" The first {len(shown)} are below; suspects.csv has all."
    reading = (
        "A model trained on the other rows is sure of another label than the one given. Look at them from the top: not "
        "all are wrong, and a row can be right and odd."
    )
    return Section("suspects", "Label-noise suspects", [Table("Suspects", columns, rows, sortable=True)], lead, reading)


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None
