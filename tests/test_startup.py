"""What is imported when, how long it takes, and which names the package offers."""

from __future__ import annotations

import json
import os
import pkgutil
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import textxfer

HEAVY = ["torch", "transformers", "sklearn", "datasets", "accelerate", "pandas", "numpy", "scipy", "huggingface_hub"]
TIMES = 5
SLACK = 2
"""The machine that tests may be slower than the one the limits are for."""

WATCH = """
import json, sys
sys.argv[0] = "textxfer"
code = 0
try:
    {body}
except SystemExit as stop:
    code = stop.code
sys.stderr.write("\\n" + json.dumps([code, [name for name in {heavy} if name in sys.modules]]))
"""


def run(body: str, *arguments: str, folder: Path) -> tuple[float, int, list[str], str]:
    """Runs Python code in a process of its own.

    Returns:
        Its processor time in seconds (which other work on the machine does not lengthen), its exit code, the heavy
        modules it imported, and what it printed to standard error.
    """
    code = WATCH.format(body=body, heavy=HEAVY)
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("COV", "PYTEST"))}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, env=clean, capture_output=True, text=True, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    err, _, last = done.stderr.rpartition("\n")
    exit_code, heavy = json.loads(last)
    return seconds, exit_code, heavy, err


COMMAND = "from textxfer.__main__ import main; code = main(sys.argv[1:])"
RUN = "from textxfer.run import main; code = main(sys.argv[1:])"
BROKEN = (
    "checkpoint: a/b\ndataset: d\ntask: sentimant\ntrain: {epoch: 1}\nevaluate: {metrics: [acuracy]}\n"
    "head: {name: mlp, hiden: [8]}\n"
)

PATHS = {
    "import": ("import textxfer", [], 0, 0.1),
    "public names": ("import textxfer; dir(textxfer); textxfer.TextxferError", [], 0, 0.1),
    "--version": (COMMAND, ["--version"], 0, 0.4),
    "--help": (COMMAND, ["--help"], 0, 0.4),
    "run --help": (COMMAND, ["run", "--help"], 0, 0.4),
    "check of a broken recipe": (COMMAND, ["check", "r.yaml"], 2, 0.4),
    "run of a broken recipe": (COMMAND, ["run", "r.yaml"], 2, 0.4),
    "textxfer.run of a broken recipe": (RUN, ["r.yaml", "train.epochs=0", "--quiet"], 2, 0.4),
    "run of no recipe": (COMMAND, ["run", "none.yaml"], 2, 0.4),
    "schema": (COMMAND, ["schema"], 0, 0.4),
    "reference": (COMMAND, ["schema", "--reference"], 0, 0.4),
    "init of no file": (COMMAND, ["init", "r.csv", "--task", "none"], 2, 0.4),
}


@pytest.mark.parametrize("name", PATHS)
def test_it_starts_at_once_and_imports_nothing_heavy(name: str, tmp_path: Path) -> None:
    body, arguments, expected, limit = PATHS[name]
    (tmp_path / "r.yaml").write_text(BROKEN)
    bare, *_ = run("pass", folder=tmp_path)
    best = float("inf")
    for _ in range(TIMES):
        seconds, code, heavy, err = run(body, *arguments, folder=tmp_path)
        assert (code, heavy) == (expected, []), err
        assert "Traceback" not in err
        best = min(best, seconds)
        if best < limit:
            break
    assert best < SLACK * limit, f"{best:.2f} s of processor time; Python alone takes {bare:.2f} s"


def test_data_errors_come_before_torch(tmp_path: Path) -> None:
    """A file that is not there is found without the seconds that torch and transformers take."""
    (tmp_path / "r.yaml").write_text("checkpoint: a/b\ndataset: none.csv\ntask: topic\n")
    for command in ("check", "run"):
        _, code, heavy, err = run(COMMAND, command, "r.yaml", folder=tmp_path)
        assert code == 2
        assert "none.csv: there is no such file or folder" in err
        assert not {"torch", "transformers", "sklearn"} & set(heavy)


def test_public_names_are_sorted_and_resolve() -> None:
    assert textxfer.__all__ == sorted(textxfer.__all__)
    for name in textxfer.__all__:
        value = getattr(textxfer, name)
        assert value.__name__ == name
        assert value.__doc__, f"{name} says nothing of itself"
    assert set(textxfer.__all__) <= set(dir(textxfer))


def test_no_public_name_is_also_a_module() -> None:
    """Importing a module sets its name on the package: `textxfer.run` would turn from a function into a module."""
    modules = {info.name for info in pkgutil.iter_modules(textxfer.__path__)}
    assert not modules & set(textxfer.__all__)


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'textxfer' has no attribute 'trainer'"):
        _ = textxfer.trainer


def test_a_star_import_gives_the_public_names() -> None:
    names: dict[str, object] = {}
    exec("from textxfer import *", names)
    assert set(textxfer.__all__) <= set(names)
