"""Whether a run learned its training rows by heart, and what to try then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

NOISE = 0.02
"""A difference of scores below this says nothing."""
CHANGES = 0.1
"""Share of validation rows that are predicted otherwise from one evaluation to another, as a rule."""
WIDE = 0.10
"""A gap between training rows and validation that is worth a word."""
RISE = 1.10
"""Validation loss over its own lowest: from here on the model grows too sure of what it gets wrong."""


@dataclass(frozen=True)
class Overfitting:
    """What the curves of a run say.

    Attributes:
        sentence: In words, with what to try.
        best_epoch: Passes over the training rows at the best evaluation.
        gap: Score on a sample of the training rows less that on validation, at the best evaluation; None where the
            sample was not evaluated.
        loss_rise: Last validation loss by the lowest; None where there is no loss.
    """

    sentence: str
    best_epoch: float
    gap: float | None
    loss_rise: float | None

    def to_dict(self) -> dict[str, Any]:
        """Gives plain data for JSON."""
        return asdict(self)


def diagnose(
    lines: Iterable[Mapping[str, Any]],
    select_by: str,
    best_step: int,
    *,
    rows: int | None = None,
    greater_is_better: bool = True,
) -> Overfitting | None:
    """Reads the curves of a run.

    Args:
        lines: Of log.jsonl: {"step", "epoch", "split", "loss", metric ...} for each evaluation; other lines are passed
            over.
        select_by: The metric that chose the weights.
        best_step: The step whose weights were kept.
        rows: Of validation: by chance alone, few rows make a score go up and down; None where they are many.
        greater_is_better: Whether more of the metric is better.

    Returns:
        None where no evaluation of validation is among the lines.
    """
    scores = [line for line in lines if "split" in line and select_by in line]
    validation = [line for line in scores if line["split"] == "validation"]
    at_best = [line for line in validation if line["step"] == best_step]
    if not at_best:
        return None
    sign = 1 if greater_is_better else -1
    seen = [line[select_by] for line in scores if line["split"] == "train" and line["step"] == best_step]
    gap = sign * (seen[0] - at_best[0][select_by]) if seen else None
    losses = [line["loss"] for line in validation if line.get("loss") is not None]
    rise = losses[-1] / min(losses) if losses and min(losses) > 0 else None
    fallen = sign * (at_best[0][select_by] - validation[-1][select_by])
    sentence = _sentence(validation, at_best[0], seen[0] if seen else None, gap, rise, fallen, _noise(rows))
    return Overfitting(sentence, float(at_best[0]["epoch"]), gap, rise)


def _sentence(
    validation: list[Mapping[str, Any]],
    best: Mapping[str, Any],
    on_train: float | None,
    gap: float | None,
    rise: float | None,
    fallen: float,
    noise: float,
) -> str:
    epoch = f"epoch {best['epoch']:.2g}"
    if len(validation) == 1:
        return "One evaluation only: no curve to judge; train longer, or set train.evaluate_every to a number of steps."
    if fallen > noise and best["step"] == 0:
        return (
            f"Validation was best before the first step and then fell by {fallen:.3f}: training did not help. The "
            "weights of the start were kept; try a smaller train.learning_rate, more steps, or freeze.layers."
        )
    if fallen > noise:
        return (
            f"Validation was best after {epoch} and then fell by {fallen:.3f}: the model overfits. The weights of "
            f"{epoch} were kept; try fewer epochs, a smaller train.learning_rate, train.patience, or freeze.layers."
        )
    if gap is not None and gap > WIDE:
        return (
            f"Training rows score {gap:.3f} more than validation: the model knows its training rows by heart. More or "
            "more varied rows help most; else try freeze.layers, a larger train.dropout or train.weight_decay."
        )
    if rise is not None and rise > RISE:
        return (
            f"The validation loss has risen by {rise - 1:.0%} from its lowest while scores held: the model grows too "
            "sure of its mistakes. Calibration mends the probabilities; fewer epochs or train.label_smoothing help too."
        )
    if best is validation[-1] and fallen == 0 and _still_rising(validation, best, on_train):
        return f"Validation was still rising at the end ({epoch}): more epochs may help."
    return f"No sign of overfitting: validation was best after {epoch}, and training rows score about the same."


def _noise(rows: int | None) -> float:
    """Gives the fall of a score that says nothing: a standard deviation of the difference on so many rows, or more."""
    return NOISE if not rows else max(NOISE, (CHANGES / rows) ** 0.5)


def _still_rising(validation: list[Mapping[str, Any]], best: Mapping[str, Any], on_train: float | None) -> bool:
    before, after = validation[-2].get("loss"), best.get("loss")
    return before is not None and after is not None and after < before * (1 - NOISE) and on_train != 1.0
