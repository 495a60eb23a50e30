"""`WordTree`: words as one sequence of tokens, of which a decoder reads all at once.

Words that begin alike share their first tokens, so that each is computed once: a prefix tree, laid out in a row. Each
token sees those that lead to it and no other, and stands as deep as they are many.

Letters in shapes: B texts, C labels, N tokens that are read, E tokens that are foretold, L of the longest words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile

import torch
from torch import nn
from torch.nn import functional

MOST_TOKENS = 512
"""Of a tree; the words of more labels make several, since attention in a tree costs the square of its tokens."""
UNSEEN = -1e9
"""Added to the score of a token that another must not see."""
Words = Sequence[Sequence[int]]


class WordTree(nn.Module):
    """The words of C labels, which tell what a decoder's logits mean for each.

    Args:
        words: Token ids, each ended by a token that ends no other's beginning.
        start: The token that a decoder reads first.

    Attributes:
        tokens: What the decoder reads (N,).
        depths: How many tokens lead to each (N,).
        mask: What is added to attention's scores (1, 1, N, N).
    """

    tokens: torch.Tensor
    depths: torch.Tensor
    mask: torch.Tensor
    places: torch.Tensor
    following: torch.Tensor
    paths: torch.Tensor

    def __init__(self, words: Words, start: int) -> None:
        super().__init__()
        tokens, parents = [start], [-1]
        foretold: dict[tuple[int, int], int] = {}
        nodes: dict[tuple[int, int], int] = {}
        paths: list[list[int]] = []
        for word in words:
            node, path = 0, []
            for token in word:
                path.append(foretold.setdefault((node, token), len(foretold)))
                if len(path) == len(word):
                    break  # nothing follows the end token, so that it is never read
                if (node, token) not in nodes:
                    nodes[node, token] = len(tokens)
                    tokens.append(token)
                    parents.append(node)
                node = nodes[node, token]
            paths.append(path)
        longest = max(map(len, paths))
        padded = [[*path, *[len(foretold)] * (longest - len(path))] for path in paths]
        seen = _seen(parents)
        mask = torch.zeros(seen.shape).masked_fill(~seen, UNSEEN)
        self._keep("tokens", torch.tensor(tokens))
        self._keep("depths", seen.sum(dim=1) - 1)
        self._keep("mask", mask[None, None])
        self._keep("places", torch.tensor([place for place, _ in foretold]))
        self._keep("following", torch.tensor([token for _, token in foretold]))
        self._keep("paths", torch.tensor(padded))

    def _keep(self, name: str, tensor: torch.Tensor) -> None:
        self.register_buffer(name, tensor, persistent=False)

    def scores(self, logits: torch.Tensor) -> torch.Tensor:
        """Gives the log of the probability of each label's words (B, C), in fp32.

        Args:
            logits: Of the tokens that were read (B, N, vocabulary).
        """
        logits = logits.float()
        each = logits[:, self.places, self.following] - logits.logsumexp(dim=2)[:, self.places]
        return functional.pad(each, (0, 1))[:, self.paths].sum(dim=2)


def grow(words: Words, start: int, most: int = MOST_TOKENS) -> Iterator[tuple[list[int], WordTree]]:
    """Gives trees that together hold all words, and which words each holds, by their places.

    Args:
        words: Token ids.
        start: The token that a decoder reads first.
        most: Tokens of a tree, but for words that are longer.
    """
    order = sorted(range(len(words)), key=lambda place: tuple(words[place]))
    group: list[int] = []
    size = 1
    for place in order:
        shared = _shared(words[place], words[group[-1]]) if group else 0
        new = len(words[place]) - 1 - shared
        if group and size + new > most:
            yield group, WordTree([words[each] for each in group], start)
            group, size, new = [], 1, len(words[place]) - 1
        group.append(place)
        size += new
    yield group, WordTree([words[each] for each in group], start)


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Gives how many tokens two words begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _seen(parents: Sequence[int]) -> torch.Tensor:
    """Gives which tokens each token sees (N, N): itself, and those that lead to it."""
    seen = torch.eye(len(parents), dtype=torch.bool)
    for place, parent in enumerate(parents):
        if parent >= 0:
            seen[place] |= seen[parent]
    return seen
