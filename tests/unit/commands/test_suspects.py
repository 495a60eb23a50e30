"""`textxfer suspects`: a list to review, and the recipe field that heeds it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from textxfer.recipe.loading import load_recipe
from textxfer.recipe.writing import to_yaml


@pytest.fixture
def written(recipe: Callable[..., Any], write_csv: Callable[..., Path], reviews: Any, tmp_path: Path) -> str:
    write_csv(tmp_path / "rows.csv", reviews)
    (tmp_path / "r.yaml").write_text(to_yaml(recipe(dataset={"path": "rows.csv"})))
    return "r.yaml"


def test_a_list_is_written_and_its_top_shown(shell: Callable[..., Any], written: str, tmp_path: Path) -> None:
    code, out, err = shell("suspects", written, "--top", "12", "-o", "list.csv")
    assert (code, err.count("Error")) == (0, 0)
    assert len((tmp_path / "list.csv").read_text(encoding="utf-8-sig").splitlines()) == 13
    assert out.startswith("32 rows of train; about ")
    assert out.count(" -> ") == 11  # ten, and the head
    assert "list.csv: 12 rows, the most doubtful first. Write x in the column `drop`" in out


def test_a_list_that_is_there_is_kept(shell: Callable[..., Any], written: str, tmp_path: Path) -> None:
    (tmp_path / "suspects.csv").write_text("marks")
    code, _, err = shell("suspects", written)
    assert code == 2
    assert "suspects.csv: is there already, perhaps with marks in it; --overwrite replaces it" in err
    assert (tmp_path / "suspects.csv").read_text() == "marks"
    assert shell("suspects", written, "--overwrite")[0] == 0


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
