"""Answer spans against brute force: targets, best spans of a window, the answer chosen over windows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textxfer.data.encode import encode_windows
from textxfer.modeling.checkpoint import open_checkpoint
from textxfer.records import Encoded
from textxfer.tasks import _spans

KINDS = ("bert", "roberta", "deberta-v2", "gpt2", "t5")
WORDS = ["the", "film", "was", "é", "e\u0301", "🎬", "日本語", "nine.", "(six)", "x" * 20, "’s", "½", "opens"]


@pytest.fixture(scope="session")
def tokenizers(checkpoints: Callable[[str], Path]) -> dict[str, Any]:
    return {family: open_checkpoint(str(checkpoints(family))).tokenizer for family in KINDS}


@pytest.mark.parametrize("family", KINDS)
@settings(max_examples=25, deadline=None)
@given(words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=50), data=st.data())
def test_every_answer_that_fits_lies_wholly_in_a_window(tokenizers, family, words, data) -> None:
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, min(first + 3, len(words) - 1)))
    stride, room = data.draw(st.integers(0, 12)), data.draw(st.integers(9, 24))
    context, text = " ".join(words), " ".join(words[first : last + 1])
    start = len(" ".join([*words[:first], ""]))
    windows = encode_windows(tokenizers[family], ["when?"], [context], max_length=stride + room, stride=stride)
    found = _spans.targets(windows, [{"text": [text], "answer_start": [start]}])
    whole = tokenizers[family](
        context, add_special_tokens=False, return_offsets_mapping=True, split_special_tokens=True
    )
    tokens = sum(begin < start + len(text) and end > start for begin, end in whole["offset_mapping"])
    hits = [number for number in range(len(windows)) if found[number].any()]
    if 0 < tokens <= stride + 1:
        assert hits
    assert windows.spans is not None
    for number in hits:
        spans = windows.spans[windows.offsets[number] + found[number]]
        assert spans.min() >= 0
        covered = context[spans[0, 0] : spans[1, 1]]
        assert text.strip("\u0301") in covered, "nothing of the answer is missing"
        assert len(covered.strip()) <= len(text) + 1, "and nothing else is there"
        # Where tokens are bytes, a window may hold a part of a character, which stands for all of it.
        assert found[number, 1] - found[number, 0] + 1 <= tokens


def windows_of(spans: list[list[tuple[int, int]]], rows: list[int]) -> Encoded:
    """Windows whose tokens stand at these places of their contexts."""
    flat = np.array([span for window in spans for span in window], dtype=np.int32).reshape(-1, 2)
    offsets = np.cumsum([0, *map(len, spans)])
    return Encoded(np.zeros(len(flat), np.int32), offsets, np.array(rows), spans=flat)


OUT = (-1, -1)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (("bb", 3), [(2, 2), (0, 0)]),
        (("bb cc", 3), [(2, 3), (0, 0)]),
        (("cc", 6), [(3, 3), (1, 1)]),
        (("dd", 9), [(0, 0), (2, 2)]),
        (("bb cc dd", 3), [(0, 0), (0, 0)]),
        (("b", 4), [(2, 2), (0, 0)]),
        (("aa ", 0), [(1, 1), (0, 0)]),
        ((" cc ", 5), [(3, 3), (1, 1)]),
        ((" ", 2), [(0, 0), (0, 0)]),
    ],
)
def test_targets_by_hand(answer: tuple[str, int], expected: list[tuple[int, int]]) -> None:
    # "aa bb cc dd" in the windows [.. aa bb cc] and [.. cc dd ..]
    windows = windows_of([[OUT, (0, 2), (3, 5), (6, 8)], [OUT, (6, 8), (9, 11), OUT]], [0, 0])
    found = _spans.targets(windows, [{"text": [answer[0]], "answer_start": [answer[1]]}])
    assert list(map(tuple, found.tolist())) == expected


def test_targets_of_rows_without_answer_and_with_several() -> None:
    windows = windows_of([[OUT, (0, 2), (3, 5)]] * 2, [0, 1])
    answers = [{"text": [], "answer_start": []}, {"text": ["bb", "aa"], "answer_start": [3, 0]}]
    assert _spans.targets(windows, answers).tolist() == [[0, 0], [2, 2]], "the first reference counts"


def brute_force(start: Any, end: Any, allowed: Any, longest: int) -> tuple[dict[tuple[int, int], float], float]:
    considered = allowed.copy()
    considered[0] = True
    starts, ends = (np.where(considered, np.exp(logits - logits.max()), 0) for logits in (start, end))
    starts, ends = starts / starts.sum(), ends / ends.sum()
    pairs = {
        (i, j): float(starts[i] * ends[j])
        for i in range(len(start))
        for j in range(i, min(i + longest, len(start)))
        if allowed[i] and allowed[j]
    }
    return pairs, float(starts[0] * ends[0])


@settings(deadline=None, max_examples=80)
@given(st.integers(1, 3), st.integers(1, 12), st.integers(1, 15), st.integers(0, 10_000))
def test_best_spans_are_those_of_brute_force(count: int, width: int, longest: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    start, end = rng.normal(0, 3, (2, count, width))
    allowed = rng.random((count, width)) < 0.7
    found = _spans.best_spans(start, end, allowed, longest)
    assert found["spans"].shape == (count, _spans.SPANS_KEPT, 2)
    for row in range(count):
        pairs, null = brute_force(start[row], end[row], allowed[row], longest)
        best = sorted(pairs.values(), reverse=True)[: _spans.SPANS_KEPT]
        best += [0.0] * (_spans.SPANS_KEPT - len(best))
        assert found["scores"][row].tolist() == pytest.approx(best, abs=1e-6)
        assert float(found["null"][row]) == pytest.approx(null, abs=1e-6)
        for (first, last), score in zip(found["spans"][row].tolist(), found["scores"][row].tolist(), strict=True):
            if score > 1e-6:
                assert pairs[first, last] == pytest.approx(score, abs=1e-6)


def test_padding_does_not_change_the_best_spans() -> None:
    start, end = np.random.default_rng(0).normal(size=(2, 1, 9))
    allowed = np.array([[False, False] + [True] * 6 + [False]])

    def padded(array: np.ndarray, value: Any) -> np.ndarray:
        return np.pad(array, ((0, 0), (0, 7)), constant_values=value)

    short = _spans.best_spans(start, end, allowed, 4)
    long = _spans.best_spans(padded(start, 50.0), padded(end, 50.0), padded(allowed, False), 4)
    np.testing.assert_allclose(short["scores"], long["scores"])
    np.testing.assert_allclose(short["null"], long["null"])
    assert np.array_equal(short["spans"][short["scores"] > 0], long["spans"][long["scores"] > 0])


def test_the_context_mask_marks_the_tokens_of_the_context(tokenizers: dict[str, Any]) -> None:
    for tokenizer in tokenizers.values():
        windows = encode_windows(tokenizer, ["when?", "who?"], ["the film", "the " * 20], max_length=32, stride=4)
        mask = _spans.context_mask(np.array([1, 0]), windows, int(windows.lengths.max()) + 2)
        assert mask.shape == (2, windows.lengths.max() + 2)
        for place, window in enumerate([1, 0]):
            sequences = tokenizer(
                ["when?", "who?"], ["the film", "the " * 20], truncation=True, max_length=32
            ).sequence_ids
            assert mask[place].tolist()[: windows.lengths[window]] == [each == 1 for each in sequences(window)]
        assert not mask[1, windows.lengths[0] :].any()


def reduced(*windows: tuple[list[tuple[int, int, float]], float]) -> dict[str, np.ndarray]:
    """What `best_spans` gives: (first, last, score) of each window's spans, and its probability of no answer."""
    spans = np.zeros((len(windows), _spans.SPANS_KEPT, 2), dtype=np.int32)
    scores = np.zeros((len(windows), _spans.SPANS_KEPT))
    for number, (kept, _) in enumerate(windows):
        for place, (first, last, score) in enumerate(kept):
            spans[number, place], scores[number, place] = (first, last), score
    return {"spans": spans, "scores": scores, "null": np.array([null for _, null in windows])}


CONTEXT = "Nine or nine, or not."
PLACES = [OUT, (0, 4), (5, 7), (8, 12), (12, 13), (14, 16), (17, 18), (18, 20), (20, 21)]


def chosen(*windows: Any, unanswerable: bool = False, context: str = CONTEXT) -> tuple[str, float, tuple[int, int]]:
    rows = [0] * len(windows)
    answers = _spans.choose(reduced(*windows), windows_of([PLACES] * len(windows), rows), [context], unanswerable)
    start, end = answers.spans[0].tolist()
    assert answers.texts == [context[start:end]]
    return answers.texts[0], float(answers.scores[0]), (start, end)


def test_the_best_span_is_chosen() -> None:
    assert chosen(([(2, 3, 0.5), (1, 1, 0.4)], 0.9)) == ("or nine", 0.5, (5, 12))


def test_spans_of_the_same_words_add_up_in_a_window() -> None:
    assert chosen(([(2, 3, 0.4), (3, 3, 0.3), (1, 1, 0.2)], 0.0)) == ("nine", 0.5, (8, 12))


def test_spans_widened_to_the_same_words_add_up() -> None:
    assert chosen(([(1, 1, 0.3), (6, 6, 0.25), (7, 7, 0.1), (6, 7, 0.05)], 0.0)) == (
        "not",
        pytest.approx(0.4),
        (17, 20),
    )


def test_between_windows_the_larger_counts() -> None:
    assert chosen(([(1, 1, 0.4)], 0.0), ([(1, 1, 0.3), (5, 5, 0.35)], 0.0)) == ("Nine", 0.4, (0, 4))


def test_no_answer_needs_every_window_to_say_so() -> None:
    sure, unsure = ([(1, 1, 0.3)], 0.9), ([(2, 2, 0.2)], 0.25)
    assert chosen(sure, unanswerable=True) == ("", 0.9, (0, 0))
    assert chosen(sure, unanswerable=False) == ("Nine", 0.3, (0, 4))
    assert chosen(sure, unsure, unanswerable=True) == ("Nine", 0.3, (0, 4))
    assert chosen(sure, ([(2, 2, 0.2)], 0.4), unanswerable=True) == ("", 0.4, (0, 0))


def test_no_span_at_all() -> None:
    assert chosen(([], 0.7)) == ("", 0.0, (0, 0))
    assert chosen(([], 0.7), unanswerable=True) == ("", 0.7, (0, 0))
    assert chosen(([], 0.7), context="") == ("", 0.0, (0, 0))


def test_rows_are_kept_apart() -> None:
    windows = windows_of([[OUT, (0, 1)], [OUT, (0, 1)], [OUT, (0, 1)]], [0, 2, 2])
    answers = _spans.choose(
        reduced(([(1, 1, 0.5)], 0.1), ([(1, 1, 0.2)], 0.3), ([(1, 1, 0.4)], 0.3)), windows, ["a.", "b.", "c."], False
    )
    assert answers.texts == ["a", "", "c"]
    assert answers.scores.tolist() == [0.5, 0.0, 0.4]


@pytest.mark.parametrize(
    ("context", "begin", "end", "expected"),
    [
        ("the library opens", 6, 8, "library"),
        ("the library opens", 4, 11, "library"),
        ("the library opens", 3, 11, "library"),
        ("a well-known film", 7, 9, "known"),
        ("opens at 9.30 sharp", 9, 10, "9"),
        ("the film", 0, 8, "the film"),
        ("film", 1, 2, "film"),
        ("le cafe\u0301 noir", 3, 6, "cafe\u0301"),
        ("हिन्दी में", 1, 2, "हिन्दी"),
        ("日本語の本", 1, 2, "本"),
        ("ห้องสมุดเปิด", 2, 4, "องสมุดเปิด"[:2]),
        ("x🎬y", 1, 2, "🎬"),
        ("", 0, 0, ""),
        ("a", 0, 0, ""),
        ("ab", 1, 1, "ab"),
    ],
)
def test_spans_are_widened_to_whole_words(context: str, begin: int, end: int, expected: str) -> None:
    start, stop = _spans.whole_words(context, begin, end)
    assert context[start:stop] == expected


@given(st.text("ab é日.\u0301 ", max_size=12), st.data())
def test_widening_keeps_the_span_and_happens_once(context: str, data: Any) -> None:
    begin = data.draw(st.integers(0, len(context)))
    end = data.draw(st.integers(begin, len(context)))
    start, stop = _spans.whole_words(context, begin, end)
    assert 0 <= start <= stop <= len(context)
    assert context[begin:end].strip() in context[start:stop]
    assert _spans.whole_words(context, start, stop) == (start, stop)
