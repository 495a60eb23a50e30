"""Mistakes that are told together."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from textxfer.errors import CheckpointError, RecipeError, TextxferError, all_at_once


def raising(error: Exception) -> Callable[[], None]:
    def check() -> None:
        raise error

    return check


def test_all_mistakes_are_told_each_once() -> None:
    first, second = CheckpointError("one", "two"), RecipeError("two", "three")
    with pytest.raises(CheckpointError) as caught:
        all_at_once(lambda: 1, raising(first), lambda: None, raising(second))
    assert caught.value.lines == ("one", "two", "three")
    assert caught.value.in_one_line == "one; two; three"
    assert caught.value.__cause__ is first


def test_one_mistake_is_the_error_itself() -> None:
    error = TextxferError("one")
    with pytest.raises(TextxferError) as caught:
        all_at_once(raising(error), lambda: None)
    assert caught.value is error


def test_none_and_bugs() -> None:
    all_at_once(lambda: None)
    with pytest.raises(ZeroDivisionError):
        all_at_once(raising(RecipeError("one")), raising(ZeroDivisionError()))
