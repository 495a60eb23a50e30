"""`textxfer suspects`: a list to review, and the recipe field that heeds it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from textxfer.recipe.loading import load_recipe
from textxfer.recipe.writing import to_yaml
from textxfer.training.stopping import StopRequested


@pytest.fixture
def written(recipe: Callable[..., Any], write_csv: Callable[..., Path], reviews: Any, tmp_path: Path) -> str:
    write_csv(tmp_path / "rows.csv", reviews)
    (tmp_path / "r.yaml").write_text(to_yaml(recipe(dataset={"path": "rows.csv"})))
    return "r.yaml"


def test_a_list_is_written_and_its_top_shown(shell: Callable[..., Any], written: str, tmp_path: Path) -> None:
    code, out, err = shell("suspects", written, "--top", "12", "-o", "list.csv")
    assert (code, err.count("Error")) == (0, 0)
    assert len((tmp_path / "list.csv").read_text(encoding="utf-8-sig").splitlines()) == 13
    assert out.startswith("at a rough guess ")
    assert " of 32 training rows " in out
    assert "the wrong label (16 rows a label are few); the 12 most doubtful are named" in out
    assert out.count(" -> ") == 11  # ten, and the head
    assert (
        "list.csv: 12 rows, the most doubtful first (--top N: as many as you say). Write x in the\ncolumn `drop`" in out
    )


def test_a_list_that_is_there_is_kept(shell: Callable[..., Any], written: str, tmp_path: Path) -> None:
    (tmp_path / "suspects.csv").write_text("marks")
    code, _, err = shell("suspects", written)
    assert code == 2
    assert "suspects.csv: is there already, perhaps with marks in it; --overwrite replaces it" in err
    assert (tmp_path / "suspects.csv").read_text() == "marks"
    assert shell("suspects", written, "--overwrite")[0] == 0


def test_the_list_of_a_run_goes_into_its_report(shell: Callable[..., Any], written: str, tmp_path: Path) -> None:
    assert shell("run", written, "name=a", "train.max_steps=1")[0] == 0
    page = tmp_path / "runs" / "a" / "report.html"
    assert "did not look for training rows" in page.read_text()
    code, out, _ = shell("suspects", "runs/a", "--top", "3")
    assert code == 0
    assert out.strip().endswith("report.html")
    assert len((tmp_path / "runs" / "a" / "suspects.csv").read_text(encoding="utf-8-sig").splitlines()) == 4
    told = out.splitlines()[0]
    assert "of 32 training rows " in told
    assert told.endswith("; the 3 most doubtful are named, and many of them may be right")
    assert f"{told[0].upper()}{told[1:]}." in page.read_text()
    code, _, err = shell("run", written, "name=a", "dataset.drop=runs/a/suspects.csv", "--overwrite")
    assert code == 2
    assert "lies in the run folder that --overwrite replaces; copy it elsewhere" in err


def test_a_folder_that_holds_no_run(shell: Callable[..., Any], written: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, _, err = shell("suspects", "empty")
    assert code == 2
    assert "empty: holds no finished run" in err


@pytest.mark.parametrize(
    ("wanted", "lowest", "there"), [("auto", 10, True), ("auto", 100, False), ("on", 100, True), ("off", 10, False)]
)
def test_a_run_looks_for_suspects_where_that_is_cheap_or_asked_for(
    shell: Callable[..., Any],
    written: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wanted: str,
    lowest: int,
    there: bool,
) -> None:
    monkeypatch.setattr("textxfer.evaluation.wrong_labels.LEAST_ROWS_A_LABEL", lowest)
    monkeypatch.setattr("textxfer.evaluation.suspects.CHEAP_SHARE", 1e6)
    code, _, err = shell("run", written, "name=b", "train.epochs=4", f"suspects={wanted}")
    assert code == 0
    assert (tmp_path / "runs" / "b" / "suspects.csv").exists() == there
    assert ("the wrong label" in err) == ("(suspects.csv; looking took" in err) == there
    if there:
        told = err.partition("suspects: ")[2].partition(" (suspects.csv")[0]
        assert json.loads((tmp_path / "runs" / "b" / "suspects.json").read_text())["message"] == told
        assert f"{told[0].upper()}{told[1:]}." in (tmp_path / "runs" / "b" / "report.html").read_text()


def test_a_look_that_fails_costs_no_run(
    shell: Callable[..., Any], written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr("textxfer.evaluation.suspects.suspects", fail)
    code, _, err = shell("run", written, "name=c", "train.max_steps=1", "suspects=on")
    assert code == 0
    assert "no look for suspects (MemoryError: no room)" in err
    assert (tmp_path / "runs" / "c" / "report.html").exists()


def test_a_look_that_is_stopped_leaves_the_finished_run(
    shell: Callable[..., Any], written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise StopRequested(2)

    monkeypatch.setattr("textxfer.evaluation.suspects.suspects", stop)
    code, _, err = shell("run", written, "name=d", "train.max_steps=1", "suspects=on")
    assert code == 0
    assert "the look for suspects was stopped; the run has finished" in err
    assert (tmp_path / "runs" / "d" / "report.html").exists()


def test_suspects_of_label_sets_cannot_be_asked_for(shell: Callable[..., Any], written: str) -> None:
    code, _, err = shell(
        "check", written, "suspects=on", "task={name: topic, multi_label: true}", "dataset.label_delimiter=;"
    )
    assert code == 2
    assert "is `on`, but suspects can be found only where each row has one label" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--top", "0"], "--top: must be 1 or more, not 0"),
        (
            ["task={name: topic, multi_label: true}", "dataset.label_delimiter=;"],
            "suspects can be found where each row",
        ),
    ],
)
def test_what_cannot_be(arguments: list[str], message: str, shell: Callable[..., Any], written: str) -> None:
    code, _, err = shell("suspects", written, *arguments)
    assert code == 2
    assert message in err


def test_drop_is_relative_to_the_recipe_and_belongs_to_its_data(written: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("extends: r.yaml\ndataset: {drop: list.csv}\n")
    recipe = load_recipe(tmp_path / "c.yaml")
    assert recipe.dataset.drop == str(tmp_path / "list.csv")
    assert recipe.resolved(tmp_path / "runs" / "a")["dataset"]["drop"] == "../../list.csv"
    (tmp_path / "d.yaml").write_text("extends: c2.yaml\ndataset: {path: other.csv}\n")
    (tmp_path / "c2.yaml").write_text(
        (tmp_path / "r.yaml").read_text().replace("dataset:", "dataset:\n  drop: list.csv")
    )
    assert load_recipe(tmp_path / "d.yaml").dataset.drop is None
