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

from textxfer.records import Batch, Encoded

if TYPE_CHECKING:
    import numpy as np
    import torch

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


def context_mask(batch: Batch, windows: Encoded) -> torch.Tensor:
    """Marks the tokens that an answer may start or end with (B, T)."""
    import numpy as np
    import torch

    assert windows.spans is not None
    width = batch.input_ids.shape[1]
    lengths = windows.lengths[batch.indices]
    real = np.arange(width) < lengths[:, None]
    places = np.where(real, windows.offsets[batch.indices][:, None] + np.arange(width), 0)
    return torch.from_numpy(real & (windows.spans[places, 0] >= 0)).to(batch.input_ids.device)


def best_spans(
    start_logits: torch.Tensor, end_logits: torch.Tensor, allowed: torch.Tensor, max_answer_length: int
) -> dict[str, torch.Tensor]:
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
    import torch

    considered = allowed.clone()
    considered[:, 0] = True
    start = start_logits.float().masked_fill(~considered, LOWEST).softmax(dim=1)
    end = end_logits.float().masked_fill(~considered, LOWEST).softmax(dim=1)
    null = start[:, 0] * end[:, 0]
    start, end = start * allowed, end * allowed
    width = start.shape[1]
    longest = min(max_answer_length, width)
    products = torch.stack(
        [torch.nn.functional.pad(start[:, : width - step] * end[:, step:], (0, step)) for step in range(longest)], dim=2
    )
    kept = min(SPANS_KEPT, width * longest)
    scores, places = products.flatten(1).topk(kept, dim=1)
    first = places // longest
    spans = torch.stack([first, first + places % longest], dim=2)
    missing = SPANS_KEPT - kept
    spans = torch.nn.functional.pad(spans, (0, 0, 0, missing)).to(torch.int32)
    return {"spans": spans, "scores": torch.nn.functional.pad(scores, (0, missing)), "null": null}


def choose(reduced: Mapping[str, Any], windows: Encoded, contexts: Sequence[str], unanswerable: bool) -> Answers:
    """Gives the best answer of each question over its windows.

    Args:
        reduced: `spans`, `scores` and `null` of all N windows, as `best_spans` gives them, in numpy.
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
