"""How textxfer's time of training grows with rows, with their length, and with processes."""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from common.arguments import locate, make_parser
from common.arithmetic import training_gflop
from common.data import Rows, TextSet, load_set
from common.processes import call, run
from common.report import Report
from common.rounds import Run, shown, take_turns
from common.systems import BATCH_SIZE

COLUMNS = ("what", "case", "seconds", "rows of the set/s", "note")
STEPS = ("rows", "lengths", "processes")
LENGTHS = (16, 32, 64, 128, 256)
PROCESSES = ((1, 1), (1, 2), (2, 1))


def main() -> None:
    """Runs the series that are asked for."""
    parser = make_parser(__doc__ or "", peers=False)
    parser.set_defaults(sets=["sst2"])
    parser.add_argument("--series", nargs="+", choices=STEPS, default=list(STEPS), help="which to run")
    parser.add_argument("--smallest", type=int, default=1000, help="fewest rows of the series `rows`")
    parser.add_argument("--doublings", type=int, default=5, help="how often they double: 5 is 1k to 32k")
    parser.add_argument("--tokens", type=int, default=65536, help="tokens of a run of the series `lengths`")
    parser.add_argument("--epochs", type=int, default=3, help="of the series `rows` and `processes`")
    arguments = parser.parse_args()
    texts = load_set(arguments.data, arguments.sets[0], arguments.rows)
    report = Report("scaling", arguments, COLUMNS)
    checkpoint = locate(arguments.checkpoint)
    for name in arguments.series:
        print(name)
        {"rows": _rows, "lengths": _lengths, "processes": _processes}[name](texts, checkpoint, arguments, report)
    report.show()


def _rows(texts: TextSet, checkpoint: str, arguments: argparse.Namespace, report: Report) -> None:
    """Trains on ever more rows, the lowest layers frozen, and fits the slope of log time over log rows."""
    frozen = _shape(checkpoint, ["a text"], 8, arguments)["layers"] - 2
    counts = [arguments.smallest * 2**power for power in range(arguments.doublings + 1)]
    options = {"checkpoint": checkpoint, "test": None, "frozen": frozen, "epochs": arguments.epochs}
    base = texts.train[: arguments.smallest]
    cases = {f"{count} rows": count for count in counts}
    systems = {case: _textxfer(arguments, options | {"train": repeated(base, cases[case])}) for case in cases}
    runs = take_turns(systems, arguments.repeats)
    for case, its in runs.items():
        _add(report, f"rows, {frozen} layers frozen", case, its, cases[case])
    if len(counts) > 1:
        logs = [math.log(_median(its)) for its in runs.values()]
        slope = statistics.linear_regression([math.log(count) for count in counts], logs).slope
        report.add(["rows", "slope of log time on log rows", "", "", f"{slope:.3f}"])


def _lengths(texts: TextSet, checkpoint: str, arguments: argparse.Namespace, report: Report) -> None:
    """Trains on the same number of tokens in texts of ever more tokens, nothing frozen."""
    systems, work, counts = {}, {}, {}
    for length in LENGTHS:
        case = f"{length} tokens"
        counts[case] = max(arguments.tokens // length, BATCH_SIZE)
        # Each text has as many words as tokens are wanted, so that the task's limit cuts it to exactly `length` tokens.
        rows = joined(texts.train, counts[case], length)
        options = {"checkpoint": checkpoint, "test": None, "frozen": 0, "epochs": 1, "max_length": length}
        systems[case] = _textxfer(arguments, options | {"train": rows})
        work[case] = training_gflop(_shape(checkpoint, [row["text"] for row in rows], length, arguments), 0, 1)
    for case, its in take_turns(systems, arguments.repeats).items():
        share = work[case] / report.peak_gflops / _median(its)
        _add(report, "lengths, nothing frozen", case, its, counts[case], f"{share:.0%} of the roofline")


def _processes(texts: TextSet, checkpoint: str, arguments: argparse.Namespace, report: Report) -> None:
    """Trains by the command line in one and two processes, the batch shared between them."""
    start = partial(_launch, texts.train, checkpoint, arguments.epochs)
    systems = {
        f"{processes} of {threads} threads": partial(start, processes, threads) for processes, threads in PROCESSES
    }
    runs = take_turns(systems, arguments.repeats)
    alone = _median(next(iter(runs.values())))
    for case, its in runs.items():
        faster = f"{alone / _median(its):.2f} times the speed of the first"
        _add(report, "processes, nothing frozen", case, its, len(texts.train), faster)


def _launch(train: Rows, checkpoint: str, epochs: int, processes: int, threads: int, seed: int) -> Run:
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        data = Path(folder, "data")
        data.mkdir()
        (data / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in train))
        recipe = {
            "name": "run",
            "checkpoint": checkpoint,
            "dataset": {"path": "data", "validation_fraction": 0},
            "task": "topic",
            "head": {"start": "random"},  # steps are what is compared
            "train": {"epochs": epochs, "warmup_ratio": 0, "save_every": "never", "seed": seed},
        }
        Path(folder, "recipe.yaml").write_text(json.dumps(recipe))
        launcher = (
            ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"] if processes > 1 else []
        )
        run([sys.executable, *launcher, "-m", "textxfer.run", "recipe.yaml", "--quiet"], threads, folder)
        metrics = json.loads(Path(folder, "runs", "run", "metrics.json").read_text())
    return {"seconds": metrics["timing"]["train_seconds"]}


def repeated(rows: Rows, count: int) -> Rows:
    """Gives `count` rows: these again and again, each time with their words moved on by one place.

    So no text is the same as another one that it was made of, and all have the tokens that they had.
    """
    out = []
    for number in range(count):
        turn, place = divmod(number, len(rows))
        words = rows[place]["text"].split()
        turn %= max(len(words), 1)
        out.append({"text": " ".join([*words[turn:], *words[:turn]]), "label": rows[place]["label"]})
    return out


def joined(rows: Rows, count: int, words: int) -> Rows:
    """Gives `count` rows whose texts have at least so many words, made of neighbouring rows."""
    out, place = [], 0
    while len(out) < count:
        label, parts = rows[place % len(rows)]["label"], []
        while len(parts) < words:
            parts += rows[place % len(rows)]["text"].split()
            place += 1
        out.append({"text": " ".join(parts), "label": label})
    return out


def _textxfer(arguments: argparse.Namespace, settings: dict[str, Any]) -> Callable[[int], Run]:
    """Gives a function of the seed that trains in a fresh process."""
    return lambda seed: call("common.systems:textxfer", arguments.threads, **settings, seed=seed)


def _shape(checkpoint: str, texts: list[str], length: int, arguments: argparse.Namespace) -> Run:
    return call("common.arithmetic:describe", arguments.threads, checkpoint=checkpoint, texts=texts, max_length=length)


def _median(runs: list[Run]) -> float:
    return statistics.median(run["seconds"] for run in runs)


def _add(report: Report, what: str, case: str, runs: list[Run], rows: int, note: str = "") -> None:
    rate = f"{rows / _median(runs):.0f}"
    report.add([what, case, shown([run["seconds"] for run in runs]), rate, note], runs)


if __name__ == "__main__":
    main()
