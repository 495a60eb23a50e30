"""What is gained by answering only where a model is sure: the risk-coverage curve.

El-Yaniv and Wiener 2010 (JMLR 11); the area under it as in Geifman and El-Yaniv 2017, arXiv 1705.08500.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

MOST_POINTS = 200
COVERAGES = (0.8, 0.9, 0.95)


@dataclass(frozen=True)
class Point:
    """What answering the surest rows only comes to.

    Attributes:
        coverage: Share of the rows that are answered.
        risk: Share of those that are wrong.
        confidence: The least confidence among them: `min_confidence` of a pipeline.
    """

    coverage: float
    risk: float
    confidence: float


@dataclass(frozen=True)
class Selective:
    """The risk at every coverage.

    Attributes:
        points: 200 at most, by rising coverage.
        area: Under the curve: the mean risk over all coverages; less is better.
        accuracy_at: Accuracy on the surest 80, 90 and 95 % of the rows.
    """

    points: tuple[Point, ...]
    area: float
    accuracy_at: Mapping[float, float]

    def to_dict(self) -> dict[str, Any]:
        """Gives plain data: {"area", "accuracy_at": {"0.8": ...}, "points": {"coverage", "risk", "confidence"}}."""
        names = ("coverage", "risk", "confidence")
        return {
            "area": self.area,
            "accuracy_at": {f"{coverage:g}": accuracy for coverage, accuracy in self.accuracy_at.items()},
            "points": {name: [getattr(point, name) for point in self.points] for name in names},
        }


def risk_coverage(confidence: np.ndarray, right: np.ndarray) -> Selective:
    """Gives the risk-coverage curve.

    Rows of equal confidence cannot be told apart: each counts as the mean of them.

    Args:
        confidence: Of each row's prediction (R,): the probability of the top label, an answer's score. One at least.
        right: Whether it is right (R,).
    """
    import numpy as np

    levels, group, counts = np.unique(-confidence, return_inverse=True, return_counts=True)
    wrong = np.bincount(group, ~right.astype(bool)) / counts
    rows = np.arange(1, len(right) + 1)
    risk = np.cumsum(np.repeat(wrong, counts)) / rows
    least = np.repeat(-levels, counts)
    shown = np.unique(np.linspace(0, len(rows) - 1, min(MOST_POINTS, len(rows))).round().astype(int))
    points = tuple(Point(float(rows[place] / len(rows)), float(risk[place]), float(least[place])) for place in shown)
    at = {coverage: 1 - float(risk[int(np.ceil(coverage * len(rows) - 1e-9)) - 1]) for coverage in COVERAGES}
    return Selective(points, float(risk.mean()), at)
