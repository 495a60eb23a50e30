"""Label sets that hold the right label with a stated probability: split conformal prediction.

Angelopoulos and Bates 2021, arXiv 2107.07511, section 1. On n rows that chose nothing, each row's right label has a
probability; the k-th highest of them, k = ceil((n + 1) * coverage), is the least probability that a label of a set
has. A new row's right label is then in its set with at least the stated probability, whatever the model, if the row is
like the n rows. That holds over rows on average, not for each label or each kind of text.

The score is one less the label's probability (Sadinle et al. 2019, arXiv 1609.00451): where probabilities are right, no
other gives smaller sets on average, and whoever has the probabilities can make the sets by one comparison. Adaptive
sets (APS, Romano et al. 2020, arXiv 2006.02544) spread the errors more evenly over easy and hard texts, but draw a
random number for each text, and without it they cover too much, most of all with two labels. The best label is always
in the set, so that none is empty; this can only raise the coverage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

LEAST_COVERAGE = 0.5
_GRID = (*(number / 100 for number in range(50, 100)), *(number / 1000 for number in range(991, 1000)))


@dataclass(frozen=True)
class Conformal:
    """What makes label sets of probabilities.

    Attributes:
        rows: That it was measured on.
        least_probability: Of a label in a set, by coverage, ascending from 0.5. In between the next higher coverage
            serves, which covers a little more.
    """

    rows: int
    least_probability: Mapping[float, float]

    @property
    def largest(self) -> float:
        """The largest coverage that so few rows can promise."""
        return max(self.least_probability)

    def least(self, coverage: float) -> float:
        """Gives the least probability of a label in a set.

        Args:
            coverage: From 0.5 to `largest`.
        """
        return next(share for known, share in self.least_probability.items() if known >= coverage - 1e-9)

    def to_dict(self) -> dict[str, Any]:
        """Gives plain data for config.json."""
        shares = {f"{coverage:g}": share for coverage, share in self.least_probability.items()}
        return {"rows": self.rows, "least_probability": shares}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Conformal:
        """Makes it again from what `to_dict` gave.

        Raises:
            ValueError: The data are of another form.
        """
        try:
            shares = {float(coverage): float(share) for coverage, share in data["least_probability"].items()}
            rows = int(data["rows"])
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"`conformal` is {data!r:.80}") from error
        if not shares:
            raise ValueError("`conformal` has no coverage")
        return cls(rows, dict(sorted(shares.items())))


def conformal(probabilities: np.ndarray, references: np.ndarray) -> Conformal:
    """Measures what label sets need, on rows that chose neither weights nor temperature.

    Args:
        probabilities: Of all labels (R, C), two rows at least.
        references: Label ids (R,).
    """
    import numpy as np

    rows = len(references)
    shares = np.sort(np.take_along_axis(probabilities, references[:, None], axis=1)[:, 0])[::-1]
    largest = np.floor(rows / (rows + 1) * 10_000) / 10_000
    coverages = sorted({*(coverage for coverage in _GRID if coverage <= largest), float(largest)})
    ranks = {coverage: int(np.ceil((rows + 1) * coverage - 1e-9)) for coverage in coverages}
    # Rounded down, so that what differs in the last digit elsewhere is still in the set.
    return Conformal(
        rows, {coverage: float(np.floor(shares[rank - 1] * 1e6) / 1e6) for coverage, rank in ranks.items()}
    )


def label_sets(probabilities: np.ndarray, least: float) -> np.ndarray:
    """Gives each row's label set (R, C) of booleans: the labels that are probable enough, and always the best one.

    Args:
        probabilities: Of all labels (R, C).
        least: As `Conformal.least` gives it.
    """
    import numpy as np

    inside = probabilities >= least
    inside[np.arange(len(inside)), probabilities.argmax(axis=1)] = True
    return inside
