"""What a run does after its last step: calibration, label sets, intervals, findings and the report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import textxfer
from textxfer.report import html


def noisy(reviews: list[dict[str, Any]], count: int, flip: int = 6) -> list[dict[str, Any]]:
    """Gives rows that differ from each other, of which every sixth has the wrong label."""
    other = {"good": "bad", "bad": "good"}
    rows = []
    for number in range(count):
        row = reviews[number % len(reviews)]
        label = other[row["label"]] if number % flip == 0 else row["label"]
        own = " ".join(f"{number * prime % 9973:x}" for prime in (7, 11, 13, 17, 19, 23, 29, 31))
        rows.append({"text": f"{row['text']} {own}", "label": label})
    return rows


@pytest.fixture
def splits(reviews: list[dict[str, Any]]) -> dict[str, Any]:
    rows = noisy(reviews, 700)
    return {"train": rows[:200], "validation": rows[200:550], "test": rows[550:]}


def test_a_third_of_validation_is_reserved_and_sets_the_label_sets(
    recipe: Callable[..., dict[str, Any]], splits: dict[str, Any]
) -> None:
    result = textxfer.run_recipe(recipe(), splits=splits)
    assert result.metrics["num_examples"] == {"train": 200, "validation": 234, "test": 150, "reserved": 116}
    config = json.loads((result.model / "config.json").read_text())["textxfer"]
    assert config["conformal"]["rows"] == 116
    sets = textxfer.pipeline(result.model)([row["text"] for row in splits["test"]], coverage=0.9)
    covered = [
        row["label"] in {each["label"] for each in found} for row, found in zip(splits["test"], sets, strict=True)
    ]
    assert sum(covered) / len(covered) > 0.8


def test_the_saved_model_is_the_one_that_was_judged(
    recipe: Callable[..., dict[str, Any]], splits: dict[str, Any]
) -> None:
    result = textxfer.run_recipe(recipe(), splits=splits)
    assert result.metrics["calibration"]["temperature"] is not None
    lines = [json.loads(line) for line in (result.folder / "predictions.jsonl").read_text().splitlines()]
    found = textxfer.pipeline(result.model)([row["text"] for row in splits["test"]], top_k=None)
    for line, scores in zip(lines, found, strict=True):
        assert {each["label"]: each["score"] for each in scores} == pytest.approx(line["probabilities"], abs=1e-5)


def test_calibrate_off_saves_the_model_as_it_was_trained(
    recipe: Callable[..., dict[str, Any]], splits: dict[str, Any]
) -> None:
    plain = textxfer.run_recipe(recipe(calibrate="off"), splits=splits)
    assert "calibration" not in plain.metrics
    assert plain.metrics["num_examples"]["validation"] == 350
    assert "conformal" not in json.loads((plain.model / "config.json").read_text())["textxfer"]


def test_scores_are_given_again_without_test_rows_that_are_in_train(
    recipe: Callable[..., dict[str, Any]], splits: dict[str, Any]
) -> None:
    splits["test"] = splits["test"] + splits["train"][:30]
    result = textxfer.run_recipe(recipe(), splits=splits)
    without = result.metrics["without_leaks"]
    assert without["intervals"].keys() <= without["test"].keys()
    assert all(low <= without["test"][name] <= high for name, (low, high) in without["intervals"].items())
    assert "accuracy" in without["intervals"]
    assert without["rows"] == 150
    lines = [json.loads(line) for line in (result.folder / "predictions.jsonl").read_text().splitlines()][:150]
    right = sum(line["reference"] == line["prediction"] for line in lines)
    assert without["test"]["accuracy"] == pytest.approx(right / 150)
    found = json.loads((result.folder / "findings.json").read_text())
    assert found["leaked_test_rows"] == 30


def test_a_report_that_fails_does_not_lose_the_run(
    recipe: Callable[..., dict[str, Any]], splits: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: Path) -> Path:
        raise ValueError("no ink")

    monkeypatch.setattr(html, "write_report", fail)
    notes: list[str] = []

    class Notes(textxfer.Observer):
        def on_note(self, note: str) -> None:
            notes.append(note)

    told = recipe()
    result = textxfer.run_recipe(told, splits=splits, observers=[Notes()])
    assert (result.folder / "metrics.json").exists()
    assert any("no report was written (ValueError: no ink)" in note for note in notes)
    monkeypatch.undo()
    textxfer.run_recipe(told, splits=splits, resume=True)
    assert (result.folder / "report.html").exists()
