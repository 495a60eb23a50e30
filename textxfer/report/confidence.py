"""Whether the model knows what it knows: reliability, and errors against rows answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from textxfer.report import plots
from textxfer.report.pieces import Column, Figure, Figures, Section, Table
from textxfer.report.reading import RunFiles
from textxfer.report.showing import percent, score

COVERAGES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


def section(run: RunFiles) -> Section | None:
    """Gives the reliability diagram and the risk-coverage curve; None where metrics.json has neither."""
    calibration, selective = run.metrics.get("calibration") or {}, run.metrics.get("selective") or {}
    figures = []
    if calibration.get("bins"):
        figures.append(_reliability(calibration))
    points = selective.get("points") or selective
    if points.get("coverage"):
        figures.append(_risk(points, selective.get("area", selective.get("aurc"))))
    if not figures:
        return None
    return Section("confidence", "Confidence", [Figures(figures)], _lead(calibration))


def _lead(calibration: Mapping[str, Any]) -> str:
    """Says what calibration did to the error, on the rows that it was fitted on."""
    before, after = ((calibration.get(when) or {}).get("calibration_error") for when in ("before", "after"))
    temperature = calibration.get("temperature")
    if before is None or after is None:
        return ""
    if temperature is None:
        return f"Not calibrated: probabilities are as they were trained, with a calibration error of {score(before)}."
    by = "a temperature for each label" if isinstance(temperature, Sequence) else f"temperature {temperature:.2f}"
    return (
        f"Calibrated by {by}: on validation the calibration error was {score(before)} and is {score(after)}; 0 is best."
    )


def _reliability(calibration: Mapping[str, Any]) -> Figure:
    bins = calibration["bins"]
    sides = bins if isinstance(bins, Mapping) else {"after": bins}
    before, after = _bins(sides.get("before") or ()), _bins(sides.get("after") or ())
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
    return [plots.Bin(one["confidence"], one["accuracy"], int(one["count"])) for one in found if one.get("count")]


def _risk(points: Mapping[str, Sequence[float]], area: float | None) -> Figure:
    coverage, risk, least = points["coverage"], points["risk"], points.get("confidence")
    near = [min(range(len(coverage)), key=lambda place: abs(coverage[place] - wanted)) for wanted in COVERAGES]
    places = sorted(set(near))
    told = "; ".join(f"{percent(coverage[place])} answered: {score(risk[place])} wrong" for place in places)
    svg = plots.risk_coverage("risk", "Risk and coverage", f"{told}.", coverage, risk)
    columns = [Column("Rows answered", "score"), Column("Of these wrong", "score")]
    columns += [Column("Least confidence", "score")] if least else []
    rows = [(coverage[place], risk[place], *([least[place]] if least else [])) for place in places]
    reading = (
        "If only the surest rows are answered (across: how many), this share of them is wrong (up). A curve that falls "
        "towards the left means that confidence tells right from wrong."
    )
    reading += "" if area is None else f" Area under it: {score(area)}; less is better."
    legend = [("line first", "errors among the answered"), ("line dotted muted", "all rows answered")]
    table = Table("Risk and coverage, numbers", columns, rows, folded=True)
    return Figure("Risk and coverage", svg, reading, table, legend)
