"""Time of training: full fine-tuning, most layers frozen, linear probe; textxfer beside its peers."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

from common.arguments import locate, make_parser
from common.arithmetic import training_gflop
from common.data import TextSet, load_set
from common.machine import is_installed
from common.processes import call
from common.report import Report
from common.rounds import Run, take_turns
from common.systems import MAX_LENGTH

WORKS = ("full", "top2", "top1", "probe", "encode")
COLUMNS = ("set", "work", "system", "seconds", "ratio", "accuracy", "peak MB", "of roofline")
EPOCHS = {"full": 3, "top2": 3, "top1": 5, "probe": 10}
SETFIT_EPOCHS = 10
OURS, SHIPPED, BEST = "textxfer", "Trainer as shipped", "Trainer best configured"
SETFIT = "SetFit's differentiable head"

System = Callable[[int], Run]


def main() -> None:
    """Runs every work on every set."""
    parser = make_parser(__doc__ or "")
    parser.add_argument(
        "--works",
        nargs="+",
        choices=WORKS,
        default=list(WORKS),
        help="full; all but 2 or 1 layers frozen; probe: all frozen; encode: logistic regression",
    )
    parser.add_argument("--setfit", action="store_true", help="in `encode`, SetFit's differentiable head too, once")
    arguments = parser.parse_args()
    missing = [name for name, used in _peers(arguments).items() if used and not is_installed(name)]
    if missing:
        raise SystemExit(f"{', '.join(missing)} not installed; `pip install textxfer[bench]` brings the peers")
    sets = [load_set(arguments.data, name, arguments.rows) for name in arguments.sets]
    report = Report("training", arguments, COLUMNS)
    for texts in sets:
        print(texts)
        _compare(texts, arguments, report)
    report.show()


def _peers(arguments: argparse.Namespace) -> dict[str, bool]:
    encodes = "encode" in arguments.works
    return {"sentence-transformers": encodes, "setfit": encodes and arguments.setfit}


def _compare(texts: TextSet, arguments: argparse.Namespace, report: Report) -> None:
    checkpoint, threads = locate(arguments.checkpoint), arguments.threads
    lines = [row["text"] for row in texts.train]
    shape = call("common.arithmetic:describe", threads, checkpoint=checkpoint, texts=lines, max_length=MAX_LENGTH)
    train = partial(_train, threads, checkpoint=checkpoint, train=texts.train, test=texts.test)
    for work in arguments.works:
        epochs, layers = EPOCHS.get(work, 1), shape["layers"]
        frozen = {"full": 0, "top2": layers - 2, "top1": layers - 1}.get(work, layers)
        title = f"{frozen} of {layers} frozen, {epochs} epochs"
        if work == "encode":
            systems, once = _encoders(train, arguments, shape)
            title = f"logistic regression on the mean of {layers} frozen layers"
        else:
            systems, once = _trainers(train, frozen, layers, epochs, arguments, report.bf16_is_fast)
        print(f" {title}")
        runs = take_turns(systems, arguments.repeats, once)
        _check_same_work(runs)
        seconds = statistics.median(run["seconds"] for run in runs[OURS])
        share = training_gflop(shape, frozen, epochs) / report.peak_gflops / seconds
        report.add_systems([texts.name, title], runs, OURS, {OURS: [f"{share:.0%}"]})


def _trainers(
    train: Callable[..., System], frozen: int, layers: int, epochs: int, arguments: argparse.Namespace, bf16: bool
) -> tuple[dict[str, System], list[str]]:
    """Gives the systems that train step by step, and those that run once."""
    peer = partial(train, "common.systems:trainer", frozen=frozen, epochs=epochs, bf16=bf16)
    systems = {} if arguments.as_shipped == "no" else {SHIPPED: peer(best=False)}
    systems[BEST] = peer(best=True)
    systems[OURS] = train("common.systems:textxfer", frozen="all" if frozen == layers else frozen, epochs=epochs)
    return systems, [SHIPPED] if arguments.as_shipped == "once" else []


def _encoders(
    train: Callable[..., System], arguments: argparse.Namespace, shape: dict[str, Any]
) -> tuple[dict[str, System], list[str]]:
    """Gives the systems that put a classifier on encoded texts, tokenising counted, and those that run once.

    All look at the mean over a text's tokens.
    """
    probe = train("common.systems:textxfer", frozen="all", epochs=1, head="mean", start="probe")

    def ours(seed: int) -> Run:
        run = probe(seed)
        return run | {"seconds": run["seconds"] + shape["tokenise_seconds"]}

    systems = {"sentence-transformers + LogisticRegression": train("common.systems:logistic_regression", seeded=False)}
    if arguments.setfit:
        systems[SETFIT] = train("common.systems:setfit_head", epochs=SETFIT_EPOCHS, longest=shape["longest"])
    return systems | {OURS: ours}, [SETFIT]


def _train(threads: int, job: str, *, seeded: bool = True, **settings: Any) -> System:
    """Gives a function of the seed that trains in a fresh process."""

    def run(seed: int) -> Run:
        return call(job, threads, **settings, **({"seed": seed} if seeded else {}))

    return run


def _check_same_work(runs: dict[str, list[Run]]) -> None:
    counts = {name: its[0]["trainable_parameters"] for name, its in runs.items() if "trainable_parameters" in its[0]}
    if len(set(counts.values())) > 1:
        raise SystemExit(f"the systems train different numbers of parameters: {counts}")


if __name__ == "__main__":
    main()
