"""Answers as spans of windows: targets for training, the best spans of a window, the best answer of a question.

A window's probability of a span is P(first token) x P(last token), each a softmax over the context's tokens and the
window's token 0, which stands for "no answer here" (Devlin et al. 2019, section 4.3). Spans that make the same words
add up within a window; between windows the larger counts.
"""

from __future__ import annotations

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
    for number, row in enumerate(windows.rows):
        answer = answers[row]
        if not answer["text"]:
            continue
        begin = answer["answer_start"][0]
        end = begin + len(answer["text"][0])
        spans = windows.spans[windows.offsets[number] : windows.offsets[number + 1]]
        inside = (spans[:, 0] >= 0) & (spans[:, 1] > spans[:, 0])
        touched = np.flatnonzero(inside & (spans[:, 0] < end) & (spans[:, 1] > begin))
        whole = len(touched) and spans[touched[0], 0] <= begin and spans[touched[-1], 1] >= end
        if whole:
            found[number] = touched[0], touched[-1]
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
        together: dict[str, list[float]] = {}
        for (first, last), score in zip(reduced["spans"][number], reduced["scores"][number], strict=True):
            if score <= 0:
                break
            begin, end = whole_words(context, int(token_spans[first, 0]), int(token_spans[last, 1]))
            known = together.setdefault(context[begin:end].lower(), [0.0, begin, end])
            known[0] += float(score)
        for score, begin, end in together.values():
            if score > best[row][0]:
                best[row] = (score, int(begin), int(end))
    if unanswerable:
        best = [(float(null[row]), 0, 0) if null[row] > best[row][0] else best[row] for row in range(len(contexts))]
    texts = [context[begin:end] for context, (_, begin, end) in zip(contexts, best, strict=True)]
    spans = np.array([(begin, end) for _, begin, end in best], dtype=np.int64).reshape(-1, 2)
    return Answers(texts, np.array([score for score, _, _ in best]), spans)


def whole_words(context: str, begin: int, end: int) -> tuple[int, int]:
    """Widens a span so that it cuts no word; scripts without spaces are left as they are."""

    def inside_word(left: int) -> bool:
        pair = context[left : left + 2]
        return len(pair) == 2 and all(letter.isalnum() and ord(letter) < 0x2E80 for letter in pair)

    while begin > 0 and inside_word(begin - 1):
        begin -= 1
    while inside_word(end - 1):
        end += 1
    while begin < end and context[begin].isspace():
        begin += 1
    return begin, end
