"""What freezing costs and saves at every depth, and where `freeze.layers: auto` lands among them."""

from __future__ import annotations

import argparse
import statistics
import sys
from functools import partial

from common.arguments import locate, make_parser
from common.data import TextSet, load_set
from common.processes import call
from common.report import Report
from common.rounds import Run, shown

COLUMNS = ("set", "frozen", "accuracy", "to the best", "validation", "train seconds", "of full", "choosing seconds")
AUTO = "auto"
WITHIN = 0.01


def main() -> None:
    """Trains every set at every depth, and with the depth that textxfer chooses."""
    parser = make_parser(__doc__ or "", peers=False)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="what trains")
    parser.add_argument("--depths", type=int, nargs="+", help="numbers of frozen layers; default: all")
    parser.set_defaults(sets=["trec", "banking77", "tweet_emotion", "sst2"], rows=0, repeats=1)
    arguments = parser.parse_args()
    checkpoint = locate(arguments.checkpoint)
    report = Report("depth", arguments, COLUMNS, device=arguments.device)
    for name in arguments.sets:
        texts = load_set(arguments.data, name, arguments.rows, shuffled=True)
        print(texts)
        _sweep(texts, checkpoint, arguments, report)
    report.show()


def _sweep(texts: TextSet, checkpoint: str, arguments: argparse.Namespace, report: Report) -> None:
    if texts.test is None:
        raise SystemExit(f"{texts.name}: has no test split to judge a depth by")
    train = partial(
        call,
        "common.transfer:fine_tune",
        arguments.threads,
        arguments.device,
        checkpoint=checkpoint,
        train=texts.train,
        test=texts.test,
        epochs=arguments.epochs,
    )
    runs: dict[int | str, list[Run]] = {}
    depths = arguments.depths
    for seed in range(arguments.repeats):
        chosen = train(layers=AUTO, seed=seed)
        runs.setdefault(AUTO, []).append(chosen)
        for layers in depths or range(len(chosen["depth"]["curve"])):
            runs.setdefault(layers, []).append(train(layers=layers, seed=seed))
            print(f"  seed {seed}, {layers} frozen: {runs[layers][-1]['accuracy']:.4f}", file=sys.stderr, flush=True)
    means = {layers: statistics.mean(run["accuracy"] for run in its) for layers, its in runs.items()}
    best = max(value for layers, value in means.items() if layers != AUTO)
    full = statistics.median(run["seconds"] for run in runs.get(0, runs[AUTO]))
    for layers, its in runs.items():
        seconds = [run["seconds"] for run in its]
        title = f"auto: {', '.join(str(run['layers']) for run in its)}" if layers == AUTO else str(layers)
        choosing = shown([run["choosing_seconds"] for run in its]) if layers == AUTO else ""
        gap, share = f"{means[layers] - best:+.4f}", f"{statistics.median(seconds) / full:.2f}"
        validation = statistics.mean(run["validation"] for run in its)
        cells = [f"{means[layers]:.4f}", gap, f"{validation:.4f}", shown(seconds), share, choosing]
        report.add([texts.name, title, *cells], its)
    chosen = [run["seconds"] + run["choosing_seconds"] for run in runs[AUTO]]
    near = "within" if means[AUTO] >= best - WITHIN else "NOT within"
    cost = statistics.median(chosen) / full
    print(f" auto is {near} {WITHIN:.0%} of the best, at {cost:.2f} of the time of full fine-tuning, choosing counted")


if __name__ == "__main__":
    main()
