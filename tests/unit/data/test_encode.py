"""Texts and windows as token ids, on the tokenizers of all families."""

from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import tiny
from textxfer.data.encode import TEXTS_AT_A_TIME, encode_texts, encode_windows
from textxfer.modeling.checkpoint import open_checkpoint
from textxfer.records import Encoded

ODD_TEXTS = ["", " ", "🎬", "e\u0301te\u0301", "nul\x00byte", "\u202ebidi", "ﷺ", "日本語", "a\u200db", "x" * 300]
KINDS = ("bert", "roberta", "deberta-v2", "gpt2", "t5")


@pytest.fixture(scope="session")
def tokenizers(checkpoints: Callable[[str], Path]) -> Callable[[str], Any]:
    """Gives a family's tokenizer, prepared as for a run."""
    made: dict[str, Any] = {}

    def get(family: str) -> Any:
        if family not in made:
            made[family] = open_checkpoint(str(checkpoints(family))).tokenizer
        return made[family]

    return get


def rows_of(encoded: Encoded) -> list[list[int]]:
    return [part.tolist() for part in np.split(encoded.input_ids, encoded.offsets[1:-1])]


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_texts_and_pairs_are_what_the_tokenizer_gives(tokenizers: Any, family: str) -> None:
    tokenizer = tokenizers(family)
    texts, pairs = ["the film", "cold", "the film " * 30], ["we loved it", "who?", "the room " * 40]
    for second in (None, pairs):
        expected = tokenizer(texts, second, truncation=True, max_length=24)
        encoded = encode_texts(tokenizer, texts, second, max_length=24)
        assert rows_of(encoded) == expected["input_ids"]
        assert encoded.rows.tolist() == [0, 1, 2]
        assert encoded.truncated == 1
        if "token_type_ids" in expected:
            assert encoded.token_type_ids is not None
            assert encoded.token_type_ids.tolist() == list(chain(*expected["token_type_ids"]))


@pytest.mark.parametrize("family", KINDS)
def test_odd_texts_have_a_token_at_least(tokenizers: Any, family: str) -> None:
    encoded = encode_texts(tokenizers(family), ODD_TEXTS, max_length=16)
    assert encoded.lengths.min() >= 1
    assert encoded.lengths.max() <= 16
    alone = [rows_of(encode_texts(tokenizers(family), [text], max_length=16))[0] for text in ODD_TEXTS]
    assert rows_of(encoded) == alone, "a text is encoded alike alone and among others"


def test_the_empty_text_of_gpt2_is_one_padding_token(tokenizers: Any) -> None:
    tokenizer = tokenizers("gpt2")
    assert rows_of(encode_texts(tokenizer, ["", "the"], max_length=8))[0] == [tokenizer.pad_token_id]
    windows = encode_windows(tokenizer, ["", "who?"], ["", "the film"], max_length=16, stride=2)
    assert rows_of(windows)[0] == [tokenizer.pad_token_id]
    assert windows.spans is not None
    assert windows.spans[0].tolist() == [-1, -1]


def test_an_empty_text_where_padding_has_a_token_of_its_own(tokenizers: Any) -> None:
    from transformers import GPT2Tokenizer

    tokenizer = GPT2Tokenizer().train_new_from_iterator(tiny.CORPUS, vocab_size=300)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    assert rows_of(encode_texts(tokenizer, [""], max_length=8)) == [[tokenizer.pad_token_id]]


def added(tokenizer: Any, pair: bool) -> int:
    return int(tokenizer.num_special_tokens_to_add(pair=pair))


@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize("pair", [False, True])
def test_special_tokens_written_in_a_text_are_plain_words(tokenizers: Any, family: str, pair: bool) -> None:
    tokenizer = tokenizers(family)
    special = [token for token in tokenizer.all_special_tokens if token != tokenizer.unk_token][:8]
    text = "the film " + " ".join([*special, "</s>", "<|endoftext|>", "[SEP]", "<pad>"]) + " was"
    encoded = encode_texts(tokenizer, [text, "the film"], [text, "cold"] if pair else None, max_length=300)
    counts = [sum(np.isin(row, tokenizer.convert_tokens_to_ids(special))) for row in rows_of(encoded)]
    assert counts == [added(tokenizer, pair)] * 2
    windows = encode_windows(tokenizer, [text], [text], max_length=300, stride=8)
    counts = [sum(np.isin(row, tokenizer.convert_tokens_to_ids(special))) for row in rows_of(windows)]
    assert counts == [added(tokenizer, True)] * len(windows)


def test_t5_rows_have_one_end_token_each(tokenizers: Any) -> None:
    tokenizer = tokenizers("t5")
    texts = ["</s>", "a </s> b </s>", "</s></s></s>" * 20, "plain", ""]
    for row in rows_of(encode_texts(tokenizer, texts, max_length=12)):
        assert row.count(tokenizer.eos_token_id) == 1
        assert row[-1] == tokenizer.eos_token_id


def test_truncation_is_counted_only_where_something_is_cut(tokenizers: Any) -> None:
    tokenizer = tokenizers("bert")
    texts = ["the film was a", "the film was a delight", "the", "the film was a delight and"]
    assert encode_texts(tokenizer, texts, max_length=6).truncated == 2
    assert encode_texts(tokenizer, texts, max_length=7).truncated == 1
    assert encode_texts(tokenizer, texts, max_length=64).truncated == 0


def test_the_longer_text_of_a_pair_is_cut_first(tokenizers: Any) -> None:
    tokenizer = tokenizers("bert")
    (row,) = rows_of(encode_texts(tokenizer, ["the film " * 20], ["we loved it"], max_length=12))
    pieces = tokenizer.convert_ids_to_tokens(row)
    second = tokenizer.tokenize("we loved it")
    assert pieces[-1 - len(second) : -1] == second
    assert len(pieces) == 12


def test_more_texts_than_go_through_the_tokenizer_at_a_time(tokenizers: Any) -> None:
    tokenizer = tokenizers("bert")
    texts = ["the film"] * (TEXTS_AT_A_TIME + 5) + ["cold soup came"]
    encoded = encode_texts(tokenizer, texts, max_length=16)
    assert rows_of(encoded)[-1] == tokenizer("cold soup came").input_ids
    assert len(encoded) == len(texts)
    windows = encode_windows(tokenizer, texts, ["the film " * 10] * len(texts), max_length=24, stride=4)
    assert windows.rows.max() == len(texts) - 1
    assert windows.rows.tolist() == sorted(windows.rows)


def test_a_text_of_a_hundred_thousand_characters(tokenizers: Any) -> None:
    for family in KINDS:
        encoded = encode_texts(tokenizers(family), ["the film was " * 8000], max_length=32)
        assert encoded.lengths.tolist() == [32]
        assert encoded.truncated == 1


def test_no_texts_at_all(tokenizers: Any) -> None:
    tokenizer = tokenizers("bert")
    assert len(encode_texts(tokenizer, [], max_length=8)) == 0
    assert len(encode_windows(tokenizer, [], [], max_length=32, stride=8)) == 0


def window_spans(windows: Encoded) -> list[np.ndarray]:
    assert windows.spans is not None
    return np.split(windows.spans, windows.offsets[1:-1])


WORDS = ["the", "film", "was", "é", "e\u0301", "🎬", "日本", "ﬁne", "nine.", "(six)", "x" * 30, "\u202e", "½", "’s"]
CONTEXTS = st.lists(st.sampled_from(WORDS), min_size=0, max_size=60).map(" ".join)


@pytest.mark.parametrize("family", KINDS)
@settings(max_examples=25, deadline=None)
@given(context=CONTEXTS, question=CONTEXTS, stride=st.integers(0, 12), room=st.integers(9, 30))
def test_windows_cover_the_context_and_share_the_stride(tokenizers, family, context, question, stride, room) -> None:
    tokenizer = tokenizers(family)
    max_length = stride + room
    windows = encode_windows(tokenizer, [question], [context], max_length=max_length, stride=stride)
    assert windows.lengths.max() <= max_length
    assert set(windows.rows) == {0}
    whole = tokenizer(context, add_special_tokens=False, return_offsets_mapping=True, split_special_tokens=True)
    expected = list(whole["offset_mapping"])
    seen: list[Any] = []
    for number, spans in enumerate(window_spans(windows)):
        own = [tuple(span) for span in spans.tolist() if span[0] >= 0]
        if number == 0:
            seen = own
        else:
            assert own[:stride] == (seen[-stride:] if stride else []), "neighbours share exactly the stride"
            assert len(own) > stride, "each window moves on"
            seen += own[stride:]
    assert seen == expected, "together the windows hold every token of the context once"


@pytest.mark.parametrize("family", KINDS)
def test_spans_are_the_exact_places_of_the_words(tokenizers: Any, family: str) -> None:
    context = "e\u0301te\u0301 🎬 the film, 日本 opens\tat nine\u2009o’clock. " * 6
    windows = encode_windows(tokenizers(family), ["when?"], [context], max_length=40, stride=8)
    found = 0
    for spans in window_spans(windows):
        for begin, end in spans[spans[:, 0] >= 0]:
            assert 0 <= begin <= end <= len(context)
            found += end > begin
        begins = spans[spans[:, 0] >= 0][:, 0]
        assert (np.diff(begins) >= 0).all()
    assert found > 60
    covered = {
        place for begin, end in np.concatenate(window_spans(windows)) if begin >= 0 for place in range(begin, end)
    }
    assert {place for place, letter in enumerate(context) if letter.isascii() and letter.isalnum()} <= covered


@pytest.mark.parametrize("family", KINDS)
@pytest.mark.parametrize("question", ["", "who? " * 500, "🎬" * 12, "ﷺ" * 200, "x" * 100_000, "日本語" * 300])
def test_long_questions_leave_room_for_the_context(tokenizers: Any, family: str, question: str) -> None:
    context = "the library opens at nine " * 20
    windows = encode_windows(tokenizers(family), [question], [context], max_length=40, stride=16)
    assert windows.lengths.max() <= 40
    in_context = [(spans[:, 0] >= 0).sum() for spans in window_spans(windows)]
    assert min(in_context[:-1]) > 16


def test_a_question_that_fits_is_not_cut(tokenizers: Any) -> None:
    tokenizer = tokenizers("bert")
    question = "who wrote the book about the old library?"
    windows = encode_windows(tokenizer, [question], ["the film"], max_length=40, stride=8)
    assert rows_of(windows) == tokenizer([question], ["the film"]).input_ids


@pytest.mark.parametrize("family", KINDS)
def test_an_empty_context_has_one_window_without_places(tokenizers: Any, family: str) -> None:
    windows = encode_windows(tokenizers(family), ["who?", "who?"], ["", "the film"], max_length=32, stride=8)
    assert windows.rows.tolist() == [0, 1]
    assert (window_spans(windows)[0] == -1).all()
    assert (window_spans(windows)[1] >= 0).any()


def test_a_context_of_a_hundred_thousand_characters(tokenizers: Any) -> None:
    context = "the library opens at nine " * 3900
    windows = encode_windows(tokenizers("bert"), ["when?", "who?"], [context, "the film"], max_length=48, stride=16)
    assert windows.rows.tolist() == [0] * (len(windows) - 1) + [1]
    assert window_spans(windows)[-2][:, 1].max() == len(context.rstrip())


def test_windows_of_several_rows_know_their_rows(tokenizers: Any) -> None:
    tokenizer = tokenizers("bert")
    contexts = ["the film " * 30, "cold", "the room " * 50]
    together = encode_windows(tokenizer, ["who?"] * 3, contexts, max_length=32, stride=8)
    alone = [encode_windows(tokenizer, ["who?"], [context], max_length=32, stride=8) for context in contexts]
    assert together.rows.tolist() == [row for row, each in enumerate(alone) for _ in range(len(each))]
    assert np.array_equal(together.input_ids, np.concatenate([each.input_ids for each in alone]))
    assert together.spans is not None
    assert np.array_equal(together.spans, np.concatenate([each.spans for each in alone if each.spans is not None]))
    assert together.token_type_ids is not None
