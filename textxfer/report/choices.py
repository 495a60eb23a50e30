"""What the recipe left open and the run chose: the checkpoint, and how many layers are frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from textxfer.recipe.public import public_name
from textxfer.report import plots
from textxfer.report.pieces import Column, Figure, Figures, Section, Table
from textxfer.report.reading import RunFiles
from textxfer.report.showing import score


def section(run: RunFiles) -> Section | None:
    """Gives the table of ranked checkpoints and the curve of layer scores; None where nothing was left open."""
    ranking, depth = run.choices.get("checkpoint"), run.choices.get("depth")
    blocks: list[Any] = []
    leads = []
    if ranking:
        blocks.append(_ranking(ranking["ranked"]))
        leads.append(f"Of {len(ranking['ranked'])} checkpoints this one was ranked first.")
    if depth:
        blocks.append(Figures([_curve(depth["curve"], depth["layers"])]))
        leads.append(f"{depth['layers']} of {len(depth['curve']) - 1} layers are frozen: {depth['sentence']}.")
    if not blocks:
        return None
    rows = max(part["rows"] for part in (ranking, depth) if part)
    reading = (
        f"Chosen by linear probes on {rows:,} training rows, cross-validated, before any step; they foretell what "
        "training comes to roughly, not surely."
    )
    return Section("choices", "What the run chose", blocks, " ".join(leads), reading)


def _ranking(ranked: Sequence[Mapping[str, Any]]) -> Table:
    columns = [
        Column("Checkpoint", "label"),
        Column("Probe", "score"),
        Column("LogME", "score"),
        Column("H-score", "score"),
        Column("Nearest neighbours", "score"),
        Column("Parameters", "count"),
    ]
    keys = ("accuracy", "log_evidence", "h_score", "neighbours", "parameters")
    rows = [(public_name(each["checkpoint"]), *(each[key] for key in keys)) for each in ranked]
    return Table("Checkpoints, the best first", columns, rows)


def _curve(curve: Sequence[Mapping[str, Any]], chosen: int) -> Figure:
    layers, scores = [each["layer"] for each in curve], [each["accuracy"] for each in curve]
    title = "Probe on each layer"
    told = f"From {score(scores[0])} on the embeddings to {score(scores[-1])} on layer {layers[-1]}; {chosen} frozen."
    line = plots.Curve(layers, scores, dots=True)
    svg = plots.curves("layers", title, f"Accuracy of a probe by layer. {told}", [line], chosen, "layer", "frozen")
    rows = [(each["layer"], each["accuracy"], each["sd"]) for each in curve]
    columns = [Column("Layer", "count"), Column("Accuracy", "score"), Column("Standard deviation", "score")]
    reading = "How many labels a linear probe foretells from the states after each layer; layer 0 is the embeddings."
    return Figure(title, svg, reading, Table(f"{title}, numbers", columns, rows, folded=True))
