"""What is hidden of a text, and what is to be found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests import tiny
from textxfer.data.batching import collate
from textxfer.data.corruption import NextTokens, Spans, WholeWords, corrupt
from textxfer.data.encode import encode_pieces
from textxfer.records import UNPREDICTED

ORDINARY = np.arange(10, 300)
SENTINELS = list(range(900, 1000))
RULES = {
    "words": WholeWords(mask_id=4, ordinary=ORDINARY),
    "spans": Spans(SENTINELS, end_id=1),
    "next": NextTokens(start_id=2),
}


def example(rng: np.random.Generator, length: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Gives ids with an added token at both ends, and words of one to four tokens."""
    words = np.repeat(np.arange(length), rng.integers(1, 5, length))[:length].astype(np.int32)
    ids = rng.integers(10, 300, length)
    return np.concatenate([[0], ids, [1]]), np.concatenate([[-1], words, [-1]])


def test_whole_words_are_hidden_and_nothing_that_was_added() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        ids, words = example(rng)
        shown, targets = RULES["words"](ids, words, rng)
        chosen = targets != UNPREDICTED
        assert (targets[chosen] == ids[chosen]).all()
        assert (shown[~chosen] == ids[~chosen]).all()
        assert not chosen[words < 0].any()
        for word in range(words.max() + 1):
            assert chosen[words == word].all() or not chosen[words == word].any()
        assert 26 <= chosen.sum() <= 30  # 15 % of 200; what is left has no room for a word


def test_most_are_masked_some_are_others_and_some_stay() -> None:
    rng = np.random.default_rng(0)
    fates = []
    for _ in range(200):
        ids, words = example(rng)
        shown, targets = RULES["words"](ids, words, rng)
        chosen = targets != UNPREDICTED
        fates += [(shown[chosen] == 4).mean(), (shown[chosen] == ids[chosen]).mean()]
    assert np.mean(fates[::2]) == pytest.approx(0.8, abs=0.02)
    assert np.mean(fates[1::2]) == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("rate", [0.1, 0.4])
def test_the_share_that_is_hidden_can_be_said(rate: float) -> None:
    rng = np.random.default_rng(0)
    ids, words = example(rng)
    _, targets = WholeWords(4, ORDINARY, rate)(ids, words, rng)
    assert (targets != UNPREDICTED).mean() == pytest.approx(rate, abs=0.02)
    _, targets = Spans(SENTINELS, 1, rate)(ids, words, rng)
    assert np.isin(targets, ids[1:-1]).sum() == pytest.approx(200 * rate, abs=1)


def test_the_one_word_of_a_text_is_hidden() -> None:
    shown, targets = RULES["words"](np.array([0, 50, 51, 52, 1]), np.array([-1, 0, 0, 0, -1]), np.random.default_rng(0))
    assert targets.tolist() == [UNPREDICTED, 50, 51, 52, UNPREDICTED]
    assert shown[0] == 0
    assert shown[-1] == 1


def test_a_text_without_words_asks_nothing() -> None:
    _, targets = RULES["words"](np.array([0, 1]), np.array([-1, -1]), np.random.default_rng(0))
    assert (targets == UNPREDICTED).all()


@pytest.mark.parametrize("length", [1, 2, 3, 10, 200])
def test_spans_and_what_is_kept_make_the_text_again(length: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        ids, words = example(rng, length)
        shown, targets = RULES["spans"](ids, words, rng)
        assert shown[-1] == targets[-1] == 1
        answers: dict[int, list[int]] = {}
        for token in targets[:-1].tolist():
            if token in SENTINELS:
                answers[token] = []
            else:
                answers[max(answers)].append(token)
        assert list(answers) == SENTINELS[: len(answers)]
        assert all(answers.values())
        rebuilt = [part for token in shown[:-1].tolist() for part in answers.get(token, [token])]
        assert rebuilt == ids[1:-1].tolist()


def test_spans_have_three_tokens_on_average() -> None:
    rng = np.random.default_rng(0)
    ids, words = example(rng)
    _, targets = RULES["spans"](ids, words, rng)
    assert np.isin(targets, SENTINELS).sum() == 10  # 30 hidden tokens
    _, targets = Spans(SENTINELS[:4], 1)(ids, words, rng)
    assert np.isin(targets, SENTINELS).sum() == 4


def test_every_token_is_predicted_from_those_before() -> None:
    shown, targets = RULES["next"](np.array([7, 8]), np.array([0, 0]), np.random.default_rng(0))
    assert shown.tolist() == [2, 7, 8]
    assert targets.tolist() == [UNPREDICTED, 7, 8]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tiny.make_tokenizer("bert")


def test_a_long_text_becomes_pieces_and_nothing_is_lost(tokenizer: Any) -> None:
    text = " ".join(tiny.CORPUS)
    encoded = encode_pieces(tokenizer, ["short", text, "short"], max_length=16)
    assert encoded.rows[0] == 0
    assert encoded.rows[-1] == 2
    assert (np.diff(encoded.rows) >= 0).all()
    assert encoded.lengths.max() == 16
    pieces = np.split(encoded.input_ids, encoded.offsets[1:-1])
    whole = tokenizer(["short", text, "short"], add_special_tokens=False)["input_ids"]
    assert np.concatenate([piece[1:-1] for piece in pieces]).tolist() == np.concatenate(whole).tolist()
    assert encoded.words is not None
    assert (encoded.words[encoded.offsets[:-1]] == -1).all()


@pytest.mark.parametrize("name", RULES)
def test_an_example_is_drawn_alike_in_any_company(tokenizer: Any, name: str) -> None:
    encoded = encode_pieces(tokenizer, tiny.CORPUS, max_length=32)
    together = corrupt(encoded, np.array([0, 3, 5]), RULES[name], (1, 2))
    alone = corrupt(encoded, np.array([3]), RULES[name], (1, 2))
    assert together.target_offsets is not None
    assert together.targets is not None
    assert alone.targets is not None
    at, to = together.offsets[1:3]
    assert together.input_ids[at:to].tolist() == alone.input_ids.tolist()
    at, to = together.target_offsets[1:3]
    assert together.targets[at:to].tolist() == alone.targets.tolist()


def test_another_step_hides_other_words(tokenizer: Any) -> None:
    encoded, places = encode_pieces(tokenizer, tiny.CORPUS, max_length=32), np.arange(4)
    drawn = [corrupt(encoded, places, RULES["words"], seed).targets for seed in ((0, 0), (0, 1), (1, 0))]
    assert drawn[0] is not None
    assert not any((drawn[0] == other).all() for other in drawn[1:])


def test_targets_are_padded_with_what_nobody_predicts(tokenizer: Any) -> None:
    encoded = corrupt(encode_pieces(tokenizer, tiny.CORPUS, max_length=32), np.arange(7), RULES["spans"], (0,))
    batch = collate(encoded, np.array([1, 4]), pad_token_id=0)
    assert encoded.target_offsets is not None
    assert encoded.targets is not None
    assert batch.targets is not None
    for row, place in enumerate((1, 4)):
        own = encoded.targets[encoded.target_offsets[place] : encoded.target_offsets[place + 1]].tolist()
        assert batch.targets[row].tolist() == own + [UNPREDICTED] * (batch.targets.shape[1] - len(own))
