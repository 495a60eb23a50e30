"""Texts to token ids, flat and without padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from textxfer.data.tokenizer import PlainTokenizer
from textxfer.records import Encoded

if TYPE_CHECKING:
    import numpy as np

TEXTS_AT_A_TIME = 1000


def encode_texts(
    tokenizer: Any, texts: Sequence[str], pairs: Sequence[str] | None = None, *, max_length: int
) -> Encoded:
    """Tokenises texts or pairs of texts, cutting them at `max_length` tokens (pairs: the longer of the two first).

    Args:
        tokenizer: As `modeling.checkpoint` makes it ready, or plain.
        texts: R texts.
        pairs: R second texts, or None.
        max_length: In tokens, special ones counted.

    Returns:
        R examples without targets.
    """
    import numpy as np

    plain = PlainTokenizer.of(tokenizer)
    parts: list[_Part] = []
    truncated = 0
    for start in range(0, len(texts), TEXTS_AT_A_TIME):
        part = slice(start, start + TEXTS_AT_A_TIME)
        second = pairs[part] if pairs is not None else None
        encodings = plain.encode(texts[part], second, max_length=max_length)
        parts.append(_flat(plain, encodings, pair=second is not None))
        truncated += sum(len(encoding) >= max_length and bool(encoding.overflowing) for encoding in encodings)
    joined = _join(parts)
    return Encoded(joined.ids, joined.offsets, np.arange(len(texts)), token_type_ids=joined.types, truncated=truncated)


def encode_windows(
    tokenizer: Any, questions: Sequence[str], contexts: Sequence[str], *, max_length: int, stride: int
) -> Encoded:
    """Tokenises questions with their contexts, a long context in several windows.

    Args:
        tokenizer: As `modeling.checkpoint` makes it ready, or plain.
        questions: R questions; one that leaves too little room for its context is cut.
        contexts: R contexts.
        max_length: Tokens of a window, question and special tokens counted.
        stride: Tokens that two neighbouring windows share.

    Returns:
        N >= R examples without targets, with `spans`.
    """
    import numpy as np

    plain = PlainTokenizer.of(tokenizer)
    parts: list[_Part] = []
    spans: list[np.ndarray] = []
    rows: list[int] = []
    questions = _cut_questions(plain, questions, max_length, stride)
    for start in range(0, len(questions), TEXTS_AT_A_TIME):
        part = slice(start, start + TEXTS_AT_A_TIME)
        whole = plain.encode(questions[part], contexts[part], max_length=max_length, stride=stride, cut="only_second")
        windows = [[encoding, *encoding.overflowing] for encoding in whole]
        encodings = list(chain.from_iterable(windows))
        parts.append(_flat(plain, encodings, pair=True))
        spans.extend(_context_spans(encoding) for encoding in encodings)
        rows.extend(start + place for place, each in enumerate(windows) for _ in each)
    joined = _join(parts)
    flat_spans = np.concatenate(spans) if spans else np.zeros((0, 2), np.int32)
    return Encoded(
        joined.ids, joined.offsets, np.array(rows, dtype=np.int64), token_type_ids=joined.types, spans=flat_spans
    )


def joined(tokenizer: Any, encoded: Encoded) -> Encoded:
    """Gives examples without the tokens that the tokenizer put between two texts: only each one's last is left.

    So a prompt, a text, a second prompt and a second text are one text, as T5 reads them.

    Args:
        tokenizer: That the examples were made with, which puts none before a text.
        encoded: Without targets.
    """
    import numpy as np

    plain = PlainTokenizer.of(tokenizer)
    special = [number for number in plain.special_ids if number != plain.unk_token_id]
    kept = ~np.isin(encoded.input_ids, special)
    kept[encoded.offsets[1:] - 1] = True
    ends = np.concatenate([[0], np.cumsum(kept)])
    types, spans = encoded.token_type_ids, encoded.spans
    return replace(
        encoded,
        input_ids=encoded.input_ids[kept],
        offsets=ends[encoded.offsets],
        token_type_ids=None if types is None else types[kept],
        spans=None if spans is None else spans[kept],
    )


def encode_pieces(tokenizer: Any, texts: Sequence[str], *, max_length: int) -> Encoded:
    """Tokenises texts for a language model, which must see all of them: a long text becomes several examples.

    Args:
        tokenizer: As `modeling.checkpoint` makes it ready, or plain.
        texts: R texts.
        max_length: Tokens of an example, special ones counted.

    Returns:
        N >= R examples without targets, with `words`.
    """
    import numpy as np

    plain = PlainTokenizer.of(tokenizer)
    parts: list[_Part] = []
    words: list[np.ndarray] = []
    rows: list[int] = []
    for start in range(0, len(texts), TEXTS_AT_A_TIME):
        whole = plain.encode(texts[start : start + TEXTS_AT_A_TIME], max_length=max_length)
        pieces = [[encoding, *encoding.overflowing] for encoding in whole]
        encodings = list(chain.from_iterable(pieces))
        parts.append(_flat(plain, encodings, pair=False))
        rows.extend(start + place for place, each in enumerate(pieces) for _ in each)
        words.extend(map(_words, encodings))
    joined = _join(parts)
    flat = np.concatenate(words) if words else np.zeros(0, np.int32)
    return Encoded(joined.ids, joined.offsets, np.array(rows, dtype=np.int64), token_type_ids=joined.types, words=flat)


def _words(encoding: Any) -> np.ndarray:
    """Gives the word of each token, counted from the first of the text; -1 for tokens that the tokenizer added."""
    import numpy as np

    found = encoding.word_ids or [None]
    return np.array([-1 if word is None else word for word in found], dtype=np.int32)


def flatten(rows: Sequence[Sequence[int]], dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """Gives all rows one after the other, and the offsets (len(rows) + 1) that cut them again."""
    import numpy as np

    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    return np.fromiter(chain.from_iterable(rows), dtype=dtype, count=int(offsets[-1])), offsets


@dataclass(frozen=True)
class _Part:
    """Some texts' token ids and segments one after the other, and the offsets that cut them."""

    ids: np.ndarray
    offsets: np.ndarray
    types: np.ndarray | None


def _flat(plain: PlainTokenizer, encodings: Sequence[Any], pair: bool) -> _Part:
    """Flattens what the tokenizer gave; a text without any token gets a padding token."""
    import numpy as np

    rows = [encoding.ids or [plain.pad_token_id] for encoding in encodings]
    ids, offsets = flatten(rows, np.int32)
    _plain_body(plain, ids, offsets, encodings, pair)
    types = None
    if plain.segments and all(map(len, encodings)):
        types = flatten([encoding.type_ids for encoding in encodings], np.int8)[0]
    return _Part(ids, offsets, types)


def _join(parts: Sequence[_Part]) -> _Part:
    import numpy as np

    if not parts:
        return _Part(np.zeros(0, np.int32), np.zeros(1, np.int64), None)
    lengths = np.concatenate([np.diff(part.offsets) for part in parts])
    types = [part.types for part in parts if part.types is not None]
    return _Part(
        np.concatenate([part.ids for part in parts]),
        np.concatenate([[0], np.cumsum(lengths)]),
        np.concatenate(types) if len(types) == len(parts) else None,
    )


def _plain_body(
    plain: PlainTokenizer, ids: np.ndarray, offsets: np.ndarray, encodings: Sequence[Any], pair: bool
) -> None:
    """Makes special tokens that a text's own words became into unknown ones; those the tokenizer adds stay.

    Vocabularies of T5's and DeBERTa's kind hold the special tokens as words, so that the text "</s>" becomes an end
    token, and T5's classifier refuses batches whose rows have differing numbers of those.
    """
    import numpy as np

    unknown = plain.unk_token_id
    special = [number for number in plain.special_ids if number != unknown]
    if unknown is None or not special:
        return
    is_special = np.isin(ids, special)
    counts = np.add.reduceat(is_special, offsets[:-1], dtype=np.int64)
    for row in np.flatnonzero(counts > plain.num_special_tokens(pair=pair)).tolist():
        own: np.ndarray = np.array([sequence is not None for sequence in _sequences(encodings[row])], dtype=np.bool_)
        part = slice(offsets[row], offsets[row + 1])
        ids[part][own & is_special[part]] = unknown


def _sequences(encoding: Any) -> list[int | None]:
    """Gives which text each token is of, None for added ones; one None where there is no token but the padding."""
    return encoding.sequence_ids or [None]


def _context_spans(encoding: Any) -> np.ndarray:
    """Gives first and last character of each of a window's tokens in the context (T, 2), -1 where it is not of it."""
    import numpy as np

    sequences = _sequences(encoding)
    spans = np.full((len(sequences), 2), -1, dtype=np.int32)
    count = sequences.count(1)
    if count:
        first = sequences.index(1)
        spans[first : first + count] = encoding.offsets[first : first + count]
    return spans


def _cut_questions(plain: PlainTokenizer, questions: Sequence[str], max_length: int, stride: int) -> list[str]:
    """Shortens questions so that a window has room for more context than the stride."""
    room = max_length - plain.num_special_tokens(pair=True) - stride - 1
    return [_cut(plain, question, room) for question in questions]


def _cut(plain: PlainTokenizer, text: str, most: int) -> str:
    """Gives the longest beginning of a text that has `most` tokens or fewer."""
    # A token is at least one character where those are ASCII, but for one that some tokenizers put before the first.
    while not (text.isascii() and len(text) < most):
        spans = plain.encode([text], add_special_tokens=False)[0].offsets
        if len(spans) <= most:
            break
        # A shorter text may be cut into other tokens, so look again.
        text = text[: min(spans[most][0], len(text) - 1)]
    return text
