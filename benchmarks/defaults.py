"""Which defaults serve an untouched recipe best: several ways of training on several sets, chosen on validation."""

from __future__ import annotations

import argparse
import statistics
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from common.arguments import locate, make_parser
from common.processes import call
from common.report import Report
from common.rounds import Run

COLUMNS = ("way", "set", "validation accuracy", "macro F1", "test accuracy", "macro F1", "seconds")
WAYS: dict[str, list[str]] = {
    "untouched": [],
    "random head, 5e-5": ["head.start=random", "train.learning_rate=5e-5"],
    "random head, 1e-4": ["head.start=random", "train.learning_rate=1e-4"],
    "probe, 2e-5": ["head.start=probe", "train.learning_rate=2e-5"],
    "probe, 5e-5": ["head.start=probe", "train.learning_rate=5e-5"],
    "probe, 1e-4": ["head.start=probe", "train.learning_rate=1e-4"],
    "probe, 2e-4": ["head.start=probe", "train.learning_rate=2e-4"],
    "probe, 1e-4, decay 0.9": ["train.learning_rate=1e-4", "train.layer_decay=0.9"],
    "probe, 2e-4, decay 0.9": ["train.learning_rate=2e-4", "train.layer_decay=0.9"],
    "probe, 1e-4, 5 epochs": ["head.start=probe", "train.learning_rate=1e-4", "train.epochs=5"],
}
"""What each way says of the recipe beyond checkpoint, dataset and task."""


def main() -> None:
    """Trains every set in every way with every seed, and shows the means over the seeds."""
    parser = make_parser(__doc__ or "", peers=False)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time; seconds mean something with 1 alone")
    parser.add_argument("--log", default=None, help="file for a line of JSON about each run when it is done")
    parser.set_defaults(sets=["banking77", "trec", "sst2", "tweet_emotion", "ag_news", "movie_reviews"], rows=0)
    arguments = parser.parse_args()
    report = Report("defaults", arguments, COLUMNS)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        train = partial(_train, arguments)
        order = [(way, seed) for seed in range(arguments.repeats) for way in arguments.ways]
        found = dict(zip(order, pool.map(train, order), strict=True))
    for name in arguments.sets:
        for way in arguments.ways:
            runs = [found[way, seed][name] for seed in range(arguments.repeats)]
            report.add([way, name, *_cells(runs)], runs)
    for way in arguments.ways:
        lines = [line for line in report.record["table"] if line[0] == way]
        print(f"{way}: mean validation accuracy {_mean_of(lines, 2):.4f}, macro F1 {_mean_of(lines, 3):.4f}")
    report.show()


def _train(arguments: argparse.Namespace, what: tuple[str, int]) -> dict[str, Run]:
    """Trains all sets in one way with one seed, in a process of its own."""
    way, seed = what
    found: dict[str, Run] = call(
        "common.defaults:train",
        arguments.threads,
        arguments.device,
        checkpoint=locate(arguments.checkpoint),
        data=str(arguments.data.resolve()),
        sets=arguments.sets,
        rows=arguments.rows,
        overrides=[*WAYS[way], f"train.seed={seed}"],
        log=arguments.log,
    )
    print(f"  {way}, seed {seed}: done", file=sys.stderr, flush=True)
    return found


def _cells(runs: list[Run]) -> list[str]:
    names = ("validation_accuracy", "validation_macro_f1", "test_accuracy", "test_macro_f1")
    cells = []
    for name in names:
        values = [run[name] for run in runs if run[name] is not None]
        deviation = f" +- {statistics.stdev(values):.4f}" if len(values) > 1 else ""
        cells.append(f"{statistics.mean(values):.4f}{deviation}" if values else "-")
    return [*cells, f"{statistics.median(run['seconds'] for run in runs):.1f}"]


def _mean_of(lines: list[list[str]], column: int) -> float:
    values = [float(line[column].split(" ")[0]) for line in lines if line[column] != "-"]
    return statistics.mean(values) if values else float("nan")


if __name__ == "__main__":
    main()
