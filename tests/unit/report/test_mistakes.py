"""The rows that the page holds, and how texts of all kinds stand in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.report.dom import Page
from tests.unit.report.made import predictions, write_json, write_lines, write_run
from textxfer.report.mistakes import MOST_ROWS, MOST_WRONG

Report = Callable[[Path], Page]


def shown_rows(found: Page) -> int:
    return sum("data-tags" in attributes for tag, attributes in found.elements if tag == "tr")


def wrong_rows(found: Page) -> int:
    return len(found.all("tr", class_="wrong"))


def test_the_surest_errors_come_first(report: Report, tmp_path: Path) -> None:
    write_json(tmp_path, "metrics.json", {"format": 1, "test": {"accuracy": 0.5}})
    lines = [
        {"id": f"row{number}", "reference": reference, "prediction": "good", "probabilities": {"good": share}}
        for number, (reference, share) in enumerate([("bad", 0.6), ("good", 0.9), ("bad", 0.99), ("good", 0.5)])
    ]
    write_lines(tmp_path, "predictions.jsonl", lines)
    words = report(tmp_path).words("rows")
    assert [words.index(f"row{number}") for number in (2, 0, 3, 1)] == sorted(
        words.index(f"row{number}") for number in range(4)
    )
    assert "2 errors on 4 rows. All rows are below." in words


@pytest.mark.parametrize(("rows", "right", "errors"), [(300, 0.9, None), (800, 0.99, None), (2000, 0.0, MOST_WRONG)])
def test_at_most_so_many_rows_are_embedded(
    report: Report, tmp_path: Path, rows: int, right: float, errors: int | None
) -> None:
    write_json(tmp_path, "metrics.json", {"format": 1, "test": {"accuracy": right}})
    lines = predictions(["a", "b", "c"], rows, right)
    write_lines(tmp_path, "predictions.jsonl", lines)
    found = report(tmp_path)
    wrong = sum(line["reference"] != line["prediction"] for line in lines)
    assert shown_rows(found) == min(rows, MOST_ROWS)
    assert wrong_rows(found) == (wrong if errors is None else errors)
    left_out = f"{rows - MOST_ROWS:,} rows are left out (predictions.jsonl has all)."
    assert (left_out in found.words("rows")) == (rows > MOST_ROWS)


def test_where_all_is_wrong_all_places_go_to_errors(report: Report, tmp_path: Path) -> None:
    write_json(tmp_path, "metrics.json", {"format": 1, "test": {"accuracy": 0.0}})
    write_lines(tmp_path, "predictions.jsonl", [{"reference": "a", "prediction": "b"} for _ in range(600)])
    assert wrong_rows(report(tmp_path)) == MOST_ROWS


TEXTS = {
    "markup": ("<script>alert(1)</script><img src=x onerror=alert(1)>", "&lt;script&gt;alert(1)&lt;/script&gt;&lt;img"),
    "the end of a comment and of a style": ("--></style></table>", "--&gt;&lt;/style&gt;&lt;/table&gt;"),
    "templates": ("{{ 7 * 7 }} {% raw %}", "{{ 7 * 7 }} {% raw %}"),
    "bidi marks": ("\u202eevil\u2066", "<bdi>\u202eevil\u2066</bdi>"),
    "NUL": ("a\x00b\x1b", "a␀b␛"),
    "a lone surrogate": ("a\ud800b", "a\ufffdb"),
    "100,000 characters": ("lang " * 20_000, "…(100,000 characters)"),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_texts_of_all_kinds_stay_texts(report: Report, tmp_path: Path, kind: str) -> None:
    text, shown = TEXTS[kind]
    write_json(tmp_path, "metrics.json", {"format": 1, "test": {"accuracy": 0.0}})
    line = {"id": text[:300], "reference": "a", "prediction": "b", "text": text, "text_pair": text, "column": text[:20]}
    write_lines(tmp_path, "predictions.jsonl", [line, line | {"column": "else"}])
    write_json(
        tmp_path, "findings.json", {"findings": [{"message": text, "examples": [{"text": text, "about": text}]}]}
    )
    (tmp_path / "suspects.csv").write_text(
        'id,text,given,suggested,score,drop\n1,"' + text[:99].replace("\x00", "").replace("\ud800", "") + '",a,b,0.5,\n'
    )
    found = report(tmp_path)
    assert found.wrong == []
    assert found.html.count("<script") == 1
    assert found.all("img") == []
    assert shown in found.html
    assert len(found.html) < 300_000
    found.html.encode()


def test_ten_thousand_rows_of_long_texts_stay_under_two_megabytes(report: Report, tmp_path: Path) -> None:
    write_run(tmp_path, labels=4, rows=600)
    lines = [
        line | {"text": "漢字" * 2000, "text_pair": "漢字" * 2000} for line in predictions(["a", "b", "c", "d"], 600)
    ]
    write_lines(tmp_path, "predictions.jsonl", lines)
    assert len(report(tmp_path).html.encode()) < 2_000_000
