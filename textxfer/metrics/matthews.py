"""Matthews' correlation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textxfer.metrics._metric import LABELS, Counts, Metric, share

if TYPE_CHECKING:
    import numpy as np


def _matthews(predictions: Any, references: Any) -> float:
    import numpy as np
    from sklearn.metrics import matthews_corrcoef

    if len(np.union1d(predictions, references)) < 2:
        return 0.0  # what scikit-learn gives too, with a warning
    return float(matthews_corrcoef(references, predictions))


def _of_counts(counts: Counts) -> np.ndarray:
    import numpy as np

    actual, predicted = counts.actual.astype(float), counts.predicted.astype(float)
    rows = actual.sum(axis=1)
    together = counts.right.sum(axis=1) * rows - (predicted * actual).sum(axis=1)
    spread = (rows**2 - (predicted**2).sum(axis=1)) * (rows**2 - (actual**2).sum(axis=1))
    return share(together, np.sqrt(spread))


matthews = Metric(
    _matthews,
    judges=(LABELS,),
    of_counts=_of_counts,
    between_labels=True,
    summary="Matthews' correlation of predictions and references; 0 is chance, and it can fall to -1.",
)
