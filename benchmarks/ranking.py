"""Checkpoints ranked before training beside what training makes of them, and how far the two agree."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from functools import partial

from common.arguments import locate, make_parser
from common.data import TextSet, load_set
from common.processes import call
from common.report import Report

COLUMNS = ("set", "checkpoint", "place", "probe", "LogME", "H-score", "kNN", "rank s", "fine-tuned", "train s")
SCORES = {"probe": "accuracy", "LogME": "log_evidence", "H-score": "h_score", "kNN": "neighbours"}


def main() -> None:
    """Ranks checkpoints on every set, and fine-tunes each of them unless told not to."""
    parser = make_parser(__doc__ or "", peers=False)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="what ranks and trains")
    parser.add_argument("--lower", type=int, nargs="*", default=[2, 4], help="also its lowest layers alone")
    parser.add_argument("--others", nargs="*", default=[], help="further checkpoints: an adapted one, say")
    parser.add_argument("--pooling", choices=("mean", "cls", "last"), default="mean")
    parser.add_argument("--no-training", action="store_true", help="rank only")
    parser.set_defaults(sets=["trec", "banking77", "tweet_emotion"], rows=0, repeats=1)
    arguments = parser.parse_args()
    report = Report("ranking", arguments, COLUMNS, device=arguments.device)
    with tempfile.TemporaryDirectory(prefix="checkpoints-") as folder:
        made = {"checkpoint": locate(arguments.checkpoint), "folder": folder, "lower": arguments.lower}
        checkpoints = call("common.transfer:make_checkpoints", arguments.threads, **made)["checkpoints"]
        checkpoints |= {name: locate(name) for name in arguments.others}
        for name in arguments.sets:
            texts = load_set(arguments.data, name, arguments.rows, shuffled=True)
            print(texts)
            _compare(texts, checkpoints, arguments, report)
    report.show()


def _compare(texts: TextSet, checkpoints: dict[str, str], arguments: argparse.Namespace, report: Report) -> None:
    do = partial(call, threads=arguments.threads, device=arguments.device, train=texts.train)
    ranked = do("common.transfer:rank", checkpoints=checkpoints, pooling=arguments.pooling)
    tuned: dict[str, list[dict[str, float]]] = {name: [] for name in checkpoints}
    for seed in () if arguments.no_training else range(arguments.repeats):
        for name, place in checkpoints.items():
            settings = {"layers": 0, "epochs": arguments.epochs, "seed": seed}
            run = do("common.transfer:fine_tune", checkpoint=place, test=texts.test, **settings)
            tuned[name].append(run)
            print(f"  seed {seed}, {name}: {run['accuracy']:.4f}", file=sys.stderr, flush=True)
    reached = {name: statistics.mean(run["accuracy"] for run in runs) for name, runs in tuned.items() if runs}
    for place, (name, found) in enumerate(ranked["scores"].items()):
        scores = ["-" if found[key] is None else f"{found[key]:.3f}" for key in SCORES.values()]
        seconds = f"{statistics.median(run['seconds'] for run in tuned[name]):.1f}" if reached else "-"
        trained = f"{reached[name]:.4f}" if reached else "-"
        line = [texts.name, name, str(place + 1), *scores, f"{found['seconds']:.1f}", trained, seconds]
        report.add(line, [found, *tuned[name]])
    if reached:
        first, best = next(iter(ranked["scores"])), max(reached, key=reached.__getitem__)
        print(f" the first, {first}, is {reached[best] - reached[first]:.4f} below the best, {best}")
        print(f" Spearman's correlation with fine-tuned accuracy: {_agreement(ranked['scores'], reached)}")


def _agreement(scores: dict[str, dict[str, float]], reached: dict[str, float]) -> str:
    """Gives the rank correlation of each score, and of the order itself, with fine-tuned accuracy."""
    names = list(scores)
    orders = {"order": [-place for place in range(len(names))]}
    orders |= {title: [scores[name][key] or 0.0 for name in names] for title, key in SCORES.items()}
    truth = [reached[name] for name in names]
    return ", ".join(f"{title} {_spearman(order, truth):.2f}" for title, order in orders.items())


def _spearman(one: Sequence[float], other: Sequence[float]) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(one, other).statistic)


if __name__ == "__main__":
    main()
