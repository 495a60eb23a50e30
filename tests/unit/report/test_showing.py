"""Numbers and texts as the page shows them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from tests.unit.report.dom import Page
from textxfer.report import words
from textxfer.report.showing import breakable, count, isolated, plural, score, shortened, unfolding, visible


@pytest.mark.parametrize(
    ("value", "shown"), [(0.12345, "0.123"), (1, "1.000"), (-0.5, "−0.500"), (None, "–"), (math.nan, "–")]
)
def test_a_score_has_three_digits(value: float | None, shown: str) -> None:
    assert score(value) == shown


def test_counts_have_commas() -> None:
    assert count(12345) == "12,345"
    assert plural(1, "row") == "1 row"
    assert plural(2000, "row") == "2,000 rows"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x00b", "a␀b"),
        ("\x1b[31m", "␛[31m"),
        ("\x7f", "␡"),
        ("\x85", "\ufffd"),
        ("\ud800", "\ufffd"),
        ("a\tb", "a\tb"),
    ],
)
def test_control_characters_are_symbols(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text())
def test_symbols_move_no_character_and_can_be_written(text: str) -> None:
    assert len(visible(text)) == len(text)
    visible(text).encode()


@given(st.text())
def test_any_text_comes_back_out_of_the_page(text: str) -> None:
    for shown in (isolated(text), unfolding(text)):
        taken = Page(str(shown))
        assert taken.text == visible(text)
        assert {tag for tag, _ in taken.elements} <= {"bdi", "details", "summary"}
        assert taken.wrong == []


def test_a_long_text_unfolds_at_a_space() -> None:
    text = "word " * 200
    assert str(unfolding(text)).startswith("<details class=text><summary><bdi>word word")
    assert Page(str(unfolding(text))).text == text


def test_markup_of_our_own_stays() -> None:
    assert unfolding(Markup("<b>x</b>")) == "<b>x</b>"


def test_a_text_that_is_cut_says_how_long_it_was() -> None:
    assert shortened("x" * 100_000, 5) == "xxxxx…(100,000 characters)"
    assert shortened("x" * 10, 5, 100_000) == "xxxxx…(100,000 characters)"
    assert shortened("x" * 5, 5) == "xxxxx"


@pytest.mark.parametrize(
    ("metric", "title", "within"),
    [
        ("accuracy", "Accuracy", "accuracy"),
        ("macro_f1", "Macro F1", "macro F1"),
        ("f1", "F1", "F1"),
        ("my_own", "My own", "my own"),
    ],
)
def test_metrics_have_names_in_words(metric: str, title: str, within: str) -> None:
    assert (words.title(metric), words.within(metric)) == (title, within)


def test_a_metric_says_what_it_means_where_that_is_known() -> None:
    assert words.meaning("macro_f1").startswith("The mean of the labels' F1")
    assert words.meaning("of_a_plugin_that_is_gone") == ""


def test_a_name_may_go_on_in_a_new_line_after_a_slash() -> None:
    assert breakable("a<b/c\0/d") == "<bdi>a&lt;b/<wbr>c\u2400/<wbr>d</bdi>"
