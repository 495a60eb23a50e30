"""Reviewed lists: the rows that are marked, and no others, are left out of train or weigh less."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from textxfer.data.columns import select_columns
from textxfer.data.reviewed import cell, heed
from textxfer.errors import DataError
from textxfer.records import Splits
from textxfer.sources.memory import Memory
from textxfer.training.environment import data_fingerprint

Write = Callable[[list[dict[str, Any]]], Path]


@pytest.fixture
def splits() -> Splits:
    rows = [{"text": f"text {n}", "label": "ab"[n % 2]} for n in range(6)]
    return select_columns(Memory({"train": rows, "test": rows[:2]}).load(), {"text": "text", "label": "label"})


@pytest.fixture
def listed(tmp_path: Path, write_csv: Callable[..., Path]) -> Write:
    return lambda rows: write_csv(tmp_path / "list.csv", rows)


def line(number: int, drop: str = "", **changes: Any) -> dict[str, Any]:
    return {"id": f"train-{number}", "text": f"text {number}", "given": "ab"[number % 2], "drop": drop} | changes


@pytest.mark.parametrize("mark", ["x", "X ", "yes", "1", "true"])
def test_marked_rows_are_left_out(mark: str, splits: Splits, listed: Write) -> None:
    left = heed(splits, listed([line(1, mark), line(2), line(4, "no")]))
    assert left.train.rows["id"][:] == ["train-0", "train-2", "train-3", "train-4", "train-5"]
    assert left.test is splits.test


@pytest.mark.parametrize("weight", ["0.3", " .3 ", "0,3", "3e-1"])
def test_weighed_rows_stay_and_say_what_they_count(weight: str, splits: Splits, listed: Write) -> None:
    left = heed(splits, listed([line(1, weight=weight), line(2, "x", weight=""), line(4, weight="1")]))
    assert left.train.rows["id"][:] == [f"train-{n}" for n in (0, 1, 3, 4, 5)]
    assert left.train.rows["weight"][:] == [1.0, 0.3, 1.0, 1.0, 1.0]
    assert left.test is splits.test


def test_a_list_of_weights_needs_no_column_for_rows_to_leave_out(splits: Splits, listed: Write) -> None:
    assert heed(splits, listed([{"id": "train-0", "weight": "0.5"}])).train.rows["weight"][0] == 0.5


def test_weights_of_one_change_nothing(splits: Splits, listed: Write) -> None:
    assert "weight" not in heed(splits, listed([line(1, weight="1"), line(2, weight="1.0")])).train.rows.column_names


def test_weights_are_part_of_what_data_are(splits: Splits, listed: Write) -> None:
    prints = {data_fingerprint(heed(splits, listed([line(1, weight=weight)]))) for weight in ("0.5", "0.25", "1")}
    assert len(prints) == 3


def test_ids_alone_and_texts_alone_name_rows(splits: Splits, listed: Write) -> None:
    by_id = heed(splits, listed([{"id": "train-3", "drop": "x"}]))
    by_text = heed(splits, listed([{"text": "text  3", "given": "b", "drop": "x"}]))
    assert by_id.train.rows["id"][:] == by_text.train.rows["id"][:] == [f"train-{n}" for n in (0, 1, 2, 4, 5)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([line(1), line(2)], "marks no row: write x in the column `drop`"),
        ([line(1, "maybe")], "row 1: the column `drop` holds 'maybe'; write x, or leave it empty"),
        ([line(1, weight="lots")], "row 1: the column `weight` holds 'lots'; write a number above 0, up to 1"),
        ([line(1, weight="0")], "row 1: the column `weight` holds '0'; write a number above 0"),
        ([line(1, weight="1.5")], "row 1: the column `weight` holds '1.5'"),
        ([line(1, weight="nan")], "row 1: the column `weight` holds 'nan'"),
        ([line(1, "x", weight="0.5")], "row 1: is marked in `drop` and has a `weight`; leave one of them empty"),
        ([line(1, "x", weight=""), line(1, weight="0.5")], "row 2: the list names this row before, with another mark"),
        ([line(9, "x")], "row 1: train has no row with the id 'train-9'; make the list anew"),
        ([line(1, "x", id="test-1")], "row 1: the row 'test-1' is in test, not in train"),
        ([line(1, "x", text="other")], "row 1: the row 'train-1' of train is another by now: it has the text 'text 1'"),
        ([line(1, "x", given="a")], "and the label 'b', the list 'text 1' and 'a'"),
        ([{"text": "none", "given": "a", "drop": "x"}], "no row of train has this text and label ('none', 'a')"),
        ([line(n, "x") for n in (0, 2, 4)], "marks all rows of train with the label 'a'"),
        ([line(n, "x") for n in range(6)], "marks all rows of train; leave some"),
        ([{"id": "train-1"}], "has unknown column `drop`"),
        ([{"given": "a", "drop": "x"}], "names no rows: it needs a column `id`"),
    ],
)
def test_a_list_that_does_not_fit(rows: list[dict[str, Any]], message: str, splits: Splits, listed: Write) -> None:
    with pytest.raises(DataError) as caught:
        heed(splits, listed(rows))
    assert message in str(caught.value)
    assert "list.csv" in str(caught.value)


def test_a_list_that_is_not_there(splits: Splits, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv: cannot be read"):
        heed(splits, tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("text", "shown"),
    [("=1+1", "'=1+1"), ("a\0b\nc", "a b c"), ("x" * 100_000, "x" * 1000), ("\u202eevil", "evil"), ("", "")],
)
def test_cells_are_safe_and_read_back_as_they_are(text: str, shown: str) -> None:
    assert cell(text) == cell(cell(text)) == shown
