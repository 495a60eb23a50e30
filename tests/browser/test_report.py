"""The report in a browser: what a reader sees and can do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.report.made import write_answers, write_json, write_lines, write_run
from textxfer.evaluation.seeds import over_seeds
from textxfer.report.html import write_report

Visit = Callable[..., Any]

SCRIPT = "<script>document.title = 'taken'</script><img src=x onerror=\"document.title = 'taken'\">"
WIDTHS = [320, 375, 1280]
TOO_WIDE = """
all => all
  .filter((one) => one.getBoundingClientRect().right > innerWidth + 1 && !one.closest(".scroll, .drawing, pre"))
  .map((one) => one.outerHTML.slice(0, 200))
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run with every section, some of whose texts are wicked."""
    folder = write_run(tmp_path_factory.mktemp("browser") / "six", labels=6, rows=300)
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    lines[0] |= {"text": SCRIPT, "reference": "sport", "prediction": "travel", "id": "wicked"}
    lines[1] |= {"text": "w" * 100_000}
    lines[2] |= {"text": "\u202enever turned around\u2067 \x00"}
    lines[3] |= {"text": "a needle in a haystack " + "and hay " * 200}
    write_lines(folder, "predictions.jsonl", lines)
    return write_report(folder)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run on questions."""
    return write_report(write_answers(tmp_path_factory.mktemp("browser") / "qa"))


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run with 77 labels of long names."""
    labels = [f"a_rather_long_name_of_a_label_{number}" for number in range(77)]
    return write_report(write_run(tmp_path_factory.mktemp("browser") / "many", labels=labels, rows=800))


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of ten seeds with eight metrics."""
    scores = {f"metric_{number}_of_a_long_name": 0.9 for number in range(8)}
    folder = tmp_path_factory.mktemp("browser") / "a_recipe_with_a_name_of_some_length_and_many_seeds"
    write_json(folder, "seeds.json", over_seeds({seed: {"test": scores} for seed in range(10)}, "accuracy"))
    return write_report(folder)


def shown(page: Any) -> list[str]:
    """Gives the texts of the rows that are to be seen."""
    rows: list[str] = page.eval_on_selector_all(
        "[data-explorer] tbody tr", "rows => rows.filter(row => row.offsetParent).map(row => row.textContent)"
    )
    return rows


def column(page: Any, place: int) -> list[str]:
    """Gives the cells of a column of the rows, from above."""
    cells: list[str] = page.eval_on_selector_all(
        f"[data-explorer] tbody tr > :nth-child({place})", "cells => cells.map(cell => cell.textContent.trim())"
    )
    return cells


@pytest.mark.parametrize("name", ["report", "answers", "many", "seeds"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_without_a_complaint_and_fits(
    visit: Visit, request: pytest.FixtureRequest, name: str, width: int, scheme: str
) -> None:
    path: Path = request.getfixturevalue(name)
    tab = visit(path, width, scheme)
    assert tab.said == []
    assert tab.asked == [path.as_uri()]
    tab.page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    assert tab.page.evaluate("document.documentElement.scrollWidth") == width
    assert tab.page.eval_on_selector_all("body *", TOO_WIDE) == []


def test_nothing_can_be_fetched_from_the_page(visit: Visit, report: Path) -> None:
    tab = visit(report)
    outcome = tab.page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'came', error => error.name)")
    assert outcome == "TypeError"
    assert any("Content Security Policy" in line for line in tab.said)
    tab.page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {text: 'document.title = \"taken\"'}))"
    )
    assert "taken" not in tab.page.title()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_figure_is_drawn(visit: Visit, report: Path, scheme: str) -> None:
    page = visit(report, scheme=scheme).page
    sizes = page.eval_on_selector_all(
        "figure svg[role=img]", "all => all.map(one => one.getBoundingClientRect().height)"
    )
    assert len(sizes) == 7
    assert min(sizes) > 80
    names = page.get_by_role("img", name="Reliability").count()
    assert names == 1
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    ink = page.eval_on_selector("#confusion svg text", "text => getComputedStyle(text).fill")
    assert (paper, ink) == {
        "light": ("rgb(255, 255, 255)", "rgb(27, 31, 36)"),
        "dark": ("rgb(20, 23, 27)", "rgb(231, 234, 238)"),
    }[scheme]


def test_a_script_in_a_text_stays_text(visit: Visit, report: Path) -> None:
    tab = visit(report)
    assert SCRIPT in tab.page.inner_text("[data-explorer]")
    assert tab.page.title() == "six · textxfer report"
    assert tab.page.locator("script").count() == 1
    assert tab.page.locator("img").count() == 0


def test_the_search_filters(visit: Visit, report: Path) -> None:
    page = visit(report).page
    assert page.inner_text("[data-shown]") == "300 of 300 rows"
    page.get_by_label("Search").fill("NEEDLE in a")
    assert page.inner_text("[data-shown]") == "1 of 300 rows"
    assert len(shown(page)) == 1
    page.get_by_label("Search").fill("no text has this")
    assert page.inner_text("[data-shown]") == "0 of 300 rows"
    page.get_by_label("Search").fill("")
    assert len(shown(page)) == 300


def test_labels_and_errors_filter_together(visit: Visit, report: Path) -> None:
    page = visit(report).page
    page.get_by_role("combobox", name="Label", exact=True).select_option("sport")
    of_label = shown(page)
    assert 0 < len(of_label) < 300
    assert all("sport" in row for row in of_label)
    page.get_by_label("only errors").check()
    errors = shown(page)
    assert 0 < len(errors) < len(of_label)
    assert page.locator("[data-explorer] tr.wrong:not([hidden])").count() == len(errors)
    page.get_by_role("combobox", name="Label", exact=True).select_option("all")
    page.get_by_label("Search").fill("taken")
    assert len(shown(page)) == 1


def test_a_click_on_a_head_sorts_and_another_turns_it_round(visit: Visit, report: Path) -> None:
    page = visit(report).page
    head = page.locator("[data-explorer] th", has_text="Confidence")
    head.get_by_role("button").click()
    first = [float(cell) for cell in column(page, 4)]
    assert first == sorted(first, reverse=True)
    assert head.get_attribute("aria-sort") == "descending"
    head.get_by_role("button").click()
    assert column(page, 4) == [f"{number:.3f}" for number in sorted(first)]
    assert head.get_attribute("aria-sort") == "ascending"


def test_the_keyboard_sorts_too(visit: Visit, report: Path) -> None:
    page = visit(report).page
    page.get_by_label("only errors").focus()
    page.keyboard.press("Tab")  # the table itself, which scrolls
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    found = column(page, 1)
    assert found == sorted(found)
    page.keyboard.press("Space")
    assert column(page, 1) == sorted(found, reverse=True)
    assert page.locator("[data-explorer] th[aria-sort]").count() == 1


def test_a_number_that_is_missing_sorts_below_all(visit: Visit, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", labels=2, rows=3)
    shares: list[dict[str, float]] = [{"business": 0.2}, {}, {"business": 0.9}]
    lines = [{"reference": "business", "prediction": "business", "probabilities": share} for share in shares]
    write_lines(folder, "predictions.jsonl", lines)
    page = visit(write_report(folder)).page
    page.locator("[data-explorer] th", has_text="Confidence").get_by_role("button").click()
    assert column(page, 3) == ["0.900", "0.200", "–"]


def test_a_long_text_opens_on_demand(visit: Visit, report: Path) -> None:
    page = visit(report).page
    page.get_by_label("Search").fill("needle in a haystack")
    text = page.locator("[data-explorer] tr:not([hidden]) details.text")
    assert "characters)" not in text.inner_text()
    text.locator("summary").click()
    assert "…(1,623 characters)" in text.inner_text()


def test_without_scripts_all_rows_are_there_and_no_dead_control(browser: Any, report: Path) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto(report.as_uri())
    assert not page.locator("[data-search]").is_visible()
    assert page.locator("[data-explorer] tbody tr").count() == 300
    page.close()


def test_answers_are_marked_and_filter_by_question_word(visit: Visit, answers: Path) -> None:
    page = visit(answers).page
    page.get_by_role("combobox", name="Question word", exact=True).select_option("when")
    assert len(shown(page)) == 12
    page.get_by_label("only errors").check()
    page.locator("[data-explorer] tr:not([hidden]) details.context:has(mark) summary").first.click()
    assert page.locator("[data-explorer] tr:not([hidden]) mark").first.is_visible()


def test_it_can_be_printed(visit: Visit, report: Path) -> None:
    page = visit(report, scheme="dark").page
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible()
    assert not page.locator("[data-search]").is_visible()
    table = page.evaluate(
        "(one => one.scrollHeight - one.clientHeight)(document.querySelector('[data-explorer] .scroll'))"
    )
    assert table <= 2
