"""Texts to token ids, flat and without padding."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from textxfer.records import Encoded

if TYPE_CHECKING:
    import numpy as np

TEXTS_AT_A_TIME = 1000


def encode_texts(
    tokenizer: Any, texts: Sequence[str], pairs: Sequence[str] | None = None, *, max_length: int
) -> Encoded:
    """Tokenises texts or pairs of texts, cutting them at `max_length` tokens (pairs: the longer of the two first).

    Args:
        tokenizer: A tokenizer prepared by `modeling.checkpoint`.
        texts: R texts.
        pairs: R second texts, or None.
        max_length: In tokens, special ones counted.

    Returns:
        R examples without targets.
    """
    import numpy as np

    ids: list[list[int]] = []
    types: list[list[int]] = []
    truncated = 0
    for start in range(0, len(texts), TEXTS_AT_A_TIME):
        part = slice(start, start + TEXTS_AT_A_TIME)
        second = list(pairs[part]) if pairs is not None else None
        coded = tokenize(tokenizer, list(texts[part]), second, truncation=True, max_length=max_length)
        ids.extend(coded["input_ids"])
        types.extend(coded.get("token_type_ids", ()))
        truncated += sum(bool(encoding.overflowing) for encoding in coded.encodings)
    ids = [row or [tokenizer.pad_token_id] for row in ids]
    flat, offsets = flatten(ids, np.int32)
    _one_end_only(tokenizer, flat, offsets)
    type_ids = flatten(types, np.int8)[0] if types and len(types) == len(ids) else None
    return Encoded(flat, offsets, np.arange(len(ids)), token_type_ids=type_ids, truncated=truncated)


def encode_windows(
    tokenizer: Any, questions: Sequence[str], contexts: Sequence[str], *, max_length: int, stride: int
) -> Encoded:
    """Tokenises questions with their contexts, a long context in several windows.

    Args:
        tokenizer: A tokenizer prepared by `modeling.checkpoint`.
        questions: R questions; one that leaves too little room for its context is cut.
        contexts: R contexts.
        max_length: Tokens of a window, question and special tokens counted.
        stride: Tokens that two neighbouring windows share.

    Returns:
        N >= R examples without targets, with `spans`.
    """
    import numpy as np

    ids: list[list[int]] = []
    types: list[list[int]] = []
    spans: list[np.ndarray] = []
    rows: list[int] = []
    questions = _cut_questions(tokenizer, questions, max_length, stride)
    for start in range(0, len(questions), TEXTS_AT_A_TIME):
        part = slice(start, start + TEXTS_AT_A_TIME)
        coded = tokenize(
            tokenizer,
            list(questions[part]),
            list(contexts[part]),
            truncation="only_second",
            max_length=max_length,
            stride=stride,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        ids.extend(coded["input_ids"])
        types.extend(coded.get("token_type_ids", ()))
        rows.extend(start + place for place in coded["overflow_to_sample_mapping"])
        for encoding in coded.encodings:
            in_context = np.array([sequence == 1 for sequence in encoding.sequence_ids], dtype=bool)
            offsets = np.array(encoding.offsets, dtype=np.int32).reshape(-1, 2)
            spans.append(np.where(in_context[:, None], offsets, -1).astype(np.int32))
    empty = [place for place, row in enumerate(ids) if not row]
    for place in empty:
        ids[place], spans[place] = [tokenizer.pad_token_id], np.full((1, 2), -1, dtype=np.int32)
    flat, offsets = flatten(ids, np.int32)
    _one_end_only(tokenizer, flat, offsets)
    type_ids = flatten(types, np.int8)[0] if types and not empty else None
    flat_spans = np.concatenate(spans) if spans else np.zeros((0, 2), np.int32)
    return Encoded(flat, offsets, np.array(rows, dtype=np.int64), token_type_ids=type_ids, spans=flat_spans)


def tokenize(tokenizer: Any, texts: list[str], pairs: list[str] | None, **options: Any) -> Any:
    """Calls a tokenizer so that special tokens written in a text ("[SEP]", "<|endoftext|>") stay plain text."""
    return tokenizer(texts, pairs, padding=False, split_special_tokens=True, verbose=False, **options)


def flatten(rows: Sequence[Sequence[int]], dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """Gives all rows one after the other, and the offsets (len(rows) + 1) that cut them again."""
    import numpy as np

    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    return np.fromiter(chain.from_iterable(rows), dtype=dtype, count=int(offsets[-1])), offsets


def _one_end_only(tokenizer: Any, flat: np.ndarray, offsets: np.ndarray) -> None:
    """Leaves one end token in each row, its last.

    T5's tokenizer reads the text "</s>" as its end token, and its classifier refuses rows with several of them.
    """
    end, unknown = tokenizer.eos_token_id, tokenizer.unk_token_id
    if end is None or unknown is None or unknown == end:
        return
    inner = flat == end
    last = offsets[1:] - 1
    inner[last] = False
    flat[inner] = unknown


def _cut_questions(tokenizer: Any, questions: Sequence[str], max_length: int, stride: int) -> list[str]:
    """Shortens questions so that a window has room for more context than the stride."""
    room = max_length - tokenizer.num_special_tokens_to_add(pair=True) - stride - 1
    cut = []
    for question in questions:
        # A token is at least one character, so a short text needs no look.
        if len(question) > room:
            offsets = tokenize(tokenizer, [question], None, add_special_tokens=False, return_offsets_mapping=True)
            spans = offsets["offset_mapping"][0]
            if len(spans) > room:
                question = question[: spans[room - 1][1]]
        cut.append(question)
    return cut
