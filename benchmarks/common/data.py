"""Labelled texts from folders of csv or jsonl files."""

from __future__ import annotations

import csv
import json
import random
from dataclasses import dataclass
from pathlib import Path

Rows = list[dict[str, str]]


@dataclass(frozen=True)
class TextSet:
    """Rows of a data set, each {"text", "label"}.

    Attributes:
        name: Of its folder.
        train: The first rows of the training split.
        rest: The training rows after those.
        test: Test rows whose label occurs in `train`, or None where there is no test split.
        labels: Names of the labels in `train`, sorted.
    """

    name: str
    train: Rows
    rest: Rows
    test: Rows | None
    labels: list[str]

    def __str__(self) -> str:
        test = f"{len(self.test)} test" if self.test is not None else "no test"
        return f"{self.name}: {len(self.train)} train, {test} rows, {len(self.labels)} labels"


def load_set(folder: Path, name: str, rows: int, *, shuffled: bool = False) -> TextSet:
    """Reads a set, its training split cut to the first `rows` (0: all); `shuffled`: to any `rows`, always the same."""
    everything = _read_split(folder / name, "train")
    if not everything:
        raise SystemExit(f"{folder / name}: has no train.csv or train.jsonl with rows")
    if shuffled:
        random.Random(0).shuffle(everything)
    train = everything[: rows or None]
    labels = sorted({row["label"] for row in train})
    test = _read_split(folder / name, "test")
    known = None if test is None else [row for row in test if row["label"] in labels]
    return TextSet(name, train, everything[len(train) :], known, labels)


def _read_split(folder: Path, split: str) -> Rows | None:
    for path in (folder / f"{split}.csv", folder / f"{split}.jsonl"):
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as file:
                found = csv.DictReader(file) if path.suffix == ".csv" else (json.loads(line) for line in file)
                return [{"text": row["text"], "label": str(row["label"])} for row in found]
    return None
