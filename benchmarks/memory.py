"""Peak memory of a training run: textxfer beside the best configured Trainer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from common.arguments import locate, make_parser
from common.data import load_set
from common.processes import call
from common.report import Report
from common.rounds import Run, ratios, shown, take_turns
from common.systems import MAX_LENGTH

COLUMNS = ("set", "work", "system", "peak MB", "ratio", "seconds")
OURS, SHIPPED, BEST = "textxfer", "Trainer as shipped", "Trainer best configured"


def main() -> None:
    """Trains and saves, without a test; the peak is that of the whole process, imports included."""
    parser = make_parser(__doc__ or "")
    parser.set_defaults(sets=["sst2"], as_shipped="no")
    parser.add_argument("--epochs", type=int, default=2, help="of every run")
    arguments = parser.parse_args()
    checkpoint, threads = locate(arguments.checkpoint), arguments.threads
    sets = [load_set(arguments.data, name, arguments.rows) for name in arguments.sets]
    report = Report("memory", arguments, COLUMNS)
    shape = {"checkpoint": checkpoint, "texts": ["a text"], "max_length": MAX_LENGTH}
    layers = call("common.arithmetic:describe", threads, **shape)["layers"]
    for texts in sets:
        for frozen in (0, layers - 2, layers):
            print(f"{texts.name}: {frozen} of {layers} frozen")
            options = {"checkpoint": checkpoint, "train": texts.train, "test": None, "epochs": arguments.epochs}
            trainer = options | {"frozen": frozen, "bf16": report.bf16_is_fast}
            systems = {
                SHIPPED: _start(threads, "trainer", trainer | {"best": False}),
                BEST: _start(threads, "trainer", trainer | {"best": True}),
                OURS: _start(threads, "textxfer", options | {"frozen": "all" if frozen == layers else frozen}),
            }
            if arguments.as_shipped == "no":
                del systems[SHIPPED]
            once = [SHIPPED] if arguments.as_shipped == "once" else []
            _add(report, [texts.name, f"{frozen} of {layers} frozen"], take_turns(systems, arguments.repeats, once))
    report.show()


def _start(threads: int, job: str, settings: dict[str, Any]) -> Callable[[int], Run]:
    """Gives a function of the seed that trains in a fresh process."""
    return lambda seed: call(f"common.systems:{job}", threads, **settings, seed=seed)


def _add(report: Report, titles: list[str], runs: dict[str, list[Run]]) -> None:
    ours = [run["peak_mb"] for run in runs[OURS]]
    for system, its in runs.items():
        peaks = [run["peak_mb"] for run in its]
        ratio = "1" if system == OURS else shown(ratios(peaks, ours))
        report.add([*titles, system, shown(peaks, 0), ratio, shown([run["seconds"] for run in its])], its)


if __name__ == "__main__":
    main()
