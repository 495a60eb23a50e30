"""Rows from Python."""

from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest

from textxfer.errors import DataError
from textxfer.sources.memory import Memory

ROWS = [{"text": "NA", "label": "x"}, {"text": "", "label": "y"}]


def as_frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows, index=range(5, 5 + len(rows)))


@pytest.mark.parametrize("kind", [list, tuple, as_frame, datasets.Dataset.from_list])
def test_kinds_of_rows(kind: Any) -> None:
    splits = Memory({"train": kind(ROWS), "validation": None, "test": kind(ROWS[:1])}).load()
    assert splits.train.rows.to_list() == ROWS
    assert splits.validation is None
    assert splits.test is not None
    assert splits.test.rows.to_list() == ROWS[:1]
    assert splits.train.where(1) == "splits['train'] row 2"


def test_rows_alone_and_dataset_dicts() -> None:
    assert Memory(ROWS).load().train.rows.to_list() == ROWS
    given = datasets.DatasetDict({"train": datasets.Dataset.from_list(ROWS), "test": datasets.Dataset.from_list(ROWS)})
    assert [name for name, _ in Memory(given).load().present()] == ["train", "test"]


def test_keys_that_the_first_row_lacks_are_kept() -> None:
    assert Memory([{"text": "a"}, {"text": "b", "label": "x"}]).load().train.rows["label"][:] == [None, "x"]


def test_numbers_of_numpy_and_python_go_together() -> None:
    rows = Memory([{"label": np.int64(1)}, {"label": 2}, {"label": np.float32(0.5)}]).load().train.rows
    assert rows["label"][:] == [1, 2, 0.5]


def test_pandas_missing_values_and_categories() -> None:
    frame = pd.DataFrame({"text": ["a", np.nan, None], "label": pd.Categorical(["x", "y", "x"]), "stars": [1, None, 2]})
    rows = Memory(frame).load().train.rows
    assert rows["text"][:] == ["a", None, None]
    assert rows["label"][:] == ["x", "y", "x"]
    assert rows["stars"][:] == [1.0, None, 2.0]


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"train": ROWS, "dev": ROWS}, "splits: unknown split 'dev' (there are: train, validation, test)"),
        ({"test": ROWS}, "splits: `train` is missing"),
        ({"train": None}, "splits: `train` is missing"),
        ({"train": ROWS, "test": []}, "splits['test']: has no rows"),
        ({"train": pd.DataFrame({"text": []})}, "splits['train']: has no rows"),
        ([], "splits['train']: has no rows"),
        ("rows.csv", "splits['train']: must be a list of dicts, a pandas DataFrame or a datasets.Dataset, not str"),
        (iter(ROWS), "not list_iterator"),
        (["a text"], "splits['train']: must be a list of dicts"),
        (pd.DataFrame([["a", "b"]], columns=["text", "text"]), "splits['train']: a column stands twice: text, text"),
        (
            [{"text": "a"}, {"text": None}, {"text": 1}],
            "splits['train'] row 3: column `text` holds numbers, but row 1 holds texts; write one kind only",
        ),
        (pd.DataFrame({"text": ["a", None, 1]}), "splits['train'] row 3: column `text` holds numbers, but row 1 holds"),
        ([{"text": "a\udc80"}], "splits['train'] row 1: column `text` holds half of a character"),
        ([{"text": "a", "x": object()}], "splits['train'] row 1: column `x` does not fit"),
    ],
)
def test_rows_that_cannot_be_used(splits: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        Memory(splits).load()
    assert message in str(caught.value)
    assert len(caught.value.lines) == 1
