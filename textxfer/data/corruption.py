"""What a language model is asked: texts with tokens hidden, and the tokens to find.

Each example is drawn from numbers of its own, so that what is hidden does not depend on the batch, the micro-batch or
the process that an example is in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from textxfer.data.encode import flatten
from textxfer.records import UNPREDICTED, Encoded

if TYPE_CHECKING:
    import numpy as np

MASKED, RANDOM = 0.8, 0.1
"""Shares of the chosen tokens that the mask and a random token replace; the rest stays (Devlin et al. 2019)."""


class Rule(Protocol):
    """Hides tokens of one example."""

    def __call__(self, ids: np.ndarray, words: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Gives the ids to show and the ids to predict.

        Args:
            ids: Of the example's tokens (T,).
            words: The word of each, -1 for tokens that the tokenizer added (T,).
            rng: Of this example.
        """
        ...


@dataclass(frozen=True)
class WholeWords:
    """Masked language modelling (Devlin et al. 2019), all pieces of a word at once.

    Attributes:
        mask_id: Of the mask token.
        ordinary: Ids of the tokens that may stand in for others.
        rate: Share of the tokens that are to be predicted, one at least.
    """

    mask_id: int
    ordinary: np.ndarray
    rate: float = 0.15

    def __call__(self, ids: np.ndarray, words: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Hides words, in random order, as long as they fit into the share; the targets stand at their places."""
        import numpy as np

        targets = np.full(len(ids), UNPREDICTED, dtype=np.int64)
        known, word_of, sizes = np.unique(words, return_inverse=True, return_counts=True)
        order = rng.permutation(np.flatnonzero(known >= 0))
        if len(order) == 0:
            return ids, targets
        room = max(round(self.rate * int(sizes[order].sum())), 1)
        taken: list[int] = []
        for word in order.tolist():
            if sizes[word] <= room:
                taken.append(word)
                room -= int(sizes[word])
        if not taken:  # every word has more pieces than the share
            taken = [int(min(order, key=sizes.__getitem__))]
        chosen = np.isin(word_of, taken)
        targets[chosen] = ids[chosen]
        fate = rng.random(len(ids))
        shown = np.where(chosen & (fate < MASKED), self.mask_id, ids)
        strange = chosen & (fate >= MASKED) & (fate < MASKED + RANDOM)
        shown[strange] = rng.choice(self.ordinary, int(strange.sum()))
        return shown, targets


@dataclass(frozen=True)
class Spans:
    """Span corruption (Raffel et al. 2020, section 3.1.4): each hidden span is one sentinel, which opens its answer.

    Attributes:
        sentinels: Ids, in the order of use.
        end_id: Of the end token.
        rate: Share of the tokens that are hidden.
        mean_span: Mean length of a span, in tokens.
    """

    sentinels: Sequence[int]
    end_id: int
    rate: float = 0.15
    mean_span: float = 3.0

    def __call__(self, ids: np.ndarray, words: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Hides spans; the targets are the sentinels with what they stand for, and the end token."""
        import numpy as np

        body = ids[words >= 0]
        hidden = min(max(round(self.rate * len(body)), 1), len(body))
        kept = len(body) - hidden
        # A kept span stands before each hidden one, so there are no more of these than kept tokens.
        count = min(max(round(hidden / self.mean_span), 1), max(kept, 1), len(self.sentinels))
        lengths = zip(_lengths(kept, count, rng), _lengths(hidden, count, rng), strict=True)
        shown: list[int] = []
        targets: list[int] = []
        at = 0
        for sentinel, (before, within) in zip(self.sentinels, lengths, strict=False):
            shown += [*body[at : at + before].tolist(), sentinel]
            targets += [sentinel, *body[at + before : at + before + within].tolist()]
            at += before + within
        return np.array([*shown, self.end_id]), np.array([*targets, self.end_id], dtype=np.int64)


@dataclass(frozen=True)
class NextTokens:
    """Causal language modelling: every token is predicted from those before it.

    Attributes:
        start_id: Of the token that stands before the first, so that this is predicted too.
    """

    start_id: int

    def __call__(self, ids: np.ndarray, words: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Hides nothing; the targets stand at their own places, and the loss looks one place ahead."""
        import numpy as np

        return np.concatenate([[self.start_id], ids]), np.concatenate([[UNPREDICTED], ids]).astype(np.int64)


def corrupt(encoded: Encoded, places: np.ndarray, rule: Rule, seed: Sequence[int]) -> Encoded:
    """Gives examples as a language model gets them, with the tokens to find.

    Args:
        encoded: Whole examples, with `words`.
        places: Which of them.
        rule: How tokens are hidden.
        seed: Of the draw; each example adds its place, so that it is drawn alike in any company.
    """
    import numpy as np

    assert encoded.words is not None
    shown: list[Any] = []
    targets: list[Any] = []
    for place in places.tolist():
        part = slice(encoded.offsets[place], encoded.offsets[place + 1])
        rng = np.random.default_rng((*seed, place))
        inputs, wanted = rule(encoded.input_ids[part], encoded.words[part], rng)
        shown.append(inputs)
        targets.append(wanted)
    ids, offsets = flatten(shown, np.int32)
    flat, target_offsets = flatten(targets, np.int64)
    types = None
    if encoded.token_type_ids is not None:  # only families that keep the length of a text have them
        parts = [encoded.token_type_ids[encoded.offsets[place] : encoded.offsets[place + 1]] for place in places]
        types = np.concatenate(parts)
    return Encoded(
        ids, offsets, encoded.rows[places], token_type_ids=types, targets=flat, target_offsets=target_offsets
    )


def _lengths(total: int, count: int, rng: np.random.Generator) -> list[int]:
    """Cuts a total at random into `count` lengths, each one at least where that is possible."""
    import numpy as np

    if count == 1:
        return [total]
    cuts = np.sort(rng.permutation(total - 1)[: count - 1]) + 1
    lengths: list[int] = np.diff(np.concatenate([[0], cuts, [total]])).tolist()
    return lengths
