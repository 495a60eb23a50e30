"""The drawings: curves, a matrix, bars, reliability, risk against coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from textxfer.report.svg import FIRST, INK, LETTER, LINE, MUTED, SECOND, TEXT_SIZE, canvas, fitted, to_svg

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 380, 230
MOST_POINTS = 200
"""Of a line; longer ones are shown by the means of their pieces."""


LEAST_SPAN = 0.05
"""Of the heights of a curve: less would blow up what is nothing."""


@dataclass(frozen=True)
class Curve:
    """A line to draw.

    Attributes:
        x: Its places.
        y: Its heights.
        ink: Its colour.
        dashed: Whether it is dashed.
        dots: Whether its points are marked.
    """

    x: Sequence[float]
    y: Sequence[float]
    ink: str = FIRST
    dashed: bool = False
    dots: bool = False


def curves(
    name: str,
    title: str,
    description: str,
    lines: Sequence[Curve],
    best: float | None,
    x_name: str,
    best_name: str = "best",
    begins: Mapping[float, str] | None = None,
) -> Markup:
    """Draws values over the steps of a run, or over layers; `best` is marked, and the places where something begins."""
    drawing, axes = canvas(WIDTH, HEIGHT, left=44, right=12, top=16, bottom=40)
    _grid(axes)
    for line in lines:
        x, y = _thinned(line.x, line.y)
        style: Any = (0, (4, 3)) if line.dashed else "-"
        marker = "o" if line.dots or len(x) == 1 else "none"
        axes.plot(x, y, color=line.ink, linewidth=1.8, linestyle=style, marker=marker, markersize=4.5)
    if best is not None:
        axes.axvline(best, color=MUTED, linewidth=1, linestyle=(0, (1, 3)))
        axes.annotate(
            best_name, (best, 1), xycoords=("data", "axes fraction"), xytext=(0, 3), textcoords="offset points",
            color=MUTED, fontsize=TEXT_SIZE, ha="center",
        )  # fmt: skip
    for place, what in (begins or {}).items():
        axes.axvline(place, color=LINE, linewidth=1)
        axes.annotate(
            what, (place, 1), xycoords=("data", "axes fraction"), xytext=(3, -10), textcoords="offset points",
            color=MUTED, fontsize=TEXT_SIZE,
        )  # fmt: skip
    axes.margins(x=0.03, y=0.1)
    low, high = axes.get_ylim()
    if high - low < LEAST_SPAN:
        middle = (low + high) / 2
        axes.set_ylim(middle - LEAST_SPAN / 2, middle + LEAST_SPAN / 2)
    axes.set_xlabel(x_name, color=MUTED, fontsize=TEXT_SIZE)
    axes.locator_params("x", integer=True, nbins=6)
    axes.locator_params("y", nbins=5)
    return to_svg(drawing, name, title, description)


def matrix(name: str, title: str, description: str, labels: Sequence[str], counts: np.ndarray) -> Markup:
    """Draws how often each label (a row) was predicted as each label (a column).

    The shade is the share of the row, blue for what is right and orange for what is not.
    """
    from matplotlib.patches import Rectangle

    names = [fitted(label, 18) for label in labels]
    size = len(labels)
    cell = max(30, min(64, round(300 / size)))
    longest = round(max(map(len, names)) * LETTER)
    slanted = longest > cell - 4
    left, right, above = max(30, longest + 14), longest * 0.6 if slanted else 10, 44 + longest * 0.7 * slanted
    drawing, axes = canvas(left + size * cell + right, above + size * cell + 8, left, right, above, 8)
    totals = counts.sum(axis=1)
    for row in range(size):
        for column in range(size):
            number = int(counts[row, column])
            share = number / totals[row] if totals[row] else 0.0
            ink = FIRST if row == column else SECOND
            box = {"facecolor": ink, "alpha": 0.06 + 0.46 * share**0.6} if number else {"facecolor": "none"}
            axes.add_patch(Rectangle((column + 0.03, row + 0.03), 0.94, 0.94, linewidth=0, **box))
            if number:
                axes.text(column + 0.5, row + 0.5, str(number), color=INK, fontsize=TEXT_SIZE, ha="center", va="center")
    axes.add_patch(Rectangle((0, 0), size, size, facecolor="none", edgecolor=LINE, linewidth=1, clip_on=False))
    axes.set(xlim=(0, size), ylim=(size, 0))
    places, holders = [place + 0.5 for place in range(size)], [f"{{{number}}}" for number in range(size)]
    axes.xaxis.tick_top()
    slant: dict[str, Any] = {"rotation": 45, "ha": "left", "rotation_mode": "anchor"} if slanted else {}
    axes.set_xticks(places, holders, **slant)
    axes.set_yticks(places, holders)
    axes.tick_params(labelcolor=INK)
    axes.set_title("predicted as", loc="left", fontsize=TEXT_SIZE, color=MUTED, y=1, pad=above - 18)
    return to_svg(drawing, name, title, description, names)


@dataclass(frozen=True)
class Bar:
    """A bar with its name.

    Attributes:
        name: Of what is measured.
        value: Its length, a fraction 0..1.
        dots: Further fractions on the same line: first a filled dot, then an open one.
    """

    name: str
    value: float
    dots: Sequence[float] = ()


def bars(name: str, title: str, description: str, values: Sequence[Bar]) -> Markup:
    """Draws fractions as bars below each other."""
    names = [fitted(bar.name, 22) for bar in values]
    left = max(48, round(max(map(len, names)) * LETTER) + 12)
    height = 24 * len(values) + 30
    drawing, axes = canvas(WIDTH, height, left=min(left, 150), right=44, top=4, bottom=26)
    axes.grid(axis="x", color=LINE, linewidth=1)
    places = list(range(len(values)))
    axes.barh(places, [bar.value for bar in values], height=0.56, color=FIRST, alpha=0.45)
    for kind in range(max((len(bar.dots) for bar in values), default=0)):
        points = [(bar.dots[kind], place) for place, bar in enumerate(values) if len(bar.dots) > kind]
        face = SECOND if kind == 0 else "none"
        x, y = zip(*points, strict=True)
        axes.plot(x, y, "o", markersize=6, markerfacecolor=face, markeredgecolor=SECOND, clip_on=False)
    for place, bar in enumerate(values):
        axes.text(1.13, place, f"{bar.value:.3f}", color=INK, fontsize=TEXT_SIZE, ha="right", va="center")
    axes.set(xlim=(0, 1), ylim=(len(values) - 0.4, -0.6))
    axes.set_yticks(places, [f"{{{place}}}" for place in places])
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axes.tick_params(axis="y", labelcolor=INK)
    return to_svg(drawing, name, title, description, names)


@dataclass(frozen=True)
class Bin:
    """Rows of like confidence: their mean confidence, the share that is right, how many they are."""

    confidence: float
    accuracy: float
    count: int


def reliability(name: str, title: str, description: str, before: Sequence[Bin], after: Sequence[Bin]) -> Markup:
    """Draws the share that is right over the confidence; a larger dot is more rows."""
    drawing, axes = canvas(WIDTH, 290, left=44, right=16, top=10, bottom=40)
    _grid(axes)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (1, 3)))
    for bins, ink, style in ((before, SECOND, (0, (4, 3))), (after, FIRST, "-")):
        if not bins:
            continue
        x, y = [one.confidence for one in bins], [one.accuracy for one in bins]
        whole = sum(one.count for one in bins)
        sizes = [16 + 200 * one.count / whole for one in bins]
        axes.plot(x, y, color=ink, linewidth=1.8, linestyle=style)
        axes.scatter(x, y, s=sizes, color=ink, alpha=0.75, linewidths=0)
    lowest = min((one.confidence for one in (*before, *after)), default=0.0)
    axes.set(xlim=(0.45 if lowest >= 0.5 else -0.03, 1.03), ylim=(-0.03, 1.03))
    axes.set_xlabel("confidence", color=MUTED, fontsize=TEXT_SIZE)
    return to_svg(drawing, name, title, description)


def risk_coverage(name: str, title: str, description: str, coverage: Sequence[float], risk: Sequence[float]) -> Markup:
    """Draws the share of errors among the surest rows over how many of them are kept."""
    drawing, axes = canvas(WIDTH, 290, left=44, right=16, top=10, bottom=40)
    _grid(axes)
    x, y = _thinned(coverage, risk)
    axes.fill_between(x, y, color=FIRST, alpha=0.12, linewidth=0)
    axes.plot(x, y, color=FIRST, linewidth=1.8)
    axes.axhline(risk[-1], color=MUTED, linewidth=1, linestyle=(0, (1, 3)))
    axes.set(xlim=(0, 1.02), ylim=(0, max(max(y) * 1.15, 0.01)))
    axes.set_xlabel("share of rows answered", color=MUTED, fontsize=TEXT_SIZE)
    axes.locator_params("y", nbins=5)
    return to_svg(drawing, name, title, description)


def _grid(axes: Axes) -> None:
    axes.grid(axis="y", color=LINE, linewidth=1)


def _thinned(x: Sequence[float], y: Sequence[float]) -> tuple[list[float], list[float]]:
    """Gives a line of at most `MOST_POINTS`, each the mean of a piece; the last point stays."""
    import numpy as np

    if len(x) <= MOST_POINTS:
        return list(x), list(y)
    pieces = np.array_split(np.arange(len(x) - 1), MOST_POINTS - 1)
    means = [[float(np.mean(np.asarray(values, float)[piece])) for piece in pieces] for values in (x, y)]
    return [*means[0], float(x[-1])], [*means[1], float(y[-1])]
