"""How tokenizers cut words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from textxfer.data.words import word_cuts
from textxfer.modeling.checkpoint import open_checkpoint


@pytest.mark.parametrize("family", ["bert", "gpt2", "t5"])
def test_words_are_counted_one_by_one(family: str, checkpoints: Callable[[str], Path]) -> None:
    tokenizer = open_checkpoint(str(checkpoints(family))).tokenizer
    texts = ["the film was a delight, and the cast", "zyx, qwv!", ""]
    words = ["the", "film", "was", "a", "delight", "and", "the", "cast", "zyx", "qwv"]
    cuts = word_cuts(tokenizer, texts)
    tokens = sum(
        start < end
        for text in texts
        for start, end in tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    )
    assert cuts.tokens_per_word == tokens / len(words)
    pieces = {word: len(tokenizer(f"{word}", add_special_tokens=False)["input_ids"]) for word in words}
    if family == "bert":  # the others cut a word otherwise where a space stands before it
        assert pieces["the"] == pieces["film"] == 1
        assert tokenizer.convert_tokens_to_ids(tokenizer.tokenize("zyx")) == [tokenizer.unk_token_id]
        assert cuts.fragments == sum(pieces[word] > 1 or word in ("zyx", "qwv") for word in words) / len(words)
        assert word_cuts(tokenizer, ["the film"]).fragments == 0
    assert word_cuts(tokenizer, ["zyxqwv filmzyx"]).fragments == 1


def test_texts_without_words(bert: Path) -> None:
    tokenizer = open_checkpoint(str(bert)).tokenizer
    assert word_cuts(tokenizer, []) == word_cuts(tokenizer, ["", " "]) == word_cuts(tokenizer, ["!?"])
