"""Whether training in bf16 costs accuracy: every set in fp32 and in bf16, with the same seeds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from common.arguments import locate, make_parser
from common.data import load_set
from common.processes import call
from common.report import Report
from common.rounds import Run, ratios, shown, take_turns

COLUMNS = ("set", "precision", "accuracy", "minus fp32, by seed", "standard deviation over seeds", "seconds", "ratio")
PRECISIONS = ("fp32", "bf16")


def main() -> None:
    """Trains every set in both precisions; the test rows are scored in fp32 either way, as every run does."""
    parser = make_parser(__doc__ or "", peers=False)
    parser.set_defaults(sets=["trec", "tweet_emotion", "sst2"], rows=0)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="what trains")
    parser.add_argument("--epochs", type=int, default=3, help="of every run")
    parser.add_argument("--frozen", type=int, default=4, help="frozen layers")
    arguments = parser.parse_args()
    settings = {"checkpoint": locate(arguments.checkpoint), "frozen": arguments.frozen, "epochs": arguments.epochs}
    report = Report("precision", arguments, COLUMNS, device=arguments.device)
    for name in arguments.sets:
        texts = load_set(arguments.data, name, arguments.rows, shuffled=True)
        if texts.test is None:
            raise SystemExit(f"{name}: has no test split to judge a precision by")
        print(texts)
        rows = {"train": texts.train, "test": texts.test}
        systems = {
            precision: _start(arguments.threads, arguments.device, precision=precision, **settings, **rows)
            for precision in PRECISIONS
        }
        _add(report, name, take_turns(systems, arguments.repeats))
    report.show()


def _start(threads: int, device: str, **settings: object) -> Callable[[int], Run]:
    """Gives a function of the seed that trains in a fresh process."""
    return lambda seed: call("common.systems:textxfer", threads, device, **settings, seed=seed)


def _add(report: Report, name: str, runs: dict[str, list[Run]]) -> None:
    plain = runs["fp32"]
    for precision, its in runs.items():
        scores = [run["accuracy"] for run in its]
        apart = [run["accuracy"] - other["accuracy"] for run, other in zip(its, plain, strict=True)]
        seconds = [run["seconds"] for run in its]
        line = [name, precision, shown(scores, 4), " ".join(f"{gap:+.4f}" for gap in apart), _deviation(scores)]
        report.add([*line, shown(seconds), shown(ratios([run["seconds"] for run in plain], seconds))], its)


def _deviation(scores: Sequence[float]) -> str:
    return f"{statistics.stdev(scores):.4f}" if len(scores) > 1 else "-"


if __name__ == "__main__":
    main()
