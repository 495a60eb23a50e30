"""How the scores moved while the model learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from textxfer.report import plots, words
from textxfer.report.pieces import Block, Column, Figure, Figures, Section, Table
from textxfer.report.reading import RunFiles
from textxfer.report.showing import score
from textxfer.report.svg import FIRST, MUTED, SECOND

MOST_LINES = 60
"""Evaluations that the table under a figure lists."""
MOST_NAMED = 4
"""Phases for which a figure has room for more than their numbers."""


def section(run: RunFiles) -> Section | None:
    """Gives curves of the loss, the chosen metric and the calibration error; None where nothing was logged."""
    steps = [line for line in run.log if "split" not in line and "loss" in line]
    scored = {split: [line for line in run.log if line.get("split") == split] for split in ("train", "validation")}
    if not steps and not any(scored.values()):
        return None
    best = run.metrics.get("best_step") if scored["validation"] else None
    phases = _Phases(run.metrics.get("phases") or ())
    figures = [_figure("loss", steps, scored, best, phases)]
    names = [name for name in (_chosen(run, scored), "calibration_error") if name]
    figures += [_figure(name, [], scored, best, phases) for name in names if any(name in line for line in _all(scored))]
    sentence = (run.metrics.get("overfitting") or {}).get("sentence", "")
    reading = (
        "Left to right is training time. Where the train curve goes on getting better while validation gets worse, the "
        "model learns its rows by heart."
    )
    blocks: list[Block] = [Figures(figures)]
    if phases.told:
        blocks.append(phases.table())
        reading += " A line downwards marks where a phase begins: from there on other layers are trained."
    return Section("learning", "Learning curves", blocks, str(sentence), reading)


@dataclass(frozen=True)
class _Phases:
    """The phases of a run, of metrics.json; empty where it had one."""

    told: Sequence[Mapping[str, Any]]

    @property
    def begins(self) -> dict[float, str]:
        """The names of the phases after the first one with steps, by the steps that are done when they begin."""
        taken = [(phase["first_step"] - 1, number) for number, phase in enumerate(self.told, 1) if phase["steps"]]
        word = "phase " if len(taken) <= MOST_NAMED else ""
        return {done: f"{word}{number}" for done, number in taken[1:]}

    def table(self) -> Table:
        """Says what each phase trained."""
        columns = [
            Column("Phase", "count"),
            Column("First step", "count"),
            Column("Steps", "count"),
            Column("Frozen layers"),
            Column("Trained parameters", "count"),
            Column("Highest rate"),
        ]
        rows = [
            (
                number,
                phase["first_step"] if phase["steps"] else None,
                phase["steps"],
                str(phase["frozen_layers"]),
                phase["trainable_parameters"],
                f"{phase['learning_rate']:g}",
            )
            for number, phase in enumerate(self.told, 1)
        ]
        return Table("Phases", columns, rows)


def _all(scored: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Mapping[str, Any]]:
    return [line for lines in scored.values() for line in lines]


def _chosen(run: RunFiles, scored: Mapping[str, Sequence[Mapping[str, Any]]]) -> str | None:
    """Gives the metric by which the weights were chosen, else a usual one that was logged."""
    known = {"step", "epoch", "split", "loss", "calibration_error"}
    logged = [name for line in _all(scored)[:1] for name in line if name not in known]
    wanted = (run.setting("evaluate", "select_by"), "macro_f1", "answer_f1", *logged)
    return next((name for name in wanted if name in logged), None)


def _figure(
    metric: str,
    steps: Sequence[Mapping[str, Any]],
    scored: Mapping[str, Sequence[Mapping[str, Any]]],
    best: float | None,
    phases: _Phases,
) -> Figure:
    lines, legend, told = [], [], []
    if steps:
        known = [line for line in steps if line["loss"] is not None]
        lines.append(plots.Curve([line["step"] for line in known], [line["loss"] for line in known], MUTED))
        legend.append(("line muted", "training loss"))
    for split, ink, style in (("train", SECOND, "line dashed second"), ("validation", FIRST, "line dots first")):
        points = [line for line in scored[split] if line.get(metric) is not None]
        if points:
            x, y = [line["step"] for line in points], [line[metric] for line in points]
            lines.append(plots.Curve(x, y, ink, dashed=split == "train", dots=True))
            legend.append((style, "train sample" if split == "train" else "validation"))
            told.append(f"{split}: {score(y[0])} at step {x[0]}, {score(y[-1])} at step {x[-1]}")
    title = "Loss" if metric == "loss" else words.title(metric)
    begins = phases.begins
    told += [f"{phase} begins after step {done:g}" for done, phase in begins.items()]
    about = f"{title} over steps. {'; '.join(told)}."
    svg = plots.curves(f"curve-{metric}", title, about, lines, best, "step", begins=begins)
    table = _table(title, metric, steps, scored)
    return Figure(title, svg, words.meaning(metric), table, legend)


def _table(
    title: str,
    metric: str,
    steps: Sequence[Mapping[str, Any]],
    scored: Mapping[str, Sequence[Mapping[str, Any]]],
) -> Table:
    """Gives the scores by step; the losses of single steps only where nothing was evaluated."""
    splits = [split for split in scored if any(metric in line for line in scored[split])]
    if not splits:
        rows = [(line["step"], line["loss"]) for line in steps[-MOST_LINES:]]
        return Table(
            f"{title}, numbers", [Column("Step", "count"), Column("Train, since the last", "score")], rows, True
        )
    found = {split: {line["step"]: line.get(metric) for line in scored[split]} for split in splits}
    every = sorted({step for steps_of in found.values() for step in steps_of})[-MOST_LINES:]
    columns = [Column("Step", "count"), *(Column(split.capitalize(), "score") for split in splits)]
    return Table(f"{title}, numbers", columns, [(step, *(found[s].get(step) for s in splits)) for step in every], True)
