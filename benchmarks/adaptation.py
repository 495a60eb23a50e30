"""Domain adaptation: labels from films, unlabelled texts on products, judged on products; with and without `adapt`.

The data folder has movie_reviews (train.csv) and product_reviews (test.csv, unlabeled.txt).
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

from common.arguments import make_parser
from common.data import TextSet, load_set
from common.report import Report
from common.rounds import Run, take_turns

COLUMNS = ("system", "accuracy", "macro F1", "each seed", "perplexity before", "after", "adapt s", "train s")
SYSTEMS = {
    "without": "without",
    "films": "adapted to the films (training texts)",
    "products": "adapted to products (unlabelled texts)",
}


def main() -> None:
    """Trains with each system and every seed, and shows means and standard deviations."""
    arguments = _parser().parse_args()
    if arguments.device == "cpu":
        os.environ["ACCELERATE_USE_CPU"] = "1"
    import torch

    torch.set_num_threads(arguments.threads)
    films = load_set(arguments.data, "movie_reviews", arguments.rows)
    products = load_set_of_tests(arguments.data / "product_reviews")
    texts = sorted((arguments.data / "product_reviews").glob("unlabel*.txt"))[0]
    print(f"{films.name}: {len(films.train)} train; product_reviews: {len(products)} test rows; {texts.name}")
    report = Report("adaptation", arguments, COLUMNS)
    texts_of = {"without": None, "films": "task", "products": str(texts)}
    places = {SYSTEMS[name]: texts_of[name] for name in arguments.systems}
    with tempfile.TemporaryDirectory() as folder:

        def system(place: str | None) -> Any:
            return lambda number: _run(arguments, films, products, place, arguments.seeds[number], Path(folder))

        runs = take_turns({name: system(place) for name, place in places.items()}, len(arguments.seeds))
    for name, its in runs.items():
        report.add(_line(name, its), its)
    report.show()


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__ or "", peers=False, rows=False, sets=False)
    parser.add_argument("--rows", type=int, default=0, help="first training rows; 0 takes all")
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS), help="which to run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of training and of adaptation")
    parser.add_argument("--epochs", type=int, default=3, help="of training")
    parser.add_argument("--adapt-epochs", type=int, default=10, help="passes over the unlabelled texts")
    parser.add_argument("--learning-rate", type=float, default=1e-4, help="of training")
    parser.add_argument("--adapt-learning-rate", type=float, default=1e-4, help="of adaptation")
    parser.add_argument("--adapt-steps", type=int, help="at most; default: by epochs")
    parser.add_argument("--device", choices=("auto", "cpu"), default="auto", help="auto: a GPU where there is one")
    return parser


def load_set_of_tests(folder: Path) -> list[dict[str, str]]:
    """Gives labelled rows of a set that has nothing to train on."""
    import csv

    with (folder / "test.csv").open(encoding="utf-8", newline="") as file:
        return [{"text": row["text"], "label": row["label"]} for row in csv.DictReader(file)]


def _run(
    arguments: argparse.Namespace,
    films: TextSet,
    products: list[dict[str, str]],
    place: str | None,
    seed: int,
    folder: Path,
) -> Run:
    """Trains on films, validates on films held back, and judges on products."""
    import json

    from textxfer import run_recipe

    recipe: dict[str, Any] = {
        "name": "run",
        "checkpoint": arguments.checkpoint,
        "task": {"name": "sentiment", "max_length": 128},
        "train": {
            "epochs": arguments.epochs,
            "batch_size": 32,
            "learning_rate": arguments.learning_rate,
            "save_every": "never",
            "seed": seed,
        },
        "output": {"directory": str(folder)},
    }
    if place is not None:
        # The reviews of one shop repeat short sentences; those of the test are left out.
        recipe["adapt"] = {
            "texts": place,
            "shared": "drop",
            "epochs": arguments.adapt_epochs,
            "steps": arguments.adapt_steps,
            "learning_rate": arguments.adapt_learning_rate,
            "seed": seed,
        }
    before = {path.parent for path in folder.glob("adapted/*/metrics.json")}
    metrics = run_recipe(recipe, splits={"train": films.train, "test": products}, overwrite=True).metrics
    run: Run = {
        "seed": seed,
        "accuracy": metrics["test"]["accuracy"],
        "macro_f1": metrics["test"]["macro_f1"],
        "seconds": metrics["timing"]["train_seconds"],
    }
    new = {path.parent for path in folder.glob("adapted/*/metrics.json")} - before
    if new:
        adapted = json.loads((new.pop() / "metrics.json").read_text())
        run |= {
            "before": adapted["before"]["perplexity"],
            "after": adapted["after"]["perplexity"],
            "adapt_seconds": adapted["timing"]["total_seconds"],
        }
    return run


def _line(name: str, runs: list[Run]) -> list[str]:
    each = " ".join(f"{run['accuracy']:.3f}" for run in runs)
    others = [_mean(runs, "before", 1), _mean(runs, "after", 1), _mean(runs, "adapt_seconds", 0)]
    return [name, _mean(runs, "accuracy", 4), _mean(runs, "macro_f1", 4), each, *others, _mean(runs, "seconds", 0)]


def _mean(runs: list[Run], key: str, digits: int) -> str:
    values = [run[key] for run in runs if key in run]
    if not values:
        return "-"
    sd = f" +- {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{sd}"


if __name__ == "__main__":
    main()
