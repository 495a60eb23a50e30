"""YAML's traps, and what YAML itself allows too much of."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textxfer.errors import RecipeError
from textxfer.recipe.loading import load_recipe
from textxfer.recipe.reading import read_text, read_value
from textxfer.recipe.writing import to_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((word, word) for word in ("yes", "no", "on", "off", "Yes", "NO", "On", "OFF", "y", "n")),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("5e-5", 5e-5),
        ("1E5", 1e5),
        (".5", 0.5),
        ("1.", 1.0),
        ("012", 12),
        ("0x1F", "0x1F"),
        ("0o17", "0o17"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        (".inf", ".inf"),
        ("nan", "nan"),
        ("2024-01-31", "2024-01-31"),
        ("=", "="),
        ("'5e-5'", "5e-5"),
        ('"true"', "true"),
        ("{a: 1, b: [no, 2]}", {"a": 1, "b": ["no", 2]}),
    ],
)
def test_a_value_is_what_it_looks_like(text: str, value: Any) -> None:
    assert read_value(text) == value
    assert type(read_value(text)) is type(value)


def test_labels_that_yaml_takes_for_booleans() -> None:
    document = read_text("task: {name: topic, labels: [no, yes, on]}", "r.yaml")
    assert document.data["task"]["labels"] == ["no", "yes", "on"]


def test_labels_that_are_numbers_or_booleans_become_names() -> None:
    recipe = load_recipe({"checkpoint": "a/b", "dataset": "d", "task": {"name": "topic", "labels": [1, 2.0, True]}})
    assert recipe.task.labels == ("1", "2", "true")


def test_a_byte_order_mark_and_windows_lines(tmp_path: Any) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(b"\xef\xbb\xbfcheckpoint: a/b\r\ndataset: d\r\ntask: topic\r\ntrain:\r\n  epochs: x\r\n")
    with pytest.raises(
        RecipeError, match=r"r\.yaml:5:3: train\.epochs: must be a whole number, not `x`\n    epochs: x$"
    ):
        load_recipe(path)


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{below}'] * 9)}]\n" for below, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "has more than 10000 values (aliases counted) or 50 levels"),
        ("a: &a [*a]\n", "has more than 10000 values (aliases counted) or 50 levels"),
        ("a: " + "[" * 60 + "]" * 60, "has more than 10000 values (aliases counted) or 50 levels"),
        ("a: " + "[" * 5000, "recursion"),
    ],
    ids=["bomb", "loop", "deep", "deeper"],
)
def test_a_small_text_cannot_grow_large(text: str, message: str) -> None:
    began = time.process_time()
    [problem] = read_text(text, "r.yaml").problems
    assert message in str(problem)
    assert time.process_time() - began < 5


def test_a_file_that_is_no_recipe_is_not_read_to_its_end(tmp_path: Any) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(b"# " + b"x" * (1 << 20))
    with pytest.raises(RecipeError, match="is larger than 256 KiB; is it a recipe"):
        load_recipe(path)


def test_an_override_cannot_smuggle_what_a_file_cannot() -> None:
    for text in ("!!python/name:os.system x", "!!int many", "[" * 60 + "]" * 60, "{a: 1, a: 2}", "[1", "*x"):
        with pytest.raises(RecipeError):
            read_value(text)


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(min_size=1), plain, min_size=1, max_size=4))
def test_what_is_written_is_read_the_same(data: dict[str, Any]) -> None:
    document = read_text(to_yaml(data), "r.yaml")
    assert not document.problems
    assert document.data == _finite(data)


def _finite(value: Any) -> Any:
    """A recipe knows no infinite numbers: `.inf` is a text."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, float) and math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    return value


@pytest.mark.parametrize(
    "text", ["5e-5", "08", "1e5", "012", "yes", "no", "null", "~", "", " x ", "a: b", "# x", "2024-01-31"]
)
def test_a_text_that_looks_like_something_else_is_quoted(text: str) -> None:
    assert read_text(to_yaml({"key": text}), "r.yaml").data == {"key": text}


@settings(deadline=None)
@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    document = read_text(text, "r.yaml")
    assert document.problems or isinstance(document.data, dict)
