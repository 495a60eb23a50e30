"""Whether the model knows what it knows: reliability, and errors against rows answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from textxfer.report import plots
from textxfer.report.pieces import Column, Figure, Figures, Section, Table
from textxfer.report.reading import RunFiles
from textxfer.report.showing import percent, score, sentence

COVERAGES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


def section(run: RunFiles) -> Section | None:
    """Gives the reliability diagram and the risk-coverage curve; None where metrics.json has neither."""
    calibration, selective = run.metrics.get("calibration") or {}, run.of_split("selective")
    figures = []
    if calibration.get("bins"):
        figures.append(_reliability(calibration))
    if selective.get("points"):
        figures.append(_risk(selective["points"], selective["area"]))
    if not figures:
        return None
    return Section("confidence", "Confidence", [Figures(figures)], _lead(calibration))


def _lead(calibration: Mapping[str, Any]) -> str:
    """Says what calibration did to the error, on the rows that it was fitted on."""
    if not calibration:
        return ""
    before, after, temperature = calibration["before"], calibration["after"], calibration["temperature"]
    if temperature is None:
        error = score(before["calibration_error"])
        if not calibration.get("notes"):
            return f"Not calibrated: as trained, the calibration error on validation is {error}."
        told = " ".join(map(sentence, calibration["notes"]))
        return f"{told} As trained, the calibration error on validation is {error}."
    by = "a temperature for each label" if isinstance(temperature, Sequence) else f"temperature {temperature:.2f}"
    moved = [f"{score(before[figure])} to {score(after[figure])}" for figure in ("nll", "calibration_error")]
    return (
        f"Calibrated by {by}, which took the loss on validation from {moved[0]}, the calibration error from {moved[1]}."
    )


def _reliability(calibration: Mapping[str, Any]) -> Figure:
    before, after = (_bins(calibration["bins"][when]) for when in ("before", "after"))
    before = [] if before == after else before
    told = "; ".join(f"at confidence {score(one.confidence)} {score(one.accuracy)} are right" for one in after)
    svg = plots.reliability("reliability", "Reliability", f"{told}.", before, after)
    legend = [("line dots first", "after calibration" if before else "the saved model")]
    legend += [("line dashed dots second", "before")] if before else []
    legend.append(("line dotted muted", "perfect"))
    scores = [Column("Confidence", "score"), Column("Right", "score"), Column("Rows", "count")]
    columns = [Column("Calibration"), *scores]
    rows = [
        (when, one.confidence, one.accuracy, one.count)
        for when, found in (("before", before), ("after", after))
        for one in found
    ]
    reading = (
        "Share that is right (up) among validation rows of like confidence (across). Below the dotted line the model "
        "claims more than it keeps; above, less. A larger dot is more rows."
    )
    return Figure("Reliability", svg, reading, Table("Reliability, numbers", columns, rows, folded=True), legend)


def _bins(found: Sequence[Mapping[str, Any]]) -> list[plots.Bin]:
    return [plots.Bin(one["confidence"], one["accuracy"], int(one["count"])) for one in found]


def _risk(points: Mapping[str, Sequence[float]], area: float) -> Figure:
    coverage, risk, least = points["coverage"], points["risk"], points["confidence"]
    near = [min(range(len(coverage)), key=lambda place: abs(coverage[place] - wanted)) for wanted in COVERAGES]
    places = sorted(set(near))
    told = "; ".join(f"{percent(coverage[place])} answered: {score(risk[place])} wrong" for place in places)
    svg = plots.risk_coverage("risk", "Risk and coverage", f"{told}.", coverage, risk)
    columns = [Column(name, "score") for name in ("Rows answered", "Of these wrong", "Least confidence")]
    rows = [(coverage[place], risk[place], least[place]) for place in places]
    reading = (
        "If only the surest rows are answered (across: how many), this share of them is wrong (up). A curve that falls "
        "towards the left means that confidence tells right from wrong. The area under it is "
        f"{score(area)}; less is better. The least confidence is what `min_confidence` of a pipeline takes."
    )
    legend = [("line first", "errors among the answered"), ("line dotted muted", "all rows answered")]
    table = Table("Risk and coverage, numbers", columns, rows, folded=True)
    return Figure("Risk and coverage", svg, reading, table, legend)
