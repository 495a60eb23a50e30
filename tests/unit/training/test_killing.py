"""kill -9 at any moment loses nothing that was saved."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "moments"), [("new", 40), ("replaced", 30)])
def test_killed_before_any_change_of_the_disk_it_goes_on_bit_for_bit(
    mode: str, moments: int, bert: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "tests.unit.training.killing", mode, str(bert), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=540)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) > moments
