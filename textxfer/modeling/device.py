"""Which device to take, what it does well, and when its memory ran out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textxfer.errors import TextxferError
from textxfer.modeling.checkpoint import first_line

if TYPE_CHECKING:
    import torch


MAPPED_ANEW = 32 * 2**20
"""Bytes above which glibc maps every block anew."""


def best_device() -> torch.device:
    """Gives CUDA, else MPS, else the CPU, which `ACCELERATE_USE_CPU=1` forces."""
    import torch
    from accelerate.utils import parse_flag_from_env

    if parse_flag_from_env("ACCELERATE_USE_CPU"):
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def usable_device(name: str | torch.device) -> torch.device:
    """Gives a device that was asked for by name.

    Raises:
        TextxferError: There is none of this name here.
    """
    import torch

    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise TextxferError(f"device {name}: cannot be used here: {first_line(error)}") from error
    return device


def has_fast_bf16(device: str) -> bool:
    """Says whether a kind of device ("cuda", "cpu", "mps") multiplies bf16 matrices in hardware."""
    import torch

    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device == "cpu":
        capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False


def is_out_of_memory(error: BaseException) -> bool:
    """Says whether an error means that a device has no memory left, so that less at a time may do."""
    import torch
    from accelerate.utils.memory import should_reduce_batch_size

    return isinstance(error, torch.OutOfMemoryError) or bool(should_reduce_batch_size(error))


def clear_memory() -> None:
    """Gives back what a device's allocator holds and nobody uses any more."""
    from accelerate.utils.memory import clear_device_cache

    clear_device_cache(garbage_collection=True)


def free_memory(root: Path = Path("/sys/fs/cgroup")) -> int:
    """Gives the bytes of memory that can still be taken: those of the machine, or of the container's limit if less.

    Args:
        root: Where control groups are told of, of either version.
    """
    import psutil

    free = int(psutil.virtual_memory().available)
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            free = min(free, max(int((root / limit).read_text()) - int((root / used).read_text()), 0))
        except (OSError, ValueError):  # not there, or `max`: there is no limit
            continue
    return free


def reuse_freed_memory(model: torch.nn.Module) -> bool:
    """Asks the C library to keep large blocks that were freed, for the next allocation, instead of giving them back.

    glibc maps every block above 32 MiB anew, and the kernel then clears it page by page: the gradient of a word
    embedding, 47 MB for 30,522 words of 384 numbers, in every step. What is kept is scattered, so that a process holds
    more than it needs; a model none of whose gradients is that large is better off without. Says whether it was done.
    """
    import ctypes
    import platform

    trained = (parameter.nbytes for parameter in model.parameters() if parameter.requires_grad)
    if platform.libc_ver()[0] != "glibc" or max(trained, default=0) <= MAPPED_ANEW:
        return False
    mmap_threshold, trim_threshold, size = -3, -1, 1 << 30
    setting = ctypes.CDLL(None).mallopt
    return bool(setting(mmap_threshold, size) and setting(trim_threshold, size))
