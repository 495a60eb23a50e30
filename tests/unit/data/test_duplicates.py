"""Rows that say the same: equal and nearly equal, within a split and across splits."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from textxfer.data._near import PIECE, THRESHOLD, near_pairs
from textxfer.data.columns import select_columns
from textxfer.data.duplicates import Place, Twin, find_duplicates, plain
from textxfer.records import Splits
from textxfer.sources.memory import Memory

LONG = "the library opens at nine and closes at six on weekdays, and the old reading room stays open until midnight"


def split_of(pair: bool = False, **texts: list[Any]) -> Splits:
    columns = {"text": "text", "label": "label"} | ({"text_pair": "pair"} if pair else {})
    rows = {
        name: [
            {"text": each[0], "pair": each[1], "label": "a"} if pair else {"text": each, "label": "a"} for each in own
        ]
        for name, own in texts.items()
    }
    return select_columns(Memory(rows).load(), columns)


def asked(**rows: list[tuple[str, str]]) -> Splits:
    made = {
        name: [{"question": q, "context": c, "answers": {"text": [], "answer_start": []}} for q, c in own]
        for name, own in rows.items()
    }
    return select_columns(Memory(made).load(), {name: name for name in ("question", "context", "answers")})


@pytest.mark.parametrize("other", ["A  Film\n", "a ﬁlm", "Ａ film", " a\u00a0film "])
def test_equal_but_for_case_white_space_and_unicode_form(other: str) -> None:
    found = find_duplicates(split_of(train=["no", "a film"], test=["yes", other]))
    assert found.twins == (Twin("test", 1, Place("train", 1), 1.0, exact=True),)
    assert found.groups == ((Place("train", 1), Place("test", 1)),)
    assert found.leaked("test").tolist() == [1]
    assert found.leaked("validation").tolist() == []


def test_a_nearly_equal_text_is_a_twin_with_its_similarity() -> None:
    found = find_duplicates(split_of(train=["other", LONG], validation=["no"], test=[LONG.replace("nine", "ten")]))
    (twin,) = found.twins
    assert (twin.split, twin.row, twin.other, twin.exact) == ("test", 0, ("train", 1), False)
    assert twin.similarity == pytest.approx(jaccard(LONG, LONG.replace("nine", "ten")))
    assert THRESHOLD <= twin.similarity < 1
    fast = find_duplicates(split_of(train=["other", LONG], test=[LONG.replace("nine", "ten")]), near=False)
    assert (fast.twins, fast.near) == ((), False)


@pytest.mark.parametrize("pair", [("when do i get it", "when do i send it"), ("good film", "bad film"), ("ok", "on")])
def test_short_texts_that_differ_in_a_word_are_not_alike(pair: tuple[str, str]) -> None:
    assert find_duplicates(split_of(train=[pair[0]], test=[pair[1]])).twins == ()


def test_a_question_mark_does_not_hide_a_twin() -> None:
    assert len(find_duplicates(split_of(train=["where is my card"], test=["Where is my card ?"])).twins) == 1


def test_repeats_within_a_split_are_counted_once_each() -> None:
    near = LONG.replace("six", "two")
    found = find_duplicates(split_of(train=["a text", LONG, "A text", near, near, "other"], test=["x y z"]))
    assert found.repeated["train"].tolist() == [2, 4]
    assert found.nearly_repeated["train"].tolist() == [3]
    assert [len(group) for group in found.groups] == [2, 3]
    assert found.repeated["test"].tolist() == []


def test_the_nearest_twin_is_named_and_an_equal_one_before_it() -> None:
    far, close = LONG.replace("nine", "ten"), LONG.replace("midnight", "midnighT!")
    assert THRESHOLD < jaccard(LONG, far) < jaccard(LONG, plain(close)) < 1
    for train in ([far, close, close], [far, close, far]):
        (twin,) = find_duplicates(split_of(train=train, test=[LONG])).twins
        assert twin.other == ("train", 1)
    (twin,) = find_duplicates(split_of(train=[close, LONG, LONG], test=[LONG])).twins
    assert (twin.other, twin.exact) == (("train", 1), True)


def test_test_rows_of_validation_are_told_from_those_of_train() -> None:
    far = LONG.replace("nine", "ten")
    splits = split_of(
        train=["a text", "other"],
        validation=["b text", "A text", far, "c text", "b text"],
        test=["c TEXT", "a text", LONG],
    )
    assert splits.validation is not None
    found = find_duplicates(
        replace(splits, validation=splits.validation.select([0, 1, 2]), reserved=splits.validation.select([3, 4]))
    )
    assert [(twin.split, twin.row) for twin in found.twins] == [("validation", 1), ("test", 1)]
    equal, near = found.twins_in_validation
    assert (equal.row, equal.other, equal.exact) == (0, ("reserved", 0), True)
    assert (near.row, near.other, near.exact) == (2, ("validation", 2), False)
    assert find_duplicates(split_of(train=["a"], test=["b text"])).twins_in_validation == ()
    assert find_duplicates(split_of(train=["a"], validation=["b text", "b text"])).twins_in_validation == ()


def test_a_pair_of_texts_counts_as_one() -> None:
    splits = split_of(
        pair=True, train=[("a text", "one"), ("b text", "two")], test=[("a text", "two"), ("B text", "Two")]
    )
    assert [(twin.row, twin.other.row) for twin in find_duplicates(splits).twins] == [(1, 1)]


def test_empty_texts_are_equal_to_none() -> None:
    found = find_duplicates(split_of(train=["", " ", "\n"], test=["", "\t"]))
    assert (found.twins, found.groups) == ((), ())
    assert found.repeated["train"].tolist() == []


def test_all_texts_equal() -> None:
    found = find_duplicates(split_of(train=["same"] * 50, test=["same"] * 5))
    assert len(found.repeated["train"]) == 49
    assert found.leaked("test").tolist() == [0, 1, 2, 3, 4]


def test_a_context_of_train_is_a_leak_whatever_is_asked_of_it() -> None:
    splits = asked(
        train=[("Who?", LONG), ("who? ", LONG), ("When?", LONG)],
        test=[("Why?", LONG.upper()), ("Who?", "another text")],
    )
    found = find_duplicates(splits)
    assert found.of == "context"
    judged = asked(train=[("Who?", "else")], validation=[("When?", LONG)], test=[("Why?", LONG)])
    assert [twin.other for twin in find_duplicates(judged).twins_in_validation] == [("validation", 0)]
    assert [(twin.row, twin.exact) for twin in found.twins] == [(0, True)]
    assert found.repeated["train"].tolist() == [1]
    assert found.nearly_repeated["train"].tolist() == []


@pytest.mark.parametrize(
    "text", ["\0\0 nul \0 text", "\u202eright to left\u202c", "\ud7ff e\u0301 🎬 text", "x" * 100_000]
)
def test_odd_texts_are_compared_like_others(text: str) -> None:
    assert [twin.exact for twin in find_duplicates(split_of(train=["no", text], test=[text])).twins] == [True]


def test_long_texts_with_one_beginning_are_not_alike() -> None:
    rng = random.Random(0)
    beginning = "answer the question below in one word. " * 50
    texts = [beginning + " ".join(str(rng.random()) for _ in range(3000)) for _ in range(2)]
    assert find_duplicates(split_of(train=texts[:1], test=texts[1:])).twins == ()


def jaccard(one: str, other: str) -> float:
    sets = [
        {bare[at : at + PIECE] for at in range(len(bare) - PIECE + 1)}
        for bare in map("".join, map(str.split, (one, other)))
    ]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


@pytest.fixture
def variants() -> list[str]:
    """Two hundred texts, each of forty changed more and more."""
    rng = random.Random(1)
    words = [
        f"{rng.choice('bcdfg')}{rng.choice('aeiou')}{rng.choice('lmnrst')}{rng.randint(10, 99)}" for _ in range(500)
    ]
    texts = []
    for _ in range(40):
        text = rng.sample(words, 30)
        for _ in range(5):
            texts.append(" ".join(text))
            text[rng.randrange(30)] = rng.choice(words)
    return [plain(text) for text in texts]


def test_pairs_are_those_of_comparing_each_with_each(variants: list[str]) -> None:
    pairs = near_pairs(variants)
    found = dict(zip(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True), pairs.similarity, strict=True))
    every = {
        (a, b): likeness
        for a in range(len(variants))
        for b in range(a + 1, len(variants))
        if (likeness := jaccard(variants[a], variants[b])) >= THRESHOLD
    }
    assert set(found) <= set(every)
    assert len(found) >= 0.97 * len(every) > 50
    np.testing.assert_allclose([found[key] for key in found], [every[key] for key in found])


def test_progress_rises_to_the_end_and_may_stop(variants: list[str]) -> None:
    seen: list[float] = []
    near_pairs(variants, seen.append)
    assert seen == sorted(seen)
    assert 0 <= seen[0] <= seen[-1] <= 1

    def stop(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        near_pairs(variants, stop)


def test_no_text_and_one_text() -> None:
    assert len(near_pairs([]).first) == 0
    assert len(near_pairs(["abc"]).first) == 0


@pytest.mark.slow
def test_many_texts_of_one_template_end_soon() -> None:
    texts = [
        f"your order {number:06d} was sent today, thank you for buying with us, come again" for number in range(10_000)
    ]
    found = find_duplicates(split_of(train=texts[:9000], test=texts[9000:]))
    assert len(found.leaked("test")) > 700  # each text is compared with some of its bucket only
