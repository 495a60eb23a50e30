"""Kills predictions with SIGKILL before every single call that changes the disk, and goes on with what is left.

Run by test_bulk_resume.py as `python -m tests.unit.serving.bulk_killing MODEL DIRECTORY ENDING`, in a process of its
own, so that it can fork.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
from pathlib import Path

from tests.unit.training.killing import die_before, in_child
from textxfer.serving.bulk import predict_file

ROWS = 40
TOKENS = 12


def predict(model: str, folder: Path, ending: str, call: int = 0, **options: bool) -> None:
    if call:
        die_before(call)
    predict_file(model, folder.parent / "in.jsonl", folder / f"out.{ending}", batch_tokens=TOKENS, **options)


def killed_and_resumed(model: str, folder: Path, ending: str, call: int, overwrite: bool, whole: bytes) -> bool:
    """Kills, goes on, compares; says whether there was anything left to kill."""
    found = folder / f"out.{ending}"
    folder.mkdir()
    if overwrite:
        found.write_bytes(b"old")
    status = in_child(lambda: predict(model, folder, ending, call, overwrite=overwrite))
    assert status in (0, -signal.SIGKILL), f"call {call}: ended with {status}"
    begun = (folder / f"out.{ending}.state").exists()
    if found.exists() and not begun:
        assert found.read_bytes() in (whole, b"old"), f"call {call}: half a file looks like a whole one"
    if begun or not found.exists():
        assert in_child(lambda: predict(model, folder, ending, resume=True)) == 0, f"call {call}: cannot go on"
    elif found.read_bytes() == b"old":
        assert in_child(lambda: predict(model, folder, ending, overwrite=True)) == 0, f"call {call}: cannot begin anew"
    assert found.read_bytes() == whole, f"call {call}: is not as it would have been"
    left = {path.name for path in folder.iterdir()} - {found.name, f"{found.name}.parts"}
    assert not left, f"call {call}: {left} is left"
    shutil.rmtree(folder)
    return status != 0


def main() -> None:
    model, directory, ending = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    lines = (json.dumps({"text": f"the film, number {number}\n"}) + "\n" for number in range(ROWS))
    (directory / "in.jsonl").write_text("".join(lines))
    (directory / "whole").mkdir()
    predict(model, directory / "whole", ending)  # and everything is imported, for all children
    whole = (directory / "whole" / f"out.{ending}").read_bytes()
    calls = 0
    for overwrite in (False, True):
        call = 1
        while killed_and_resumed(model, directory / "killed", ending, call, overwrite, whole):
            call += 1
        calls += call - 1
    print(json.dumps(calls))


if __name__ == "__main__":
    main()
