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
        RecipeError: fp16 is asked for where there is no GPU.
    """
    from accelerate import Accelerator, PartialState

    device = PartialState().device.type
    if precision == "auto":
        precision = "bf16" if has_fast_bf16(device) else "fp32"
    if precision == "fp16" and device != "cuda":
        raise RecipeError(f"train.precision: fp16 needs a CUDA GPU, and this run is on {device}; take bf16, fp32 or auto")
    return Accelerator(mixed_precision="no" if precision == "fp32" else precision)
