"""Time of training on a CUDA GPU, in bf16: textxfer beside the Trainer, on checkpoints with random weights."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from functools import partial
from typing import Any

from common.arguments import locate, make_parser
from common.arithmetic import training_gflop
from common.data import TextSet, load_set
from common.processes import call
from common.report import Report
from common.rounds import Run, ratios, shown
from common.shapes import SHAPES
from common.systems import MAX_LENGTH

COLUMNS = ("shape", "work", "system", "seconds", "ratio", "examples/s", "GPU peak MB", "of roofline")
OURS, BEST, PLAIN = "textxfer", "Trainer best configured", "textxfer, cuda_graphs: off"
WORKS = ((0, 3), (3 / 4, 5), (1, 10))
"""The share of the layers that is frozen, and epochs."""


def main() -> None:
    """Runs every shape and every work."""
    parser = make_parser(__doc__ or "", peers=False)
    parser.add_argument("--shapes", nargs="+", choices=sorted(SHAPES), default=["bert-base"], help="what is trained")
    parser.add_argument(
        "--works",
        nargs="+",
        type=int,
        choices=range(len(WORKS)),
        default=[0, 1],
        help="0: full; 1: three quarters frozen; 2: probe",
    )
    parser.add_argument("--plain", action="store_true", help="textxfer without CUDA graphs too")
    parser.set_defaults(sets=["sst2"], rows=0)
    arguments = parser.parse_args()
    report = Report("gpu", arguments, COLUMNS, device="cuda")
    texts = load_set(arguments.data, arguments.sets[0], arguments.rows)
    print(texts)
    for shape in arguments.shapes:
        with tempfile.TemporaryDirectory() as folder:
            call(
                "common.shapes:make",
                arguments.threads,
                folder=folder,
                shape=shape,
                tokenizer=locate(arguments.checkpoint),
            )
            _compare(shape, folder, texts, arguments, report)
    report.show()


def _compare(shape: str, checkpoint: str, texts: TextSet, arguments: argparse.Namespace, report: Report) -> None:
    lines = [row["text"] for row in texts.train]
    about = call(
        "common.arithmetic:describe", arguments.threads, checkpoint=checkpoint, texts=lines, max_length=MAX_LENGTH
    )
    for share, epochs in (WORKS[number] for number in arguments.works):
        layers = about["layers"]
        frozen = int(share * layers)
        title = f"{frozen} of {layers} frozen, {epochs} epochs"
        print(f" {shape}: {title}", flush=True)
        ours: Run = {"system": "textxfer", "frozen": "all" if frozen == layers else frozen}
        systems = {BEST: {"system": "trainer", "frozen": frozen, "best": True, "bf16": True}, OURS: ours}
        if arguments.plain:
            systems[PLAIN] = ours | {"cuda_graphs": "off"}
        train = partial(_rounds, arguments, checkpoint=checkpoint, train=texts.train, test=None, epochs=epochs)
        runs = {name: train(**settings) for name, settings in systems.items()}
        own = [run["seconds"] for run in runs[OURS]]
        work = training_gflop(about, frozen, epochs) / 1e3 / report.roofline["bf16_tflops"]
        for system, its in runs.items():
            seconds = [run["seconds"] for run in its]
            rate = len(texts.train) * epochs / statistics.median(seconds)
            ratio = "1" if system == OURS else shown(ratios(seconds, own))
            peak = shown([run.get("device_peak_mb", 0) for run in its], 0)
            part = f"{work / statistics.median(seconds):.1%}"
            report.add([shape, title, system, shown(seconds), ratio, f"{rate:.0f}", peak, part], its)


def _rounds(arguments: argparse.Namespace, **settings: Any) -> list[Run]:
    """Runs a system once a round, all rounds in one process: starting a GPU takes longer than a run."""
    seeds = list(range(arguments.repeats))
    runs: list[Run] = call("common.systems:rounds", arguments.threads, "cuda", seeds=seeds, **settings)["runs"]
    seconds = ", ".join(f"{run['seconds']:.2f} s" for run in runs)
    print(f"  {settings['system']}: {seconds}", file=sys.stderr, flush=True)
    return runs


if __name__ == "__main__":
    main()
