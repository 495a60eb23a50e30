import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textxfer.labels import LabelSet, in_order, label_name, twins


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("NA", "NA"),
        ("", ""),
        (" pos ", " pos "),
        (1, "1"),
        (-1, "-1"),
        (1.0, "1"),
        (2.5, "2.5"),
        (True, "true"),
        (False, "false"),
        (None, None),
        (math.nan, None),
        (math.inf, "inf"),
    ],
)
def test_names_of_raw_labels(value: object, name: str | None) -> None:
    assert label_name(value) == name


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["10", "9", "-1", "2"], ("-1", "2", "9", "10")),
        (["1.5", "1", "+3"], ("1", "1.5", "+3")),
        (["10", "9", "two"], ("10", "9", "two")),
        (["b", "B", "a", "ä", "z"], ("B", "a", "b", "z", "ä")),
        (["x", "x"], ("x",)),
        ([], ()),
    ],
)
def test_order_of_labels(names: list[str], expected: tuple[str, ...]) -> None:
    assert in_order(names) == expected


@given(st.lists(st.one_of(st.text(max_size=3), st.integers(-20, 20).map(str)), max_size=8), st.randoms())
def test_the_order_does_not_depend_on_the_rows(names: list[str], shuffler: random.Random) -> None:
    expected = in_order(names)
    shuffler.shuffle(names)
    assert in_order(names) == expected
    assert set(expected) == set(names)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["Pos", "pos "], [("Pos", "pos ")]),
        (["pos", "neg"], []),
        (["STRASSE", "straße"], [("STRASSE", "straße")]),
        (["e\u0301", "é"], [("e\u0301", "é")]),
        (["ｐｏｓ", "pos"], [("ｐｏｓ", "pos")]),
        (["1", "1.0", "01", "2"], [("1", "1.0"), ("1", "01")]),
        (["a", "A", "b", "B "], [("a", "A"), ("b", "B ")]),
    ],
)
def test_twins(names: list[str], expected: list[tuple[str, str]]) -> None:
    assert twins(dict.fromkeys(names, 1)) == expected


def test_label_sets_map_both_ways() -> None:
    labels = LabelSet(("bad", "good", "so-so"), (3, 1, 2))
    assert len(labels) == 3
    assert labels.id2label == {0: "bad", 1: "good", 2: "so-so"}
    assert labels.label2id == {"bad": 0, "good": 1, "so-so": 2}


def test_reordering_takes_the_counts_along() -> None:
    labels = LabelSet(("bad", "good", "so-so"), (3, 1, 2)).reordered(["so-so", "bad", "good"])
    assert labels.names == ("so-so", "bad", "good")
    assert labels.counts == (2, 3, 1)
    assert LabelSet(("a", "b")).reordered(["b", "a"]).counts == ()
