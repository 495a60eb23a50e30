"""What an untouched recipe makes of 8, 16 and 64 labelled rows a label, beside SetFit with its defaults."""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from collections import Counter
from typing import Any

from common import machine
from common.arguments import locate, make_parser
from common.data import Rows, TextSet, load_set
from common.few import setfit_steps
from common.processes import call
from common.report import Report
from common.rounds import Run

COLUMNS = ("set", "rows a label", "system", "accuracy", "macro F1", "seconds", "to the first", "how")


def main() -> None:
    """Trains on every draw of every cell with each system, and shows mean and standard deviation."""
    parser = make_parser(__doc__ or "", peers=False, rows=False)
    parser.add_argument("--draws", type=int, default=10, help="draws of training rows in each cell")
    parser.add_argument("--first-draw", type=int, default=0, help="number of the first: a long table in pieces")
    parser.add_argument("--rows-per-class", type=int, nargs="+", default=[8, 16, 64], help="rows of each label")
    parser.add_argument("--road", nargs="*", default=["auto"], help="values of `small_data`; none: the peers alone")
    parser.add_argument("--peers", nargs="*", choices=["setfit"], default=["setfit"])
    parser.add_argument(
        "--setfit-steps", type=int, default=600, help="steps of SetFit at most, where its pairs would make more; 0: all"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="what trains, for every system")
    parser.add_argument("--test-rows", type=int, default=500, help="test rows that judge, always the same; 0: all")
    parser.set_defaults(sets=["sst2", "tweet_emotion", "ag_news", "banking77"])
    arguments = parser.parse_args()
    if "setfit" in arguments.peers and not machine.is_installed("setfit"):
        raise SystemExit("setfit is not installed; `--peers` without a name leaves it out")
    report = Report("small_data", arguments, COLUMNS, device=arguments.device)
    for name in arguments.sets:
        texts = load_set(arguments.data, name, 0)
        print(texts)
        for rows in arguments.rows_per_class:
            _cell(texts, rows, arguments, report)
    report.show()


def _cell(texts: TextSet, rows: int, arguments: argparse.Namespace, report: Report) -> None:
    if texts.test is None:
        raise SystemExit(f"{texts.name}: has no test split")
    test = list(texts.test)
    random.Random(0).shuffle(test)
    seeds = range(arguments.first_draw, arguments.first_draw + arguments.draws)
    settings: dict[str, Any] = {
        "seeds": list(seeds),
        "checkpoint": locate(arguments.checkpoint),
        "draws": [draw(texts, rows, seed) for seed in seeds],
        "test": test[: arguments.test_rows or None],
    }
    first: list[float] = []
    for system, job, own in _systems(settings["draws"][0], arguments):
        runs: list[Run] = call(job, arguments.threads, arguments.device, **settings, **own)["runs"]
        seconds = [run["seconds"] for run in runs]
        first = first or seconds
        cells = [_spread([run[metric] for run in runs]) for metric in ("accuracy", "macro_f1")]
        shares = f"{statistics.mean(seconds) / statistics.mean(first):.2f}"
        how = ", ".join(f"{count} {what}" for what, count in Counter(run["how"] for run in runs).most_common())
        report.add([texts.name, str(rows), system, *cells, _spread(seconds, 1), shares, how], runs)
        print(f"  {rows} rows a label, {system}: {cells[0]}, {_spread(seconds, 1)} s", file=sys.stderr, flush=True)


def _systems(rows: Rows, arguments: argparse.Namespace) -> list[tuple[str, str, dict[str, Any]]]:
    """Gives name, job and settings of each system."""
    systems: list[tuple[str, str, dict[str, Any]]] = [
        (f"textxfer, {road}" if road != "auto" else "textxfer", "common.few:textxfer", {"road": road})
        for road in arguments.road
    ]
    if "setfit" in arguments.peers:
        whole, most = setfit_steps(rows), arguments.setfit_steps
        steps = most if 0 < most < whole else None
        systems.append(("setfit", "common.few:setfit", {"steps": steps, "on": arguments.device}))
    return systems


def draw(texts: TextSet, rows: int, seed: int) -> Rows:
    """Gives rows of each label, all that there are where those are fewer; the same for the same seed."""
    chosen = random.Random(f"{texts.name} {rows} {seed}")
    found: Rows = []
    for label in texts.labels:
        own = [row for row in texts.train if row["label"] == label]
        found += chosen.sample(own, min(rows, len(own)))
    chosen.shuffle(found)
    return found


def _spread(values: list[float], digits: int = 4) -> str:
    deviation = f" +- {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{deviation}"


if __name__ == "__main__":
    main()
