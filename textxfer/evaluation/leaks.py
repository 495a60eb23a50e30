"""`without`: predictions without some of their rows, such as those that stand in train too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textxfer.records import Predictions

if TYPE_CHECKING:
    import numpy as np


def without(predictions: Predictions, rows: Sequence[int] | np.ndarray) -> Predictions:
    """Leaves rows out, so that what is left can be scored; nothing may be left.

    Args:
        predictions: Of all rows of a split.
        rows: Places in the split, from 0, as `Findings.leaked_test_rows` gives them.
    """
    import numpy as np

    kept = np.setdiff1d(np.arange(len(predictions)), np.asarray(rows, dtype=np.int64))
    return predictions.select(kept)
