"""How a tokenizer cuts words: a vocabulary that fits the texts leaves most of them whole."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from textxfer.data.tokenizer import PlainTokenizer

MOST_TEXTS = 500
MOST_CHARACTERS = 2000
"""Of a text that is looked at."""
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class WordCuts:
    """How words are cut.

    Attributes:
        tokens_per_word: All tokens, of punctuation too, by words (runs of letters, digits and `_`); 0 without words.
        fragments: Share of the words that are no token of their own: cut into several, or unknown.
    """

    tokens_per_word: float
    fragments: float


def word_cuts(tokenizer: Any, texts: Sequence[str]) -> WordCuts:
    """Gives how a tokenizer cuts the words of the first 500 texts.

    Args:
        tokenizer: As `modeling.checkpoint` makes it ready, or plain.
        texts: Any.
    """
    import numpy as np

    plain = PlainTokenizer.of(tokenizer)
    looked_at = [text[:MOST_CHARACTERS] for text in texts[:MOST_TEXTS]]
    tokens = words = cut = 0
    for text, encoding in zip(looked_at, plain.encode(looked_at, add_special_tokens=False), strict=True):
        spans = np.array([match.span() for match in _WORD.finditer(text)], dtype=np.int64).reshape(-1, 2)
        pieces = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
        wide = pieces[:, 0] < pieces[:, 1]
        pieces, unknown = pieces[wide], np.array(encoding.ids, dtype=np.int64)[wide] == plain.unk_token_id
        begun = np.searchsorted(pieces[:, 0], spans[:, 1], side="left")  # tokens that begin before the word's end
        ended = np.searchsorted(pieces[:, 1], spans[:, 0], side="right")  # tokens that end before its start
        unknowns = np.concatenate([[0], np.cumsum(unknown)])
        broken = (begun - ended > 1) | (unknowns[begun] > unknowns[ended])
        tokens, words, cut = tokens + len(pieces), words + len(spans), cut + int(broken.sum())
    return WordCuts(tokens / words if words else 0.0, cut / words if words else 0.0)
