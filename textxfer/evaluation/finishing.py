"""What comes between training and the final scores: calibration, thresholds and label sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textxfer.data.splits import LEAST_VALIDATION
from textxfer.evaluation.calibrate import Calibration, fit, probabilities_of, uncalibrated
from textxfer.evaluation.conformal import Conformal, conformal
from textxfer.modeling.rescale import CannotRescale, rescale
from textxfer.tasks import Task

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass(frozen=True)
class Labelled:
    """What a model says of labelled rows.

    Attributes:
        logits: (R, C).
        references: Label ids (R,), or label sets (R, C) of 0 and 1.
    """

    logits: np.ndarray
    references: np.ndarray


@dataclass(frozen=True)
class Finished:
    """What was done to a model after training.

    Attributes:
        calibration: Fitted on validation; it is in the model now.
        conformal: Measured on the reserved rows; None where there are none.
        notes: What the user should know, a sentence each.
    """

    calibration: Calibration
    conformal: Conformal | None
    notes: tuple[str, ...]

    @property
    def settings(self) -> Mapping[str, Any]:
        """What a saved model must know beside `task.settings()`: goes into config.json under `textxfer`."""
        return {} if self.conformal is None else {"conformal": self.conformal.to_dict()}


def finish(model: torch.nn.Module, task: Task, validation: Labelled, reserved: Labelled | None = None) -> Finished:
    """Calibrates a trained model in place, and measures what label sets at a stated coverage need.

    The logits are divided by the temperature in the model's last linear layer; thresholds of label sets are noted in
    the task. Scores and predictions from before hold no longer.

    Args:
        model: Stock, with its final weights and a classification head.
        task: Gives labels or label sets.
        validation: The model's own logits, fp32, for the rows that chose its weights.
        reserved: The same for rows that chose nothing.
    """
    import numpy as np

    several = task.predicts == "label sets"
    calibration = fit(validation.logits, validation.references, several=several)
    if calibration.temperature is not None:
        try:
            rescale(model, calibration.temperature)
        except CannotRescale as problem:
            calibration = uncalibrated(validation.logits, validation.references, str(problem), several=several)
    if several:
        task.thresholds = calibration.thresholds  # type: ignore[attr-defined]
        return Finished(calibration, None, calibration.notes)
    if reserved is None:
        rows = len(validation.references)
        note = f"no label sets at a stated coverage: validation has {rows} rows, and they need {LEAST_VALIDATION}"
        return Finished(calibration, None, (*calibration.notes, note))
    logits = reserved.logits.astype(np.float64) / (calibration.temperature or 1.0)
    sets = conformal(probabilities_of(logits, several=False), reserved.references)
    note = f"label sets at a stated coverage, 0.5 to {sets.largest:g}: measured on {sets.rows} rows held back"
    return Finished(calibration, sets, (*calibration.notes, note))
