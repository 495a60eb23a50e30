"""Run folders written by hand: every file and key that a report can show, of any size."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

TEXT = "the room was bright and the soup came cold while a film about bees told its story well or badly"
LABELS = ("business", "culture", "health", "science", "sport", "travel")
RECIPE = """\
name: {name}
checkpoint: {{id: a/checkpoint, revision: null}}
dataset: {{path: ../data/{name}, hub: null}}
task: {{name: {task}, ordered: {ordered}}}
evaluate: {{select_by: null}}
"""


def write_json(folder: Path, name: str, data: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(data), encoding="utf-8")


def write_lines(folder: Path, name: str, records: Sequence[Mapping[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def label_names(number: int) -> list[str]:
    return [*LABELS[:number], *(f"label {place}" for place in range(len(LABELS), number))]


def predictions(
    labels: Sequence[str], rows: int, right: float = 0.85, text: bool = True, seed: int = 0
) -> list[dict[str, Any]]:
    """Gives lines of predictions.jsonl; about the share `right` of them are."""
    generator = np.random.default_rng(seed)
    lines = []
    for number in range(rows):
        reference = int(generator.integers(len(labels)))
        logits = generator.normal(size=len(labels), scale=1.5)
        logits[reference] += 2.5 if generator.random() < right else -1
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        line: dict[str, Any] = {"id": f"test-{number}", "reference": labels[reference]}
        line |= {"prediction": labels[int(shares.argmax())]}
        line["probabilities"] = dict(zip(labels, np.round(shares, 6).tolist(), strict=True))
        if text:
            line["text"] = " ".join(generator.choice(TEXT.split(), size=int(generator.integers(4, 60))))
        lines.append(line)
    return lines


def metrics_of(labels: Sequence[str], lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Gives metrics.json with every key, true to these predictions where it is about them."""
    truth, said = [line["reference"] for line in lines], [line["prediction"] for line in lines]
    order, sure = list(labels), np.array([max(line["probabilities"].values()) for line in lines])
    hit = np.array([a == b for a, b in zip(truth, said, strict=True)])
    columns = precision_recall_fscore_support(truth, said, labels=order, zero_division=0)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    keys = ("precision", "recall", "f1", "support")
    per_label = {label: dict(zip(keys, row, strict=True)) for label, row in zip(order, rows, strict=True)}
    counts = confusion_matrix(truth, said, labels=order).tolist() if len(order) > 1 else [[len(lines)]]
    accuracy, f1 = float(hit.mean()), float(f1_score(truth, said, average="macro", zero_division=0))
    by_risk = np.argsort(-sure)
    kept = np.arange(1, len(lines) + 1)
    risk = np.cumsum(~hit[by_risk]) / kept
    points = {"coverage": (kept / len(lines)).tolist(), "risk": risk.tolist(), "confidence": sure[by_risk].tolist()}
    scores = {"accuracy": accuracy, "macro_f1": f1, "calibration_error": 0.04}
    return {
        "format": 1,
        "validation": {name: value * 0.99 for name, value in scores.items()},
        "test": scores,
        "per_label": {"test": per_label},
        "confusion": {"test": {"labels": order, "counts": counts}},
        "intervals": {"test": {name: [max(value - 0.03, 0), min(value + 0.03, 1)] for name, value in scores.items()}},
        "detectable": {"test": {"accuracy": 0.042, "macro_f1": 0.047}},
        "calibration": {
            "temperature": 1.62,
            "before": {"calibration_error": 0.118, "nll": 0.61},
            "after": {"calibration_error": 0.041, "nll": 0.52},
            "bins": {"before": bins_of(sure**0.5, hit), "after": bins_of(sure, hit)},
        },
        "selective": {"test": {"area": 0.031, "points": points}},
        "without_leaks": {"rows": len(lines) - 7, "test": {"accuracy": accuracy - 0.011, "macro_f1": f1 - 0.012}},
        "overfitting": {
            "sentence": "Train loss fell to 0.11 while validation stayed at 0.52: try fewer epochs.",
            "best_epoch": 2,
            "gap": 0.41,
        },
        "timing": {"train_seconds": 93.1, "evaluate_seconds": 4.2, "total_seconds": 104.5},
        "trainable_parameters": 10_799_000,
        "total_parameters": 22_713_986,
        "steps": 300,
        "best_step": 200,
        "num_examples": {"train": 4800, "validation": 600, "test": len(lines)},
    }


def bins_of(sure: np.ndarray, hit: np.ndarray) -> list[dict[str, float]]:
    places = np.clip((sure * 10).astype(int), 0, 9)
    found = []
    for place in np.unique(places):
        rows = places == place
        means = {"confidence": float(sure[rows].mean()), "accuracy": float(hit[rows].mean())}
        found.append({"low": place / 10, "high": (place + 1) / 10, "count": int(rows.sum()), **means})
    return found


def log() -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for step in range(10, 301, 10):
        loss = 1.9 * np.exp(-step / 90) + 0.1 + 0.05 * np.sin(step)
        lines.append({"step": step, "epoch": step / 100, "loss": float(loss), "grad_norm": 1.0, "learning_rate": 5e-5})
        if step % 50 == 0:
            for split, gap in (("train", 0.0), ("validation", step / 900)):
                scores = {"accuracy": 0.95 - loss / 4 - gap / 5, "macro_f1": 0.94 - loss / 4 - gap / 5}
                record = {"step": step, "epoch": step / 100, "split": split, "loss": loss + gap, **scores}
                lines.append(record | {"calibration_error": 0.03 + gap / 4})
    return lines


FINDINGS = {
    "num_rows": {"train": 4800, "test": 200},
    "leaked_test_rows": 7,
    "findings": [
        {
            "kind": "leak_test",
            "message": "test: 7 of 200 rows (3.5%) stand in train too (2 equal, 5 nearly)",
            "count": 7,
            "examples": [
                {"split": "test", "row": 5, "id": "test-4", "text": "the soup came cold", "about": "equals train row 9"}
            ],
        },
        {
            "kind": "imbalance",
            "message": "train: travel has 12 times as many rows as culture",
            "count": 1,
            "examples": [],
        },
    ],
}


def write_run(folder: Path, labels: int | Sequence[str] = 6, rows: int = 600, **settings: Any) -> Path:
    """Writes a run folder with every file.

    Args:
        folder: Where.
        labels: How many, or which.
        rows: Of the test split.
        **settings: `ordered`, and what `predictions` takes.
    """
    names = label_names(labels) if isinstance(labels, int) else list(labels)
    ordered = settings.pop("ordered", False)
    lines = predictions(names, rows, **settings)
    write_json(folder, "metrics.json", metrics_of(names, lines))
    write_lines(folder, "predictions.jsonl", lines)
    write_rest(folder, "topic", ordered)
    with (folder / "suspects.csv").open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "given", "suggested", "score", "drop"])
        for number in range(130):
            writer.writerow(
                [f"train-{number}", lines[number % rows].get("text", ""), names[0], names[-1], 0.01 * number, ""]
            )
    told = "about 210 of 4,800 training rows (4.4%) may bear the wrong label; the 130 most doubtful are named"
    write_json(folder, "suspects.json", {"message": told})
    return folder


def write_rest(folder: Path, task: str, ordered: bool = False) -> None:
    """Writes the files that are the same for all tasks."""
    write_lines(folder, "log.jsonl", log())
    write_json(folder, "findings.json", FINDINGS)
    environment = {"python": "3.11", "packages": {"torch": "2.6"}, "device": {"type": "cpu", "name": "x86_64"}}
    write_json(folder, "environment.json", environment | {"checkpoint": "a/checkpoint"})
    recipe = RECIPE.format(name=folder.name, task=task, ordered=str(ordered).lower())
    (folder / "recipe.yaml").write_text(recipe, encoding="utf-8")


def answer_lines(rows: int = 60) -> list[dict[str, Any]]:
    """Gives lines of predictions.jsonl of questions, a fifth without an answer."""
    context = "The library opens at nine on weekdays. On Saturdays the reading room opens at ten, and tea is served."
    starts = ("When does the library open?", "who serves tea?", "Where is tea served?", "In what room is it?", "why?")
    lines = []
    for number in range(rows):
        references = [] if number % 5 == 4 else ["nine", "nine on weekdays"][: 1 + number % 2]
        answer = ("nine", "", "Saturdays the reading room", "weekdays")[number % 4]
        start = context.index(answer) if answer else 0
        line: dict[str, Any] = {
            "id": f"q{number}",
            "references": references,
            "answer": answer,
            "score": 1 / (number + 1),
        }
        line |= {"start": start, "end": start + len(answer)}
        lines.append(line | {"question": starts[number % 5], "context": context})
    return lines


def write_answers(folder: Path, rows: int = 60) -> Path:
    """Writes the run folder of a model that answers questions."""
    scores = {"exact_match": 0.4, "answer_f1": 0.46, "has_answer_exact_match": 0.35, "no_answer_exact_match": 0.6}
    metrics = {"format": 1, "validation": scores, "test": scores, "num_examples": {"train": 300, "test": rows}}
    metrics |= {"intervals": {"test": {name: [value - 0.1, value + 0.1] for name, value in scores.items()}}}
    write_json(folder, "metrics.json", metrics)
    write_lines(folder, "predictions.jsonl", answer_lines(rows))
    write_rest(folder, "question_answering")
    return folder
