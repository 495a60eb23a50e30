"""Which processes and which arithmetic a run has."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from textxfer.errors import RecipeError, TextxferError
from textxfer.modeling.device import has_fast_bf16

if TYPE_CHECKING:
    from accelerate import Accelerator

Precision = Literal["auto", "fp32", "bf16", "fp16"]


def make_accelerator(
    precision: Precision = "auto", trackers: tuple[str, ...] = (), directory: Path | None = None
) -> Accelerator:
    """Makes the Accelerator of a run: CUDA, then MPS, else the CPU (`ACCELERATE_USE_CPU=1` forces it).

    Args:
        precision: As in a recipe; `auto` is bf16 where the device does it well, else fp32.
        trackers: Names of installed ones.
        directory: Where trackers may write.

    Raises:
        RecipeError: The device cannot do it.
        TextxferError: A launcher started several processes, but they know nothing of each other.
    """
    device = _kind_of_device()
    if precision == "auto":
        precision = "bf16" if has_fast_bf16(device) else "fp32"
    if precision == "fp16" and device != "cuda":
        message = f"train.precision: fp16 needs a CUDA GPU, and this run is on {device}; take bf16, fp32 or auto"
        raise RecipeError(message)
    try:
        options = {"log_with": list(trackers), "project_dir": directory} if trackers else {}
        accelerator = _accelerator(device, "no" if precision == "fp32" else precision, options)
    except ValueError as error:
        message = f"train.precision: {precision} does not work on {device}: {error}; take fp32 or auto"
        raise RecipeError(message) from error
    started = int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_RANK" in os.environ else 1
    if started != accelerator.num_processes:
        raise TextxferError(
            f"{started} processes were started, but {accelerator.num_processes} work together; start them by "
            "`torchrun --nproc_per_node N -m textxfer.run RECIPE`"
        )
    return accelerator


def _kind_of_device() -> str:
    """Gives "cuda", "mps" or "cpu", without taking memory on any: each process takes its own later."""
    import torch
    from accelerate.utils import parse_flag_from_env

    if parse_flag_from_env("ACCELERATE_USE_CPU"):
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _accelerator(device: str, mixed_precision: str, options: dict[str, Any]) -> Accelerator:
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    # Unless told that it is to be the CPU, Accelerate looks for GPUs only, and processes on CPUs stay strangers.
    try:
        return Accelerator(cpu=device == "cpu", mixed_precision=mixed_precision, **options)
    except ValueError:  # an earlier run of this process had another precision, and Accelerate keeps the first
        AcceleratorState._reset_state()
    return Accelerator(cpu=device == "cpu", mixed_precision=mixed_precision, **options)
