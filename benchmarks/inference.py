"""Time of labelling texts: `transformers.pipeline` beside `textxfer.pipeline` in fp32 and with precision="auto"."""

from __future__ import annotations

import statistics
import tempfile
import time
from functools import partial
from typing import Any

from common.arguments import locate, make_parser
from common.data import TextSet, load_set
from common.processes import call
from common.report import Report
from common.rounds import Run, take_turns
from common.systems import MAX_LENGTH

WARM_UP = 64
COLUMNS = ("set", "system", "seconds", "ratio", "accuracy", "peak MB", "texts/s", "labels as stock fp32")
OURS, REFERENCE = 'textxfer precision="auto"', "transformers fp32, batches of 32"
SHIPPED = "transformers as shipped, batches of 1"


def main() -> None:
    """Trains a model on each set, then has every system label texts that the model has not seen."""
    parser = make_parser(__doc__ or "")
    parser.set_defaults(sets=["sst2"])
    parser.add_argument("--texts", type=int, default=2000, help="texts to label")
    parser.add_argument("--epochs", type=int, default=1, help="of training the model")
    parser.add_argument("--batch-sizes", type=int, nargs="*", default=[8], help="of transformers, beside 1 and 32")
    arguments = parser.parse_args()
    sets = [load_set(arguments.data, name, arguments.rows) for name in arguments.sets]
    report = Report("inference", arguments, COLUMNS)
    for texts in sets:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            options = {"checkpoint": locate(arguments.checkpoint), "train": texts.train, "epochs": arguments.epochs}
            made = call("common.systems:model_for_inference", arguments.threads, **options, keep=folder)
            rows = unseen(texts, arguments.texts)
            print(f"{texts.name}: {len(rows)} texts to label")
            ask = partial(_ask, arguments.threads, made["model"], [row["text"] for row in rows])
            systems = {} if arguments.as_shipped == "no" else {SHIPPED: ask("stock", batch_size=1, bf16=False)}
            systems[REFERENCE] = ask("stock", batch_size=32, bf16=False)
            for size in arguments.batch_sizes:
                systems[f"transformers fp32, batches of {size}"] = ask("stock", batch_size=size, bf16=False)
            if report.bf16_is_fast:
                systems["transformers bf16, batches of 32"] = ask("stock", batch_size=32, bf16=True)
            systems |= {"textxfer fp32": ask("ours", precision="fp32"), OURS: ask("ours", precision="auto")}
            once = [SHIPPED] if arguments.as_shipped == "once" else []
            _add(report, texts.name, [row["label"] for row in rows], take_turns(systems, arguments.repeats, once))
    report.show()


def unseen(texts: TextSet, wanted: int) -> list[dict[str, str]]:
    """Gives test rows, then training rows that were not trained on, then (in a small set) the same again."""
    rows = [*(texts.test or []), *texts.rest] or texts.train
    return (rows * (wanted // len(rows) + 1))[:wanted]


def _ask(threads: int, model: str, texts: list[str], job: str, **settings: Any) -> Any:
    """Gives a function that labels the texts in a fresh process."""
    return lambda _: call(f"inference:{job}", threads, model=model, texts=texts, **settings)


def _add(report: Report, name: str, references: list[str], runs: dict[str, list[Run]]) -> None:
    stock = runs[REFERENCE][0]["labels"]
    notes = {}
    for system, its in runs.items():
        labels = its[0]["labels"]
        agreement = sum(map(str.__eq__, labels, stock)) / len(stock)
        seconds = statistics.median(run["seconds"] for run in its)
        notes[system] = (f"{len(labels) / seconds:.0f}", f"{agreement:.4f}")
        for run in its:
            run["accuracy"] = sum(map(str.__eq__, run.pop("labels"), references)) / len(references)
    report.add_systems([name], runs, OURS, notes)


def stock(model: str, texts: list[str], batch_size: int, bf16: bool) -> dict[str, Any]:
    """Labels texts with `transformers.pipeline`. Runs in a child."""
    import torch
    from transformers import pipeline

    dtype = torch.bfloat16 if bf16 else torch.float32
    classify = pipeline("text-classification", model=model, device="cpu", dtype=dtype)
    return _timed(lambda part: classify(part, batch_size=batch_size, truncation=True, max_length=MAX_LENGTH), texts)


def ours(model: str, texts: list[str], precision: str) -> dict[str, Any]:
    """Labels texts with `textxfer.pipeline`. Runs in a child."""
    import textxfer

    return _timed(textxfer.pipeline(model, precision=precision), texts)


def _timed(classify: Any, texts: list[str]) -> dict[str, Any]:
    classify(texts[:WARM_UP])
    began = time.perf_counter()
    found = classify(texts)
    return {"seconds": time.perf_counter() - began, "labels": [each["label"] for each in found]}


if __name__ == "__main__":
    main()
