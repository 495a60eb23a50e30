"""Which arithmetic a device does well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from textxfer.errors import RecipeError
from textxfer.modeling.device import has_fast_bf16

if TYPE_CHECKING:
    from accelerate import Accelerator

Precision = Literal["auto", "fp32", "bf16", "fp16"]


def make_accelerator(precision: Precision = "auto") -> Accelerator:
    """Makes the Accelerator of a run: CUDA, then MPS, else the CPU (`ACCELERATE_USE_CPU=1` forces it).

    Args:
        precision: As in a recipe; `auto` is bf16 where the device does it well, else fp32.

    Raises:
        RecipeError: The device cannot do it.
    """
    from accelerate import Accelerator, PartialState
    from accelerate.state import AcceleratorState

    device = PartialState().device.type
    if precision == "auto":
        precision = "bf16" if has_fast_bf16(device) else "fp32"
    if precision == "fp16" and device != "cuda":
        raise RecipeError(
            f"train.precision: fp16 needs a CUDA GPU, and this run is on {device}; take bf16, fp32 or auto"
        )
    mixed_precision = "no" if precision == "fp32" else precision
    try:
        return Accelerator(mixed_precision=mixed_precision)
    except ValueError:  # an earlier run of this process had another precision, and Accelerate keeps the first
        AcceleratorState._reset_state()
    try:
        return Accelerator(mixed_precision=mixed_precision)
    except ValueError as error:
        raise RecipeError(
            f"train.precision: {precision} does not work on {device}: {error}; take fp32 or auto"
        ) from error
