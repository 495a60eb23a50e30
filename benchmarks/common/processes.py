"""Each run in a fresh process, so that memory and caches are its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BENCHMARKS = Path(__file__).parents[1]


def environment(threads: int, device: str = "cpu") -> dict[str, str]:
    """Gives the environment of a run: on a kind of device, with so many CPU threads."""
    paths = [str(BENCHMARKS), *filter(None, [os.environ.get("PYTHONPATH")])]
    counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), str(threads))
    return (
        os.environ
        | counts
        | {
            "PYTHONPATH": os.pathsep.join(paths),
            "ACCELERATE_USE_CPU": "1" if device == "cpu" else "0",
        }
    )


def call(job: str, threads: int, device: str = "cpu", **settings: Any) -> dict[str, Any]:
    """Calls a function in a fresh process.

    Args:
        job: "module:function", below benchmarks/; it takes `settings` and gives a dict, both plain data.
        threads: CPU threads.
        device: "cpu" or "cuda".
        **settings: Keyword arguments of the function.

    Returns:
        What the function gave, with `wall_seconds` (of the whole process) and `peak_mb` (most resident memory).
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        order, answer = Path(folder, "order.json"), Path(folder, "answer.json")
        order.write_text(json.dumps({"job": job, "threads": threads, "settings": settings}))
        seconds = run([sys.executable, "-m", "common.child", str(order), str(answer)], threads, folder, device)
        return json.loads(answer.read_text()) | {"wall_seconds": seconds}


def run(command: Sequence[str], threads: int, folder: str | Path, device: str = "cpu") -> float:
    """Runs a command in a folder and gives its seconds; ends the program with its last words if it fails."""
    began = time.perf_counter()
    own = environment(threads, device)
    done = subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode != 0:
        raise SystemExit(f"a run failed with exit code {done.returncode}:\n{done.stderr[-3000:]}")
    return seconds
