"""Training on few rows by each system, all draws in one process, to be called in a process of its own.

Each gives `runs`: of every draw `accuracy` and `macro_f1` on test, `seconds` from the loaded rows to the trained model
(of textxfer the comparison of roads counts), and `how` it was trained.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from typing import Any

from common.data import Rows

MAX_LENGTH = 128
PAIRS_A_STEP = 16


def textxfer(checkpoint: str, seeds: list[int], draws: list[Rows], test: Rows, *, road: str) -> dict[str, Any]:
    """Runs a recipe that says `small_data: ROAD`, or nothing where that is `auto`."""
    from textxfer import run_recipe

    runs = []
    for seed, train in zip(seeds, draws, strict=True):
        with tempfile.TemporaryDirectory() as folder:
            recipe: dict[str, Any] = {
                "name": "run",
                "checkpoint": checkpoint,
                "task": {"name": "topic", "max_length": MAX_LENGTH},
                "train": {"seed": seed},
                "output": {"directory": folder},
            }
            if road != "auto":
                recipe["small_data"] = road
            result = run_recipe(recipe, splits={"train": train, "test": test})
            choices = result.folder / "choices.json"
            chosen = json.loads(choices.read_text())["road"] if choices.exists() else {"road": road, "seconds": 0.0}
        metrics = result.metrics
        scores = {name: metrics["test"][name] for name in ("accuracy", "macro_f1", "calibration_error")}
        seconds = metrics["timing"]["train_seconds"] + chosen["seconds"]
        runs.append(scores | {"seed": seed, "seconds": seconds, "how": chosen["road"], "choice": chosen})
    return {"runs": runs}


def setfit(
    checkpoint: str, seeds: list[int], draws: list[Rows], test: Rows, *, steps: int | None, on: str = "cpu"
) -> dict[str, Any]:
    """Trains SetFit with its defaults on a device; `steps` ends its contrastive phase, or None."""
    import time

    import datasets
    from setfit import SetFitModel, Trainer, TrainingArguments
    from sklearn.metrics import accuracy_score, f1_score

    labels, runs = sorted({row["label"] for row in draws[0]}), []
    references = [labels.index(row["label"]) for row in test]
    for seed, train in zip(seeds, draws, strict=True):
        columns = {"text": [row["text"] for row in train], "label": [labels.index(row["label"]) for row in train]}
        model = SetFitModel.from_pretrained(checkpoint, device=on)
        with tempfile.TemporaryDirectory() as folder:
            options = TrainingArguments(
                output_dir=folder,
                seed=seed,
                max_steps=steps or -1,
                report_to="none",
                save_strategy="no",
                show_progress_bar=False,
            )
            trainer = Trainer(model=model, args=options, train_dataset=datasets.Dataset.from_dict(columns))
            began = time.perf_counter()
            trainer.train()
            seconds = time.perf_counter() - began
        found = model.predict([row["text"] for row in test], as_numpy=True).tolist()
        scores = {
            "accuracy": float(accuracy_score(references, found)),
            "macro_f1": float(f1_score(references, found, average="macro")),
        }
        whole = setfit_steps(train)
        how = f"{whole} steps" if steps is None else f"{steps} steps of {whole}"
        runs.append(scores | {"seed": seed, "seconds": seconds, "how": how})
    return {"runs": runs}


def setfit_steps(rows: Rows) -> int:
    """Gives the steps of SetFit's one epoch: of pairs of like and unlike rows, those that are fewer are repeated."""
    counts = Counter(row["label"] for row in rows)
    like = sum(count * (count + 1) // 2 for count in counts.values())
    unlike = (len(rows) * (len(rows) + 1)) // 2 - like
    return -(-2 * max(like, unlike) // PAIRS_A_STEP)
