"""The page of several seeds of one recipe."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import textxfer
from tests.unit.report.dom import Page
from tests.unit.report.made import write_json, write_run
from textxfer.__main__ import main
from textxfer.errors import OutputError
from textxfer.evaluation.seeds import over_seeds
from textxfer.report.html import render
from textxfer.report.seeds import spread_says

TEST = (0.90, 0.92, 0.97)


def runs(**splits: tuple[float, ...]) -> dict[int, Mapping[str, Any]]:
    splits = splits or {"validation": (0.95, 0.99, 0.91), "test": TEST}
    return {
        seed: {split: {"accuracy": values[row], "macro_f1": values[row] / 2} for split, values in splits.items()}
        for row, seed in enumerate((1, 2, 5))
    }


def write(folder: Path, **splits: tuple[float, ...]) -> Path:
    write_json(folder, "seeds.json", over_seeds(runs(**splits), "accuracy"))
    return folder


def test_the_page_has_each_score_with_mean_and_sd(tmp_path: Path) -> None:
    page = Page(render(write(tmp_path / "three")))
    assert page.wrong == []
    assert list(page.sections) == ["scores", "by-seed"]
    mean, sd = np.mean(TEST), np.std(TEST, ddof=1)
    assert f"sd {sd:.3f}; from 0.900 to 0.970." in page.words("scores")
    words = page.words("by-seed")
    for part in ("1 0.900 0.450", "2 (best) 0.920", "5 0.970", f"Mean {mean:.3f}", f"Sd {sd:.3f}"):
        assert part in words
    assert "2 (best) 0.990 0.495" in words
    assert f"Over 3 seeds, accuracy on test is {mean:.3f} on average, with an sd of {sd:.3f}." in page.html
    assert spread_says(float(sd), 3) in page.html


def test_it_needs_nothing_else_and_links_nowhere(tmp_path: Path) -> None:
    page = Page(render(write(tmp_path / "three")))
    assert [link["href"] for link in page.all("a")] == ["#main", *(f"#{name}" for name in page.sections)]
    assert "//" not in re.sub(r"// [A-Z][^\n]*", "", page.html)  # comments of the script apart
    assert not re.search(r"@import|url\(|\bsrc=", page.html)
    assert page.html == render(tmp_path / "three")


def test_what_the_runs_were_made_of_is_told_where_it_is_known(tmp_path: Path) -> None:
    folder = write(tmp_path / "three")
    assert "Checkpoint" not in render(folder)
    write_run(folder / "seed-2", rows=50)
    page = render(folder)
    assert "a/<wbr>checkpoint" in page
    assert "Weights kept" not in page  # that is one seed's own


@pytest.mark.parametrize(
    ("sd", "number", "sentence"),
    [
        (0.0, 3, "The seed changes nothing: all runs score the same."),
        (0.01, 3, "that differ by less than about 0.061 may differ by luck; 3 seeds give a rough idea of that only."),
        (0.01, 10, "that differ by less than about 0.032 may differ by luck."),
        (0.2, 2, "which 2 seeds are too few to judge"),
    ],
)
def test_what_the_spread_says(sd: float, number: int, sentence: str) -> None:
    assert spread_says(sd, number).endswith(sentence) or sentence in spread_says(sd, number)


def test_two_runs_of_one_recipe_rarely_differ_by_more_than_is_said() -> None:
    draws = np.random.default_rng(0).normal(0.8, 0.005, size=(4000, 7))
    said = [spread_says(float(sd), 5) for sd in draws[:, :5].std(axis=1, ddof=1)]
    least = np.array([float(re.findall(r"about (\d\.\d+)", sentence)[0]) for sentence in said])
    within = np.mean(np.abs(draws[:, 5] - draws[:, 6]) < least)
    assert within == pytest.approx(0.95, abs=0.015)


def test_without_a_test_split_the_page_says_so(tmp_path: Path) -> None:
    page = Page(render(write(tmp_path / "three", validation=TEST)))
    assert list(page.sections) == ["scores", "by-seed"]
    assert "There was no test split" in page.html


def test_without_any_split_the_page_says_so(tmp_path: Path) -> None:
    write_json(tmp_path, "seeds.json", over_seeds({1: {}, 2: {}}, "accuracy"))
    page = Page(render(tmp_path))
    assert list(page.sections) == []
    assert "nothing says how good the models are" in page.html


def test_without_validation_no_seed_is_the_best(tmp_path: Path) -> None:
    page = render(write(tmp_path / "three", test=TEST))
    assert "Best on validation" not in page
    assert "(best)" not in page


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "cannot be read"),
        ("[]", "it holds no JSON object"),
        ('{"seeds": [1, 2]}', "it has no 'best_seed'"),
        (
            '{"seeds": [1, 2], "best_seed": 1, "test": {"accuracy": {"mean": 1, "sd": 0, "values": [1]}}}',
            "a score is missing for one of the seeds",
        ),
    ],
)
def test_a_damaged_file_is_an_error(content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "seeds.json").write_text(content)
    with pytest.raises(OutputError, match=re.escape(words)):
        render(tmp_path)


def test_a_run_keeps_its_own_report_beside_seeds(tmp_path: Path) -> None:
    write_run(tmp_path / "run", rows=50)
    before = render(tmp_path / "run")
    write(tmp_path / "run")
    assert render(tmp_path / "run") == before


def test_a_recipe_with_seeds_has_the_page_and_the_command_makes_it_again(
    recipe: Any, reviews: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    result = textxfer.run_recipe(recipe(train={"seeds": [1, 2], "epochs": 1}), splits=reviews)
    path = result.folder / "report.html"
    page = path.read_text(encoding="utf-8")
    mean = result.metrics["validation"]["accuracy"]["mean"]
    assert f"accuracy on validation is {mean:.3f} on average" in page
    path.unlink()
    assert main(["report", str(result.folder)]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    assert path.read_text(encoding="utf-8") == page
