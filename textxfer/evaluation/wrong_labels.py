"""How many labels are wrong, and how many of them can be named, by probabilities for rows that the probes did not see.

Confident learning (Northcutt et al. 2021, arXiv:1911.00068) counts rows that are sure of another label than their own,
each label by a threshold of its own. It is right where the probabilities are; probes that err, as those of few rows do,
count their own errors as errors of the labels. Where they are surest they err least: the share of other labels among
those rows bounds what is counted, and the lower end of its interval says how many rows can be named.

Letters in shapes: R rows, C labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textxfer.evaluation.probing import ProbeScore

if TYPE_CHECKING:
    import numpy as np

LEAST_ROWS_A_LABEL = 100
"""Fewer, on average, and the probes' own errors outnumber those of the labels."""
MOST_SHARE = 0.05
"""Of few rows, the share that is named at most. The test sets of ten benchmarks hold some 3 % of wrong labels on
average (Northcutt, Athalye & Mueller 2021, arXiv:2103.14749)."""
LEAST_SURE = 50
"""Rows that the share of wrong labels is told from."""
DEVIATIONS = 1.645
"""From a share to either end of its interval: 5 % lie beyond each."""
CLEAR_LEAD = 2.0
"""Standard errors by which the probes must do better than the most frequent label alone."""


@dataclass(frozen=True)
class WrongLabels:
    """How many labels of some rows are wrong.

    Attributes:
        estimated: Their number; None where the probes know nothing.
        borne: How many rows can be named.
        caveat: Why that is a rough guess, or none; None where it is not.
    """

    estimated: int | None
    borne: int
    caveat: str | None


def is_rough(counts: Sequence[int] | np.ndarray) -> bool:
    """Says whether labels of so many rows, each, are too rare for more than a rough guess."""
    return sum(counts) < LEAST_ROWS_A_LABEL * len(counts)


def wrong_labels(probabilities: np.ndarray, own: np.ndarray) -> WrongLabels:
    """Gives how many labels are wrong.

    Args:
        probabilities: Of each label for each row (R, C), by probes that did not see the row.
        own: The rows' label ids (R,); each label has a row.
    """
    import numpy as np

    rows, counts = len(own), np.bincount(own)
    probes, usual = ProbeScore(probabilities.argmax(axis=1) == own, ()), ProbeScore(own == counts.argmax(), ())
    lead, error = probes.lead(usual)
    if lead < max(CLEAR_LEAD * error, 1 / rows):
        told = f"the probes foretell {probes.accuracy:.1%} of them, always the most frequent label {usual.accuracy:.1%}"
        return WrongLabels(None, 0, told)
    share, low = _among_the_surest(probabilities, own)
    estimated = min(confident_joint(probabilities, own), round(share * rows))
    borne = min(estimated, round(low * rows))
    if not is_rough(counts):
        return WrongLabels(estimated, borne, None)
    few = f"{rows // len(counts)} rows a label are few"
    return WrongLabels(estimated, min(borne, int(MOST_SHARE * rows)), few)


def confident_joint(probabilities: np.ndarray, own: np.ndarray) -> int:
    """Gives the number of rows off the diagonal of the confident joint.

    A row counts for the label that is most probable among those that are, for it, at least as probable as for the
    average row that bears them; each given label's counts are scaled to its rows (Northcutt et al. 2021, section 3.1).
    """
    import numpy as np

    counts = np.bincount(own)
    thresholds = np.bincount(own, weights=probabilities[np.arange(len(own)), own]) / counts
    confident = np.where(probabilities >= thresholds, probabilities, -1.0)
    sure = confident.max(axis=1) >= 0
    joint = np.zeros((len(counts), len(counts)))
    np.add.at(joint, (own[sure], confident.argmax(axis=1)[sure]), 1)
    scaled = joint * (counts / np.maximum(joint.sum(axis=1), 1))[:, None]
    return round(float(scaled.sum() - np.trace(scaled)))


def _among_the_surest(probabilities: np.ndarray, own: np.ndarray) -> tuple[float, float]:
    """Gives the share of rows whose label is not the foretold one, and its lower end, among the surest rows.

    As many of these are taken as make the upper end of the share's interval (Wilson 1927) the lowest, 50 at least:
    fewer say less, and more are less sure.
    """
    import numpy as np

    surest = np.argsort(-probabilities.max(axis=1), kind="stable")
    count = np.arange(1, len(own) + 1)
    share = np.cumsum(probabilities.argmax(axis=1)[surest] != own[surest]) / count
    square = DEVIATIONS**2 / count
    middle = (share + square / 2) / (1 + square)
    reach = np.sqrt(square * (share * (1 - share) + square / 4)) / (1 + square)
    least = min(LEAST_SURE, len(own)) - 1
    taken = least + int((middle + reach)[least:].argmin())
    return float(share[taken]), float((middle - reach)[taken])
