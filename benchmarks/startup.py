"""Time from nothing to something: importing, helping, a first label, a small training run."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from functools import partial

from common.arguments import locate, make_parser
from common.data import load_set
from common.machine import is_installed
from common.processes import call, run
from common.report import Report
from common.rounds import Run, ratios, shown, take_turns

COLUMNS = ("what", "system", "seconds", "ratio")
OURS = "textxfer"
IMPORTS = {
    OURS: ("textxfer", "import textxfer"),
    "textxfer with all a run needs": (
        "textxfer",
        "import torch, textxfer; textxfer.run_recipe, textxfer.pipeline",
    ),
    "transformers, its Auto classes": ("transformers", "from transformers import AutoTokenizer, AutoModel"),
    "transformers, its Trainer": ("transformers", "from transformers import Trainer"),
    "sentence-transformers": ("sentence-transformers", "import sentence_transformers"),
    "setfit": ("setfit", "import setfit"),
}
FIRST_LABEL = {
    "transformers": "from transformers import pipeline; pipeline('text-classification', {model!r})('A fine day.')",
    OURS: "from textxfer import pipeline; pipeline({model!r})('A fine day.')",
}


def main() -> None:
    """Times whole processes, from their start to their end, after one start of each that is not counted."""
    parser = make_parser(__doc__ or "", peers=False)
    parser.set_defaults(sets=["sst2"], rows=64)
    arguments = parser.parse_args()
    texts = load_set(arguments.data, arguments.sets[0], arguments.rows)
    threads, checkpoint = arguments.threads, locate(arguments.checkpoint)
    report = Report("startup", arguments, COLUMNS)
    imports = {name: _python("-c", code) for name, (package, code) in IMPORTS.items() if is_installed(package)}
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        options = {"checkpoint": checkpoint, "train": texts.train, "epochs": 1}
        model = call("common.systems:model_for_inference", threads, **options, keep=folder)["model"]
        labels = {name: _python("-c", code.format(model=model)) for name, code in FIRST_LABEL.items()}
        small = options | {"test": None, "frozen": 0, "seed": 0}
        peer = partial(call, "common.systems:trainer", threads, **small, best=True, bf16=report.bf16_is_fast)
        own = partial(call, "common.systems:textxfer", threads, **small)
        commands = {OURS: _python("-m", "textxfer.run", "--help")}
        works = {"import": imports, "--help": commands, "load a model, label a text": labels}
        for what, systems in works.items():
            timed = {name: partial(_time, command, threads, folder) for name, command in systems.items()}
            _add(report, what, timed, arguments.repeats)
        runs = {
            "Trainer best configured": lambda _: {"seconds": peer()["wall_seconds"]},
            OURS: lambda _: {"seconds": own()["wall_seconds"]},
        }
        _add(report, f"train on {len(texts.train)} rows, 1 epoch, save", runs, arguments.repeats)
    report.show()


def _python(*words: str) -> list[str]:
    return [sys.executable, *words]


def _time(command: list[str], threads: int, folder: str, _: int) -> Run:
    return {"seconds": run(command, threads, folder)}


def _add(report: Report, what: str, systems: dict[str, Callable[[int], Run]], repeats: int) -> None:
    print(what)
    for start in systems.values():
        start(0)
    runs = take_turns(systems, repeats)
    ours = [each["seconds"] for each in runs[OURS]]
    for system, its in runs.items():
        seconds = [each["seconds"] for each in its]
        report.add([what, system, shown(seconds), "1" if system == OURS else shown(ratios(seconds, ours))], its)


if __name__ == "__main__":
    main()
