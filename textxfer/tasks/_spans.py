"""Answers as spans of windows: targets for training, the best spans of a window, the best answer of a question.

A window's probability of a span is P(first token) x P(last token), each a softmax over the context's tokens and the
window's token 0, which stands for "no answer here" (Devlin et al. 2019, section 4.3). Spans that make the same words
add up within a window; between windows the larger counts.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textxfer.records import Encoded

if TYPE_CHECKING:
    import numpy as np

LOWEST = -1e4
SPANS_KEPT = 20


@dataclass(frozen=True)
class Answers:
    """One answer a row.

    Attributes:
        texts: "" where there is none.
        scores: Probability of each (R,).
        spans: First character and the one past the last (R, 2); 0, 0 where there is none.
    """

    texts: list[str]
    scores: np.ndarray
    spans: np.ndarray


def targets(windows: Encoded, answers: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Gives first and last token of the first reference in each window (N, 2); 0, 0 where the window lacks it."""
    import numpy as np

    assert windows.spans is not None
    found = np.zeros((len(windows), 2), dtype=np.int64)
    reach = np.zeros((len(windows), 2), dtype=np.int64)
    whole: dict[int, tuple[int, int]] = {}
    for number, row in enumerate(windows.rows.tolist()):
        if not answers[row]["text"]:
            continue
        begin = answers[row]["answer_start"][0]
        end = begin + len(answers[row]["text"][0])
        first, last = windows.spans[windows.offsets[number] : windows.offsets[number + 1]].T
        touched = np.flatnonzero((first >= 0) & (last > first) & (first < end) & (last > begin))
        if len(touched):
            found[number] = touched[0], touched[-1]
            reach[number] = first[touched[0]], last[touched[-1]]
            known = whole.get(row, (end, begin))
            whole[row] = min(known[0], reach[number, 0]), max(known[1], reach[number, 1])
    # Characters that the tokenizer drops do not count: the whole answer is what any windows hold of it together.
    for number, row in enumerate(windows.rows.tolist()):
        if row in whole and tuple(reach[number]) != whole[row]:
            found[number] = 0
    return found


def context_mask(indices: np.ndarray, windows: Encoded, width: int) -> np.ndarray:
    """Marks the tokens that an answer may start or end with (B, T).

    Args:
        indices: Places of the batch's windows (B,).
        windows: All of them.
        width: T.
    """
    import numpy as np

    assert windows.spans is not None
    lengths = windows.lengths[indices]
    real: np.ndarray = np.arange(width) < lengths[:, None]
    places = np.where(real, windows.offsets[indices][:, None] + np.arange(width), 0)
    return real & (windows.spans[places, 0] >= 0)


def best_spans(
    start_logits: np.ndarray, end_logits: np.ndarray, allowed: np.ndarray, max_answer_length: int
) -> dict[str, np.ndarray]:
    """Gives the most probable spans of each window.

    Args:
        start_logits: (B, T).
        end_logits: (B, T).
        allowed: Tokens of the context (B, T).
        max_answer_length: In tokens.

    Returns:
        `spans` (B, K, 2) first and last token, `scores` (B, K) probabilities, best first (0 where there are fewer than
        K spans), `null` (B,) the probability of no answer.
    """
    import numpy as np

    considered = allowed.copy()
    considered[:, 0] = True
    start, end = _softmax(start_logits, considered), _softmax(end_logits, considered)
    null = start[:, 0] * end[:, 0]
    start, end = start * allowed, end * allowed
    longest = min(max_answer_length, start.shape[1])
    # The last tokens that a span may have (B, T, longest), by its first.
    ends = np.lib.stride_tricks.sliding_window_view(np.pad(end, ((0, 0), (0, longest - 1))), longest, axis=1)
    best_end = end.copy()
    for step in range(1, longest):
        np.maximum(best_end[:, :-step], end[:, step:], out=best_end[:, :-step])
    # A span among the K best begins where one of the K best beginnings is.
    beginnings = np.sort(np.argsort(-start * best_end, axis=1, kind="stable")[:, :SPANS_KEPT], axis=1)
    windows = np.arange(len(start))[:, None]
    products = (start[windows, beginnings][:, :, None] * ends[windows, beginnings]).reshape(len(start), -1)
    order = np.argsort(-products, axis=1, kind="stable")[:, :SPANS_KEPT]
    scores = np.take_along_axis(products, order, axis=1)
    first = np.take_along_axis(beginnings, order // longest, axis=1)
    spans = np.stack([first, first + order % longest], axis=2).astype(np.int32)
    missing = (0, SPANS_KEPT - order.shape[1])
    return {
        "spans": np.pad(spans, ((0, 0), missing, (0, 0))),
        "scores": np.pad(scores, ((0, 0), missing)),
        "null": null,
    }


def _softmax(logits: np.ndarray, considered: np.ndarray) -> np.ndarray:
    """Gives each row's probabilities (B, T), 0 where a token is not considered."""
    import numpy as np

    masked = np.where(considered, logits, LOWEST)
    shares = np.exp(masked - masked.max(axis=1, keepdims=True))
    softmax: np.ndarray = shares / shares.sum(axis=1, keepdims=True)
    return softmax


def choose(reduced: Mapping[str, Any], windows: Encoded, contexts: Sequence[str], unanswerable: bool) -> Answers:
    """Gives the best answer of each question over its windows.

    Args:
        reduced: `spans`, `scores` and `null` of all N windows, as `best_spans` gives them.
        windows: Where tokens stand in their contexts.
        contexts: One a row (R).
        unanswerable: Whether the answer may be that there is none: then it is chosen where every window's probability
            of no answer is above the best span's.
    """
    import numpy as np

    assert windows.spans is not None
    best: list[tuple[float, int, int]] = [(0.0, 0, 0)] * len(contexts)
    null = np.ones(len(contexts))
    for number, row in enumerate(windows.rows):
        context = contexts[row]
        null[row] = min(null[row], float(reduced["null"][number]))
        token_spans = windows.spans[windows.offsets[number] :]
        together: dict[str, tuple[float, int, int]] = {}
        for (first, last), score in zip(reduced["spans"][number], reduced["scores"][number], strict=True):
            if score <= 0:
                break
            begin, end = whole_words(context, int(token_spans[first, 0]), int(token_spans[last, 1]))
            key = context[begin:end].lower()
            earlier, begin, end = together.get(key, (0.0, begin, end))
            together[key] = (earlier + float(score), begin, end)
        best[row] = max([best[row], *together.values()], key=lambda answer: answer[0])
    if unanswerable:
        best = [(float(null[row]), 0, 0) if null[row] > best[row][0] else best[row] for row in range(len(contexts))]
    texts = [context[begin:end] for context, (_, begin, end) in zip(contexts, best, strict=True)]
    spans = np.array([(begin, end) for _, begin, end in best], dtype=np.int64).reshape(-1, 2)
    return Answers(texts, np.array([score for score, _, _ in best]), spans)


def whole_words(context: str, begin: int, end: int) -> tuple[int, int]:
    """Widens a span so that it cuts no word; scripts without spaces are left as they are."""
    while 0 < begin < len(context) and _spaced(context[begin - 1]) and _spaced(context[begin]):
        begin -= 1
    while 0 < end < len(context) and _spaced(context[end - 1]) and _spaced(context[end]):
        end += 1
    while begin < end and context[begin].isspace():
        begin += 1
    return begin, end


def _spaced(letter: str) -> bool:
    """Says whether a character belongs to words that spaces separate."""
    # From the CJK radicals on, and in Thai to Myanmar and Khmer, words stand without spaces.
    if letter >= "\u2e80" or "\u0e00" <= letter < "\u10a0" or "\u1780" <= letter < "\u1800":
        return False
    return unicodedata.category(letter)[0] in "LMN"  # letters, the marks they carry, numbers
