"""Probabilities that mean what they say: temperatures, thresholds, and how far off the probabilities are.

Letters in shapes: R rows, C labels. References are label ids (R,), or label sets (R, C) of 0 and 1 where a row has any
number of labels; then every label's yes or no is a case of its own.

Temperature scaling and the expected calibration error are those of Guo et al. 2017, arXiv 1706.04599. Bins are of equal
width, as there, so that the figures compare with those of others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

NUM_BINS = 15
LEAST_ROWS = 100
LEAST_ERRORS = 10
"""Errors without which no temperature is fitted: it is errors that say how sure is too sure."""
LEAST_POSITIVES = 10
"""Rows with a label without which its threshold stays at 0.5."""
TEMPERATURES = (0.01, 100.0)
"""The lowest and the highest temperature."""


@dataclass(frozen=True)
class Bin:
    """Cases whose probability lies in one interval.

    Attributes:
        low: Its lower end, which belongs to the bin below.
        high: Its upper end.
        count: Cases in it.
        confidence: Mean of their probabilities.
        accuracy: Share of them that are right.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Reliability:
    """How far probabilities are from frequencies.

    Attributes:
        calibration_error: Expected calibration error, 0 to 1.
        nll: Negative log-likelihood in nats, mean over cases.
        bins: Those that are not empty, from low to high.
    """

    calibration_error: float
    nll: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Calibration:
    """What was fitted on validation.

    Attributes:
        temperature: Divides the logits; for label sets one for each label. None where none was fitted.
        thresholds: Least probability of each label that counts as a yes; None: 0.5, or single labels.
        before: Of the probabilities as they were trained.
        after: Of those at the temperature, on the rows that it was fitted on.
        notes: What the user should know, a sentence each.
    """

    temperature: float | tuple[float, ...] | None
    thresholds: tuple[float, ...] | None
    before: Reliability
    after: Reliability
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Gives what metrics.json says under `calibration`."""
        sides = {"before": self.before, "after": self.after}
        figures = {
            side: {"calibration_error": found.calibration_error, "nll": found.nll} for side, found in sides.items()
        }
        bins = {side: [vars(each) for each in found.bins] for side, found in sides.items()}
        thresholds = {} if self.thresholds is None else {"thresholds": list(self.thresholds)}
        temperature = list(self.temperature) if isinstance(self.temperature, tuple) else self.temperature
        notes = {"notes": list(self.notes)} if self.notes else {}
        return {"temperature": temperature} | thresholds | figures | {"bins": bins} | notes


def fit(logits: np.ndarray, references: np.ndarray, *, several: bool) -> Calibration:
    """Fits what makes probabilities mean what they say, by least negative log-likelihood.

    Single labels get one temperature, which changes no label. Label sets get a temperature for each label, and then
    for each label with 10 rows or more the threshold of highest F1. Where there is too little to fit on, the
    temperature is None or, for a label of many, 1, and a note says so.

    Args:
        logits: Of validation rows (R, C).
        references: Their label ids (R,), or label sets (R, C).
        several: Whether references are label sets.
    """
    import numpy as np

    logits, references = logits.astype(np.float64), references.astype(np.int64)
    why_not = _why_not(logits, references, several)
    if why_not is not None:
        return uncalibrated(logits, references, why_not, several=several)
    notes: list[str] = []
    temperature: float | tuple[float, ...]
    thresholds = None
    if several:
        temperature, notes = _temperatures(logits, references)
    else:
        temperature = _temperature(logits, references)
    scaled = logits / np.array(temperature)
    if several:
        shares = probabilities_of(scaled, several=True)
        thresholds = tuple(_threshold(shares[:, label], references[:, label]) for label in range(shares.shape[1]))
    before = reliability(logits, references, several=several)
    after = reliability(scaled, references, several=several)
    summary = _summary(temperature, before, after, len(logits))
    return Calibration(temperature, thresholds, before, after, (summary, *notes, *_at_the_limit(temperature)))


def uncalibrated(logits: np.ndarray, references: np.ndarray, why: str, *, several: bool) -> Calibration:
    """Gives the calibration that changes nothing.

    Args:
        logits: Of validation rows (R, C).
        references: Their label ids (R,), or label sets (R, C).
        why: The reason; "not calibrated: " goes before it.
        several: Whether references are label sets.
    """
    found = reliability(logits, references, several=several)
    return Calibration(None, None, found, found, (f"not calibrated: {why}",))


def probabilities_of(logits: np.ndarray, *, several: bool) -> np.ndarray:
    """Gives the probabilities (R, C) of logits; each label's own for label sets."""
    from scipy.special import expit, softmax

    shares: np.ndarray = expit(logits) if several else softmax(logits, axis=1)
    return shares


def calibration_error(probabilities: np.ndarray, references: np.ndarray) -> float:
    """Gives the expected calibration error over 15 bins of equal width, from 0 to 1.

    Args:
        probabilities: Of all labels (R, C). For single labels the top one's counts; for label sets every label's.
        references: Label ids (R,), or label sets (R, C).
    """
    confidence, right = _cases(probabilities, references)
    return _error(_bins(confidence, right))


def reliability(logits: np.ndarray, references: np.ndarray, *, several: bool) -> Reliability:
    """Gives how far the probabilities of logits (R, C) are from frequencies."""
    bins = _bins(*_cases(probabilities_of(logits, several=several), references))
    return Reliability(_error(bins), _nll(logits, references), tuple(bins))


def _cases(probabilities: np.ndarray, references: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gives the probability of each case, and whether it came true."""
    if references.ndim == 2:
        return probabilities.ravel(), references.ravel() == 1
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == references


def _bins(confidence: np.ndarray, right: np.ndarray) -> list[Bin]:
    import numpy as np

    edges = np.linspace(0, 1, NUM_BINS + 1)
    places = np.clip(np.searchsorted(edges, confidence) - 1, 0, NUM_BINS - 1)
    counts, sums, hits = (
        np.bincount(places, weights, NUM_BINS) for weights in (None, confidence.astype(np.float64), right)
    )
    return [
        Bin(
            float(edges[place]),
            float(edges[place + 1]),
            int(counts[place]),
            float(sums[place] / counts[place]),
            float(hits[place] / counts[place]),
        )
        for place in np.flatnonzero(counts)
    ]


def _error(bins: Sequence[Bin]) -> float:
    total = sum(each.count for each in bins)
    return sum(each.count * abs(each.accuracy - each.confidence) for each in bins) / total


def _nll(logits: np.ndarray, references: np.ndarray) -> float:
    import numpy as np
    from scipy.special import logsumexp

    if references.ndim == 2:
        return float((np.logaddexp(0, logits) - references * logits).mean())
    return float((logsumexp(logits, axis=1) - np.take_along_axis(logits, references[:, None], axis=1)[:, 0]).mean())


def _why_not(logits: np.ndarray, references: np.ndarray, several: bool) -> str | None:
    """Says why no temperature can be fitted, if so."""
    import numpy as np

    rows = len(references)
    if rows < LEAST_ROWS:
        return f"validation has {rows} rows, and fewer than {LEAST_ROWS} say too little; give it more"
    if several:
        return None
    if len(np.unique(references)) < 2:
        return f"the {rows} validation rows all have one label; give it rows of every label"
    errors = int((logits.argmax(axis=1) != references).sum())
    if errors < LEAST_ERRORS:
        found = "no error" if errors == 0 else "one error" if errors == 1 else f"{errors} errors"
        return (
            f"the model makes {found} on {rows} validation rows, and fewer than {LEAST_ERRORS} say too little of how "
            "sure is too sure; give it more rows"
        )
    return None


def _temperature(logits: np.ndarray, references: np.ndarray) -> float:
    """Gives the temperature of least negative log-likelihood, or the limit that it lies beyond.

    The likelihood is convex in 1 / T, and its slope there is the mean logit that the model expects less the mean logit
    of the references: this finds where the two are equal.
    """
    import numpy as np
    from scipy.optimize import brentq

    several = references.ndim == 2
    chosen = references * logits if several else np.take_along_axis(logits, references[:, None], axis=1)
    wanted = chosen.sum()

    def slope(log_temperature: float) -> float:
        return float((probabilities_of(logits / np.exp(log_temperature), several=several) * logits).sum() - wanted)

    lowest, highest = TEMPERATURES
    if slope(np.log(lowest)) <= 0:
        return lowest
    if slope(np.log(highest)) >= 0:
        return highest
    return float(np.exp(brentq(slope, np.log(lowest), np.log(highest), xtol=1e-6)))


def _temperatures(logits: np.ndarray, references: np.ndarray) -> tuple[tuple[float, ...], list[str]]:
    """Gives a temperature for each label, 1 where it makes too few errors, and what the user should know of that."""
    errors = ((logits >= 0) != (references == 1)).sum(axis=0)
    found = tuple(
        _temperature(logits[:, [label]], references[:, [label]]) if count >= LEAST_ERRORS else 1.0
        for label, count in enumerate(errors)
    )
    few = int((errors < LEAST_ERRORS).sum())
    if few == 0:
        return found, []
    why = f"the model makes fewer than {LEAST_ERRORS} errors in them on validation"
    return found, [f"the temperature of {few} of {len(found)} labels is left at 1: {why}"]


def _at_the_limit(temperature: float | tuple[float, ...]) -> list[str]:
    found = temperature if isinstance(temperature, tuple) else (temperature,)
    return [
        f"a temperature stopped at the limit of {limit:g}: validation would take it further"
        for limit in TEMPERATURES
        if limit in found
    ]


def _threshold(shares: np.ndarray, references: np.ndarray) -> float:
    """Gives the threshold of highest F1, midway between two probabilities; 0.5 where nothing is better."""
    import numpy as np
    from sklearn.metrics import f1_score, precision_recall_curve

    if references.sum() < LEAST_POSITIVES:
        return 0.5
    precision, recall, cuts = precision_recall_curve(references, shares)
    scores = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    best = int(scores[:-1].argmax())
    if scores[best] <= f1_score(references, shares >= 0.5, zero_division=0):
        return 0.5
    below = cuts[best - 1] if best > 0 else 0.0
    return float(f"{(cuts[best] + below) / 2:.6g}")


def _summary(temperature: Any, before: Reliability, after: Reliability, rows: int) -> str:
    if isinstance(temperature, tuple):
        what = f"temperatures from {min(temperature):.3g} to {max(temperature):.3g}, one for each label"
    else:
        what = f"temperature {temperature:.3g}"
    return (
        f"calibrated on {rows} validation rows ({what}): the calibration error there was "
        f"{before.calibration_error:.3f} and is {after.calibration_error:.3f}"
    )
