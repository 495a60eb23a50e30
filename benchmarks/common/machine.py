"""What the machine is, and what it can do at best."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PACKAGES = ("textxfer", "torch", "transformers", "tokenizers", "accelerate", "datasets", "scikit-learn")
PEERS = ("sentence-transformers", "setfit")
ROWS, INNER, COLUMNS = 1024, 384, 1536
COPIED_BYTES = 256 * 2**20


def describe(threads: int) -> str:
    """Gives the machine line: processor, cores, memory, threads used, load."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [
        _processor(),
        f"{cores} cores",
        f"{threads} threads used",
        platform.system(),
        f"Python {platform.python_version()}",
    ]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        parts.insert(2, f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB")
    return ", ".join([*parts, f"load {os.getloadavg()[0]:.1f} before the start"])


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text().splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        flags = next((line.split() for line in lines if line.startswith("flags")), [])
        special = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
        return f"{names[0] if names else platform.machine()} ({' '.join(special)})"
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Gives the versions of the packages that are compared, those that are installed."""
    found = {}
    for name in (*PACKAGES, *PEERS):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def is_installed(package: str) -> bool:
    """Says whether a package, by the name that pip knows, is installed."""
    return package in versions()


def roofline_of_gpu() -> dict[str, Any]:
    """Measures a GPU's best: TFLOP/s of bf16 matrix products, GB/s of copying its memory. Runs in a child."""
    import torch

    size, copied = 8192, 4 * 2**30
    left, right = (torch.randn(size, size, device="cuda").bfloat16() for _ in range(2))
    source = torch.ones(copied, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)

    def seconds(action: Callable[[], Any]) -> float:
        action()
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(10):
            action()
        torch.cuda.synchronize()
        return (time.perf_counter() - began) / 10

    return {
        "gpu": torch.cuda.get_device_name(),
        "bf16_tflops": round(2 * size**3 / seconds(lambda: left @ right) / 1e12),
        "copy_gbytes": round(2 * copied / seconds(lambda: target.copy_(source)) / 1e9),
    }


def roofline() -> dict[str, Any]:
    """Measures the machine's best: GFLOP/s of matrix products, GB/s of copying memory. Runs in a child."""
    import torch

    work = 2 * ROWS * INNER * COLUMNS
    rates = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        left, right = torch.randn(ROWS, INNER).to(dtype), torch.randn(INNER, COLUMNS).to(dtype)
        out = torch.empty(ROWS, COLUMNS, dtype=dtype)
        seconds = _best_seconds(lambda a=left, b=right, c=out: torch.mm(a, b, out=c))
        rates[f"{name}_gflops"] = round(work / seconds / 1e9)
    source = torch.ones(COPIED_BYTES, dtype=torch.uint8)
    target = torch.empty_like(source)
    rates["copy_gbytes"] = round(2 * COPIED_BYTES / _best_seconds(lambda: target.copy_(source)) / 1e9, 1)
    return rates


def _best_seconds(action: Callable[[], Any], lasting: float = 0.5) -> float:
    """Gives the shortest time of an action, of as many tries as fit into `lasting` seconds."""
    for _ in range(3):
        action()
    best, end = float("inf"), time.perf_counter() + lasting
    while time.perf_counter() < end:
        began = time.perf_counter()
        action()
        best = min(best, time.perf_counter() - began)
    return best
