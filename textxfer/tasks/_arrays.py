"""Outputs of a model in numpy, whichever library ran it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def as_numpy(array: Any) -> np.ndarray:
    """Gives a tensor in fp32 as a numpy array; what is numpy's already stays as it is."""
    import numpy as np

    if isinstance(array, np.ndarray):
        return array
    tensor: np.ndarray = array.float().cpu().numpy()
    return tensor
