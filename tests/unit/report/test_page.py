"""The page as a whole: what stands on it, that it needs nothing else, that it is the same every time."""

from __future__ import annotations

import base64
import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.unit.report.dom import Page
from textxfer.report.html import render, write_report

SECTIONS = ["scores", "learning", "confusion", "labels", "confidence", "slices", "rows", "data", "suspects", "origin"]
FIGURES = ["curve-loss", "curve-macro_f1", "curve-calibration_error", "matrix", "labels-bars", "reliability", "risk"]


def test_every_section_is_there_in_order(page: Page) -> None:
    assert list(page.sections) == SECTIONS
    assert [link["href"] for link in page.all("a")] == ["#main", *(f"#{name}" for name in SECTIONS)]


def test_tags_are_closed_and_ids_are_the_only_ones(page: Page) -> None:
    assert page.wrong == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = re.findall(r"url\(#([^)]*)\)", page.html) + re.findall(r'href="#([^"]*)"', page.html)
    used += [name for _, found in page.elements for name in (found.get("aria-labelledby") or "").split()]
    assert set(used) <= set(ids)


def test_nothing_comes_from_outside(page: Page) -> None:
    without_namespace = page.html.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "//" not in re.sub(r"// [A-Z][^\n]*", "", without_namespace)  # comments of the script apart
    assert not re.search(r"@import|url\((?!#)|\bsrc=", page.html)


def test_only_its_own_script_may_run_and_nothing_may_connect(page: Page) -> None:
    script = re.search(r"<script>(.*?)</script>", page.html, re.DOTALL)
    assert script is not None
    assert page.html.count("<script") == 1
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    policy = str(page.all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"])
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy
    assert page.html.index("Content-Security-Policy") < page.html.index("<style>")


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_can_be_heard(page: Page, name: str) -> None:
    assert len(page.all("svg", role="img", **{"aria-labelledby": f"{name}-title {name}-text"})) == 1
    assert page.all("title", id=f"{name}-title")
    words = re.search(rf'<desc id="{name}-text">([^<]*)</desc>', page.html)
    assert words is not None
    assert len(words[1]) > 10
    assert not re.search(r"nan|None", words[1])


def test_figures_take_the_colours_of_the_page(page: Page) -> None:
    drawings = re.findall(r"<svg.*?</svg>", page.html, re.DOTALL)
    assert len(drawings) == len(FIGURES)
    for drawing in drawings:
        assert set(re.findall(r"#[0-9a-f]{6}\b", drawing)) == set()
        assert "var(--first)" in drawing
        assert "font-family" not in drawing


def test_the_verdict_is_what_the_files_say(page: Page) -> None:
    assert "The model is right on 115 of 200 test rows: accuracy 0.575 (95 % interval 0.545 to 0.605)." in page.text
    assert "Train loss fell to 0.11 while validation stayed at 0.52: try fewer epochs." in page.text
    assert "7 test rows are also in train, or nearly so. On the other 193: accuracy 0.564, macro F1" in page.words(
        "scores"
    )


def test_the_cards_say_how_sure_a_score_is(page: Page) -> None:
    words = page.words("scores")
    assert "Accuracy 0.575 0.545 to 0.605 The share of rows that are right" in words
    assert "Validation: 0.569. Two models must differ by about 0.042 to be told apart by so many rows." in words
    assert "Calibration error 0.040" in words


def test_confidence_says_what_calibration_did(page: Page) -> None:
    words = page.words("confidence")
    assert "by temperature 1.62, which took the loss on validation from 0.610 to 0.520," in words
    assert "the calibration error from 0.118 to 0.041." in words
    assert "The area under it is 0.031" in words


def test_data_checks_and_suspects_are_shown(page: Page) -> None:
    words = page.words("data")
    assert "test: 7 of 200 rows (3.5%) stand in train too" in words
    assert "1 example Split Row Text About test test-4 the soup came cold equals train row 9" in words
    assert "travel has 12 times as many rows as culture" in words
    assert "About 210 of 4,800 training rows (4.4%) may bear the wrong label;" in page.words("suspects")
    assert "the 130 most doubtful are named. The first 100 are below; suspects.csv has all." in page.words("suspects")
    assert "train-99" in page.words("suspects")
    assert "train-100 " not in page.words("suspects")


def test_the_recipe_and_the_environment_are_there(page: Page) -> None:
    words = page.words("origin")
    assert "checkpoint: id: a/checkpoint revision: null" in words
    assert "dataset: path: full hub: null" in words, "local files are told by name"
    assert "packages.torch 2.6" in words
    assert "python -m textxfer.run recipe.yaml name=again" in words


def test_the_same_files_give_the_same_page_from_every_thread(full: Path, page: Page) -> None:
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(render, [full] * 4)) == {page.html}


def test_drawing_leaves_the_settings_of_others_alone(full: Path) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    render(full)
    assert dict(matplotlib.rcParams) == before


def test_the_report_is_written_into_the_folder(full: Path, page: Page) -> None:
    path = write_report(full)
    try:
        assert path == full / "report.html"
        assert path.read_text(encoding="utf-8") == page.html
        assert [found.name for found in full.glob(".*")] == []
    finally:
        path.unlink()
