"""Python processes that begin with the heavy libraries imported: each is a fork of one that waits for orders.

That one has imported nothing of textxfer, and nothing that reads Hugging Face's environment variables, which count from
the beginning of a process. What is imported when is told by `test_startup.py`, in processes that begin with nothing.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
HEAVY = (
    "pandas",
    "torch",
    "torch._dynamo",
    "sklearn.linear_model",
    "matplotlib.figure",
    "matplotlib.backends.backend_svg",
    "safetensors.torch",
)
TIMEOUT = 120
"""Seconds."""


def run_python(arguments: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Does what `python ARGUMENTS` does, and gives its exit code and what it printed.

    Args:
        arguments: `-m MODULE ...` or `-c CODE ...`.
        env: All environment variables; OMP_NUM_THREADS is that of this process.
        cwd: Where it runs.
    """
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        order = {"arguments": list(arguments), "env": dict(env), "cwd": str(cwd), "out": str(out), "err": str(err)}
        waiting = _waiting()
        assert waiting.stdin is not None
        assert waiting.stdout is not None
        waiting.stdin.write(json.dumps(order) + "\n")
        waiting.stdin.flush()
        code = int(waiting.stdout.readline())
        if code == -signal.SIGALRM:
            raise subprocess.TimeoutExpired(arguments, TIMEOUT, out.read_bytes(), err.read_bytes())
        return subprocess.CompletedProcess(arguments, code, out.read_text(), err.read_text())


@functools.cache
def _waiting() -> subprocess.Popen[str]:
    """The process that waits; it ends with this one."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    command = [sys.executable, "-m", "tests.warm"]
    started = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert started.stdin is not None
    atexit.register(started.stdin.close)
    return started


def _take_orders() -> dict[str, Any]:
    """Gives an order, in a process of its own for each; that which waits never comes back."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            order: dict[str, Any] = json.loads(line)
            return order
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    os._exit(0)


def _become(order: dict[str, Any]) -> None:
    """Turns this process into the one that was ordered."""
    signal.alarm(TIMEOUT)
    for descriptor, name, flags in ((0, os.devnull, os.O_RDONLY), (1, order["out"], 0), (2, order["err"], 0)):
        opened = os.open(name, flags or os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    added = [path for path in order["env"].get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = [order["cwd"], *added, *sys.path[1:]]
    sys.modules.pop("sitecustomize", None)
    importlib.invalidate_caches()
    if any((Path(path) / "sitecustomize.py").exists() for path in added):
        importlib.import_module("sitecustomize")


def _run(kind: str, what: str, *arguments: str) -> None:
    if kind == "-m":
        sys.argv[:] = [what, *arguments]
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        assert kind == "-c"
        sys.argv[:] = [kind, *arguments]
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    for module in HEAVY:
        importlib.import_module(module)
    assert "huggingface_hub" not in sys.modules
    mine = _take_orders()
    _become(mine)
    _run(*mine["arguments"])
