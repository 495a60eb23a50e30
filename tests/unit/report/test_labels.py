"""Labels: the matrix, the bars, how many there may be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.report.dom import Page
from tests.unit.report.made import metrics_of, write_json, write_run

Report = Callable[[Path], Page]


def confusion_of(folder: Path, labels: list[str], counts: list[list[int]], **keys: Any) -> Path:
    metrics = {"format": 1, "test": {"accuracy": 0.5}, "confusion": {"test": {"labels": labels, "counts": counts}}}
    write_json(folder, "metrics.json", metrics | keys)
    return folder


def test_the_matrix_has_every_count(report: Report, tmp_path: Path) -> None:
    found = report(confusion_of(tmp_path, ["a", "b", "c"], [[31, 4, 0], [2, 57, 6], [0, 0, 83]]))
    words = found.words("confusion")
    assert "12 errors on 183 rows." in words
    assert "171 of 183 rows lie on the diagonal" in words
    for number in (31, 4, 2, 57, 6, 83):
        assert f">{number}</text>" in found.html
    assert "a 31 4 0 b 2 57 6 c 0 0 83" in words
    assert "b c 6 0.092 a b 4 0.114 b a 2 0.031" in words


def test_without_an_error_the_page_says_so(report: Report, tmp_path: Path) -> None:
    found = report(write_run(tmp_path, labels=2, rows=30, right=1.0))
    counts = [[12, 0, 0], [0, 9, 0], [0, 0, 9]]
    assert "No error on 30 rows." in report(confusion_of(tmp_path, ["a", "b", "c"], counts)).words("confusion")
    assert found.wrong == []


def test_zero_errors_leave_the_least_sure_rows(report: Report, tmp_path: Path) -> None:
    found = report(write_run(tmp_path, labels=["only"], rows=20))
    assert "No error on 20 rows. All rows are below." in found.words("rows")
    assert "The model is right on 20 of 20 test rows" in found.text


def test_one_label_is_drawn(report: Report, tmp_path: Path) -> None:
    found = report(write_run(tmp_path, labels=["only"], rows=20))
    assert "Hardest is “only” (F1 1.000)." in found.words("labels")
    assert "Always saying" not in found.text
    assert "slices" in found.sections  # by length; by the one label there is nothing to compare
    assert "By reference label" not in found.words("slices")


@pytest.mark.parametrize(("number", "drawn"), [(25, 25), (26, 20), (77, 20)])
def test_of_many_labels_the_most_confused_are_drawn(report: Report, tmp_path: Path, number: int, drawn: int) -> None:
    counts = [[50 if row == column else 0 for column in range(number)] for row in range(number)]
    counts[3][number - 1] = 9
    counts[number - 1][5] = 4
    labels = [f"name{place}." for place in range(number)]
    found = report(confusion_of(tmp_path, labels, counts))
    words = found.words("confusion")
    assert f"The {drawn} most confused labels" in words or drawn == number
    assert (f"Of {number} labels, the {drawn} with the most confusions are drawn." in words) == (drawn < number)
    for place in (3, 5, number - 1):
        assert f">name{place}.</text>" in found.html
    assert f"name3. name{number - 1}. 9 0.153" in words


def test_a_thousand_labels_stay_small(report: Report, tmp_path: Path) -> None:
    found = report(write_run(tmp_path, labels=1000, rows=300))
    assert "The 30 worst of 1,000 labels by F1" in found.words("labels")
    assert "labels without rows in this split: their scores say nothing." in found.words("labels")
    assert len(found.html.encode()) < 1_000_000
    assert found.wrong == []


def test_labels_stand_worst_first_and_those_without_rows_last(report: Report, tmp_path: Path) -> None:
    row = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 3}
    table = {
        "middle": row,
        "best": row | {"f1": 0.9},
        "worst": row | {"f1": 0.1},
        "empty": row | {"f1": 0, "support": 0},
    }
    write_json(tmp_path, "metrics.json", {"format": 1, "test": {"accuracy": 0.5}, "per_label": {"test": table}})
    words = report(tmp_path).words("labels")
    assert (
        words.index("worst 0.500") < words.index("middle 0.500") < words.index("best 0.500") < words.index("empty 0.5")
    )
    assert "Hardest is “worst” (F1 0.100), easiest “best” (0.900)." in words
    assert "1 label without rows" in words


def test_ordered_labels_say_how_far_off(report: Report, tmp_path: Path) -> None:
    found = report(write_run(tmp_path, labels=["1", "2", "3"], rows=60, ordered=True))
    assert "Labels off Labels off Rows Share 0 " in found.words("confusion")
    assert "ordered" in found.text
    assert "Labels off" not in report(write_run(tmp_path, labels=3, rows=60)).text


def test_label_names_can_be_anything(report: Report, tmp_path: Path) -> None:
    labels = ["<b>&\"'", "{0}", "$x_1^", "\u202eabc", "标签", "a\x00", "x" * 300]
    lines = [
        {"reference": label, "prediction": labels[0], "probabilities": {labels[0]: 1.0, label: 0.0}} for label in labels
    ]
    write_json(tmp_path, "metrics.json", metrics_of(labels, lines))
    found = report(tmp_path)
    assert found.wrong == []
    assert all("style" in attributes for attributes in found.all("b"))  # of the cards; no label made one
    for shown in ("&lt;b&gt;&amp;", "{0}", "$x_1^", "标签", "a␀", "x" * 17 + "…"):
        assert f">{shown}" in found.html
