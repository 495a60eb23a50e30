"""Run folders of which something is missing, old or damaged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.report.dom import Page
from tests.unit.report.made import metrics_of, predictions, write_json, write_lines
from textxfer.errors import OutputError
from textxfer.report.html import render

Report = Callable[[Path], Page]


@pytest.fixture
def copy(full: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(full, tmp_path / "copy"))


def change(folder: Path, **keys: Any) -> None:
    """Sets keys of metrics.json; None takes one away."""
    metrics = json.loads((folder / "metrics.json").read_text()) | keys
    write_json(folder, "metrics.json", {key: value for key, value in metrics.items() if value is not None})


@pytest.mark.parametrize(
    ("file", "gone"),
    [
        ("log.jsonl", {"learning"}),
        ("predictions.jsonl", {"slices", "rows"}),
        ("findings.json", {"data"}),
        ("suspects.csv", set()),
        ("suspects.json", set()),
        ("environment.json", set()),
        ("recipe.yaml", set()),
    ],
)
def test_a_missing_file_takes_no_more_than_its_sections(
    copy: Path, page: Page, report: Report, file: str, gone: set[str]
) -> None:
    (copy / file).unlink()
    found = report(copy)
    assert set(page.sections) - set(found.sections) == gone
    assert "cannot be read" not in found.text


def test_without_suspects_the_report_says_how_to_look_for_them(copy: Path, report: Report) -> None:
    (copy / "suspects.csv").unlink()
    words = report(copy).words("suspects")
    assert "did not look for training rows whose label is probably wrong" in words
    assert "textxfer suspects RUN" in words


@pytest.mark.parametrize(
    "told",
    [
        "which of 90 training rows bear the wrong label cannot be told (the probes foretell 50.0%); none is named",
        "none of 500 training rows seems to bear the wrong label; none is named",
    ],
)
def test_where_no_row_is_named_the_report_says_what_was_found(told: str, copy: Path, report: Report) -> None:
    (copy / "suspects.csv").write_text("id,text,given,suggested,score,drop,weight\n")
    write_json(copy, "suspects.json", {"message": told})
    assert f"{told[0].upper()}{told[1:]}." in report(copy).words("suspects")


def test_the_list_of_an_older_run_has_no_sentence(copy: Path, report: Report) -> None:
    (copy / "suspects.json").unlink()
    words = report(copy).words("suspects")
    assert "130 training rows may bear the wrong label. The first 100 are below; suspects.csv has all." in words
    (copy / "suspects.csv").write_text("id,text,given,suggested,score,drop,weight\n")
    assert "No training row is named." in report(copy).words("suspects")


@pytest.mark.parametrize(
    ("key", "gone"),
    [
        ("confusion", {"confusion"}),  # suspects.csv is there
        ("per_label", {"labels"}),
        ("calibration", set()),
        ("selective", set()),
        ("intervals", set()),
        ("detectable", set()),
        ("without_leaks", set()),
        ("overfitting", set()),
        ("timing", set()),
        ("validation", set()),
        ("num_examples", set()),
        ("total_parameters", set()),
        ("best_step", set()),
    ],
)
def test_a_missing_key_takes_no_more_than_its_section(
    copy: Path, page: Page, report: Report, key: str, gone: set[str]
) -> None:
    change(copy, **{key: None})
    assert set(page.sections) - set(report(copy).sections) == gone


def test_metrics_alone_are_enough(report: Report, tmp_path: Path) -> None:
    write_json(tmp_path, "metrics.json", {"format": 1, "test": {"accuracy": 0.75}, "num_examples": {"test": 8}})
    found = report(tmp_path)
    assert list(found.sections) == ["scores"]
    assert "The model is right on 6 of 8 test rows: accuracy 0.750." in found.text


def test_without_a_test_split_validation_is_shown(copy: Path, report: Report) -> None:
    change(copy, test=None, num_examples={"train": 10, "validation": 20})
    assert "There was no test split: the model was chosen by these validation scores" in report(copy).text


def test_without_any_split_the_page_says_so(report: Report, tmp_path: Path) -> None:
    write_json(tmp_path, "metrics.json", {"format": 1, "num_examples": {"train": 10}})
    assert "There was no test and no validation split" in report(tmp_path).text


def test_old_predictions_have_no_texts(report: Report, tmp_path: Path) -> None:
    lines = predictions(["bad", "good"], 30, text=False)
    write_json(tmp_path, "metrics.json", metrics_of(["bad", "good"], lines))
    write_lines(tmp_path, "predictions.jsonl", lines)
    found = report(tmp_path)
    assert "Reference Prediction Confidence In reference Row" in found.words("rows")
    assert "By length" not in found.words("slices")


def test_predictions_without_reference_probabilities_or_id_are_shown(report: Report, tmp_path: Path) -> None:
    write_json(tmp_path, "metrics.json", {"format": 1, "test": {"accuracy": 0.5}})
    write_lines(tmp_path, "predictions.jsonl", [{"prediction": "good", "text": "fine"}])
    found = report(tmp_path)
    assert "slices" not in found.sections
    assert "No error on 0 rows. All rows are below." in found.words("rows")
    assert "– good fine – –" in found.words("rows")


@pytest.mark.parametrize(
    ("file", "content", "note"),
    [
        ("predictions.jsonl", '{"id": 1}\n[]\n{"prediction": "x"\n', "predictions.jsonl: 3 lines cannot be read"),
        ("log.jsonl", '{"step": 1, "loss": 2.0}\n{"step": 2, "lo', "log.jsonl: 1 line cannot be read"),
        ("findings.json", "[1]", "findings.json cannot be read and is left out: it holds no JSON object"),
        ("environment.json", "{", "environment.json cannot be read and is left out"),
        ("suspects.json", "{", "suspects.json cannot be read and is left out"),
        ("recipe.yaml", "a: [1", "recipe.yaml cannot be read and is left out"),
        ("suspects.csv", "id,text\n1," + "x" * 200_000, "suspects.csv cannot be read and is left out"),
    ],
)
def test_a_damaged_file_is_left_out_and_named(copy: Path, report: Report, file: str, content: str, note: str) -> None:
    (copy / file).write_text(content)
    found = report(copy)
    assert note in found.text
    assert "Traceback" not in found.text


def test_a_folder_without_metrics_is_an_unfinished_run(copy: Path) -> None:
    (copy / "metrics.json").unlink()
    with pytest.raises(OutputError, match=r"metrics\.json: there is no such file: the run has not finished"):
        render(copy)


def test_a_folder_that_is_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"this is no run folder; name the folder of a finished run"):
        render(tmp_path / "nowhere")


@pytest.mark.parametrize("content", ["{", "[]"])
def test_damaged_metrics_are_an_error(copy: Path, content: str) -> None:
    (copy / "metrics.json").write_text(content)
    with pytest.raises(OutputError, match=r"metrics\.json: cannot be read: .*--overwrite"):
        render(copy)


def test_without_calibration_and_risk_there_is_no_such_section(copy: Path, report: Report) -> None:
    change(copy, calibration=None, selective=None)
    assert "confidence" not in report(copy).sections


def test_an_uncalibrated_model_says_so(copy: Path, report: Report) -> None:
    calibration = json.loads((copy / "metrics.json").read_text())["calibration"]
    bins = {when: calibration["bins"]["after"] for when in ("before", "after")}
    change(copy, calibration=calibration | {"temperature": None, "after": calibration["before"], "bins": bins})
    found = report(copy)
    assert "Not calibrated: as trained, the calibration error on validation is 0.118." in found.words("confidence")
    assert "the saved model" in found.words("confidence")


def test_it_says_why_a_model_is_not_calibrated(copy: Path, report: Report) -> None:
    calibration = json.loads((copy / "metrics.json").read_text())["calibration"]
    note = "not calibrated: validation has 99 rows, and fewer than 100 say too little; give it more"
    change(copy, calibration=calibration | {"temperature": None, "after": calibration["before"], "notes": [note]})
    words = report(copy).words("confidence")
    assert f"N{note[1:]}. As trained, the calibration error on validation is 0.118." in words


def test_each_label_may_have_its_temperature(copy: Path, report: Report) -> None:
    calibration = json.loads((copy / "metrics.json").read_text())["calibration"]
    change(copy, calibration=calibration | {"temperature": [1.0, 2.0]})
    assert "Calibrated by a temperature for each label" in report(copy).words("confidence")


def test_checks_that_found_nothing_say_so(copy: Path, report: Report) -> None:
    write_json(copy, "findings.json", {"num_rows": {"train": 3}, "findings": []})
    assert "The checks found nothing that should be known." in report(copy).words("data")


@pytest.mark.parametrize(
    ("kept", "scores", "said"),
    [
        (199, {"accuracy": 0.5}, "1 test row is also in train, or nearly so. On the other 199: accuracy 0.500."),
        (0, {}, "200 test rows are also in train, or nearly so."),
    ],
)
def test_leaks_are_told(copy: Path, report: Report, kept: int, scores: dict[str, float], said: str) -> None:
    change(copy, without_leaks={"rows": kept, "test": scores})
    assert f"Scores {said} Scores are fractions" in report(copy).words("scores")
