"""Matthews' correlation."""

from __future__ import annotations

from typing import Any

from textxfer.metrics._metric import LABELS, Metric


def _matthews(predictions: Any, references: Any) -> float:
    import numpy as np
    from sklearn.metrics import matthews_corrcoef

    if len(np.union1d(predictions, references)) < 2:
        return 0.0  # what scikit-learn gives too, with a warning
    return float(matthews_corrcoef(references, predictions))


matthews = Metric(
    _matthews,
    judges=(LABELS,),
    summary="Matthews' correlation of predictions and references; 0 is chance, and it can fall to -1.",
)
