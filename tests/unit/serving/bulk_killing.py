"""Goes on with what SIGKILL leaves of predictions before every single call that changes the disk.

Run by test_bulk_resume.py as `python -m tests.unit.serving.bulk_killing MODEL DIRECTORY ENDING`, in a process of its
own, so that it can fork; see `tests.unit.training.killing`.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from tests.unit.training.killing import Disk, before_changes, die_before, in_child, listing
from textxfer.serving.bulk import predict_file

ROWS = 40
TOKENS = 12


def predict(model: str, folder: Path, ending: str, **options: bool) -> None:
    predict_file(model, folder.parent / "in.jsonl", folder / f"out.{ending}", batch_tokens=TOKENS, **options)


def goes_on(model: str, folder: Path, ending: str, whole: bytes) -> None:
    """Goes on with what is left, and compares."""
    found = folder / f"out.{ending}"
    begun = (folder / f"out.{ending}.state").exists()
    if found.exists() and not begun:
        assert found.read_bytes() in (whole, b"old"), "half a file looks like a whole one"
    if begun or not found.exists():
        assert in_child(lambda: predict(model, folder, ending, resume=True)) == 0, "cannot go on"
    elif found.read_bytes() == b"old":
        assert in_child(lambda: predict(model, folder, ending, overwrite=True)) == 0, "cannot begin anew"
    assert found.read_bytes() == whole, "it is not as it would have been"
    left = {path.name for path in folder.iterdir()} - {found.name, f"{found.name}.parts"}
    assert not left, f"{left} is left"


def at_any_moment(model: str, disk: Disk, ending: str, whole: bytes) -> int:
    """Goes on from each moment of a run of predictions, and gives how many there are."""
    folder, overwrite = disk.runs, (disk.runs / f"out.{ending}").exists()

    def run(act: Callable[[], None]) -> int:
        return in_child(lambda: (act(), predict(model, folder, ending, overwrite=overwrite)))

    assert run(lambda: before_changes(disk.keep)) == 0
    assert (folder / f"out.{ending}").read_bytes() == whole
    moments = disk.last()
    disk.put_back(0)
    assert run(lambda: die_before(moments // 2)) == -signal.SIGKILL
    assert listing(folder) == listing(disk.copies / str(moments // 2)), "a copy is not what a kill leaves"
    for moment in range(1, moments + 1):
        disk.put_back(moment)
        try:
            goes_on(model, folder, ending, whole)
        except AssertionError as error:
            raise AssertionError(f"before change {moment} of the disk") from error
    return moments


def main() -> None:
    model, directory, ending = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    lines = (json.dumps({"text": f"the film, number {number}\n"}) + "\n" for number in range(ROWS))
    (directory / "in.jsonl").write_text("".join(lines))
    for name in ("whole", "new", "replaced"):
        (directory / name).mkdir()
    predict(model, directory / "whole", ending)  # and everything is imported, for all children
    whole = (directory / "whole" / f"out.{ending}").read_bytes()
    (directory / "replaced" / f"out.{ending}").write_bytes(b"old")
    disks = [Disk(directory / name, directory / f"copies-{name}") for name in ("new", "replaced")]
    print(json.dumps(sum(at_any_moment(model, disk, ending, whole) for disk in disks)))


if __name__ == "__main__":
    main()
