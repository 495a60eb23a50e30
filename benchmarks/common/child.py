"""The far end of `processes.call`: `python -m common.child ORDER ANSWER`."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path


def main(order: str, answer: str) -> None:
    """Does the job of an order and writes what it gave."""
    wanted = json.loads(Path(order).read_text())
    module, _, name = wanted["job"].partition(":")
    function = getattr(importlib.import_module(module), name)

    import torch

    torch.set_num_threads(wanted["threads"])
    result = function(**wanted["settings"])
    known = {"peak_mb": peak_mb()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        known["device_peak_mb"] = torch.cuda.max_memory_allocated() / 1e6
    Path(answer).write_text(json.dumps(known | result))


def peak_mb() -> float:
    """Gives the most memory that this process has had resident, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage counts the parent's memory at the fork too
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


if __name__ == "__main__":
    main(*sys.argv[1:])
