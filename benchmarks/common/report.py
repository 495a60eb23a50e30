"""A program's table, on the screen and as dated JSON."""

from __future__ import annotations

import argparse
import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common import machine
from common.processes import call
from common.rounds import Run, ratios, shown

PROBES = {"cpu": "roofline", "cuda": "roofline_of_gpu"}
UNITS = {
    "gpu": "",
    "fp32_gflops": "GFLOP/s fp32",
    "bf16_gflops": "GFLOP/s bf16",
    "bf16_tflops": "TFLOP/s bf16",
    "copy_gbytes": "GB/s copied",
}


class Report:
    """What a program found, written after every part of it, so that an interrupted program keeps what it has.

    Attributes:
        roofline: What the machine can do at best, by the names of `UNITS`.
    """

    def __init__(
        self, program: str, arguments: argparse.Namespace, columns: Sequence[str], device: str = "cpu"
    ) -> None:
        date = datetime.date.today().isoformat()
        probed = call(f"common.machine:{PROBES[device]}", arguments.threads, device)
        self.roofline = {name: probed[name] for name in UNITS if name in probed}
        part: dict[str, Any] = {
            "program": program,
            "date": date,
            "machine": machine.describe(arguments.threads),
            "versions": machine.versions(),
            "roofline": self.roofline,
            "arguments": {name: value for name, value in vars(arguments).items() if not isinstance(value, Path)},
        }
        empty = {"columns": list(columns), "table": [], "runs": [], "added": []}
        if arguments.into is None:
            self.path, self.record = _free_path(arguments.results, f"{date}-{program}"), part | empty
        else:
            self.path, self.record = arguments.into, _earlier(arguments.into, program, columns)
            self.record["added"].append({"from_line": len(self.record["table"])} | part)
        print(f"{program}, {date}\n{part['machine']}")
        print(", ".join(f"{name} {version}" for name, version in part["versions"].items()))
        rates = ", ".join(f"{value} {UNITS[name]}" for name, value in self.roofline.items())
        print(f"roofline: {rates}", flush=True)

    @property
    def bf16_is_fast(self) -> bool:
        """Whether a well-configured run on this machine would use bf16."""
        return self.roofline["bf16_gflops"] > self.roofline["fp32_gflops"]

    @property
    def peak_gflops(self) -> float:
        """The faster of the two kinds of arithmetic."""
        return max(self.roofline["fp32_gflops"], self.roofline["bf16_gflops"])

    def add(self, line: Sequence[str], runs: Sequence[Run] = ()) -> None:
        """Adds a line of the table and the runs behind it."""
        self.record["table"].append(list(line))
        self.record["runs"].append(list(runs))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.record, indent=1) + "\n")

    def add_systems(
        self, titles: Sequence[str], runs: Mapping[str, list[Run]], ours: str, last: Mapping[str, Sequence[str]]
    ) -> None:
        """Adds a line per system: titles, system, seconds, peer / ours, accuracy, peak memory, and its `last` cells."""
        own = [run["seconds"] for run in runs[ours]]
        for system, its in runs.items():
            seconds = [run["seconds"] for run in its]
            ratio = "1" if system == ours else shown(ratios(seconds, own))
            accuracy = shown([run["accuracy"] for run in its if run["accuracy"] is not None], 4)
            peak = shown([run["peak_mb"] for run in its], 0)
            self.add([*titles, system, shown(seconds), ratio, accuracy, peak, *last.get(system, [""])], its)

    def show(self) -> None:
        """Prints the table and where the JSON is."""
        columns, lines = self.record["columns"], self.record["table"]
        widths = [max(map(len, cells)) for cells in zip(columns, *lines, strict=True)]
        for line in (columns, ["-" * width for width in widths], *lines):
            print("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |")
        print(f"written: {self.path}")


def _earlier(path: Path, program: str, columns: Sequence[str]) -> dict[str, Any]:
    """Reads what a program wrote; a run whose lines are added keeps its own machine line and roofline beside it."""
    try:
        record: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SystemExit(f"--into {path}: cannot be read: {error}") from error
    if record.get("program") != program or record.get("columns") != list(columns):
        raise SystemExit(f"--into {path}: is not of today's `{program}`; leave --into out to begin a new file")
    record.setdefault("added", [])
    return record


def _free_path(folder: Path, stem: str) -> Path:
    """Gives `stem.json`, or `stem-2.json` and so on where that is taken: results are not overwritten."""
    path, number = folder / f"{stem}.json", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}.json"
    return path
