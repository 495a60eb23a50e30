"""Splits made of plain rows."""

from collections.abc import Callable
from typing import Any

import datasets
import pytest

from textxfer.data.columns import select_columns
from textxfer.records import Splits
from textxfer.sources.memory import Memory


@pytest.fixture
def labelled() -> Callable[..., Splits]:
    """Makes splits with columns selected from a label per row: `labelled(["a", "b"], test=["a"])`."""

    def make(train: list[Any], label_delimiter: str | None = None, **others: list[Any]) -> Splits:
        rows = {
            name: [{"text": f"text {number}", "label": label} for number, label in enumerate(labels)]
            for name, labels in {"train": train, **others}.items()
        }
        return select_columns(Memory(rows).load(), {"text": "text", "label": "label"}, label_delimiter=label_delimiter)

    return make


@pytest.fixture
def class_labelled() -> Callable[..., Splits]:
    """The same for label ids of a ClassLabel with the names neg, pos and mixed."""

    def make(**label_ids: list[Any]) -> Splits:
        features = datasets.Features(
            {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["pos", "neg", "mixed"])}
        )
        splits = {
            name: datasets.Dataset.from_dict({"text": ["x"] * len(ids), "label": ids}, features=features)
            for name, ids in label_ids.items()
        }
        return select_columns(Memory(splits).load(), {"text": "text", "label": "label"})

    return make
