"""What the metrics of answers share: SQuAD's normalisation, and the choice of rows.

The normalisation is that of the official SQuAD evaluation (Rajpurkar et al. 2016, 2018): lower case, no ASCII
punctuation, no English articles, single spaces. A reference of which nothing is left ("the") is passed over. A row
without references is right when the answer is "".
"""

from __future__ import annotations

import math
import re
import string
from collections.abc import Callable, Sequence

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalised(answer: str) -> str:
    """Gives an answer in the form in which two answers are compared."""
    without = _ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION))
    return " ".join(without.split())


def mean_of_best(
    score: Callable[[str, str], float], answerable: bool | None = None
) -> Callable[[Sequence[str], Sequence[Sequence[str]]], float]:
    """Makes a metric: the mean over rows of the best score against any reference.

    Args:
        score: Compares a prediction with one reference.
        answerable: True or False to count only questions with or without an answer.

    Returns:
        A function of predictions and references that gives a fraction 0..1, or NaN where no row counts.
    """

    def compute(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> float:
        pairs = [
            (given, gold)
            for given, gold in zip(predictions, references, strict=True)
            if answerable is None or bool(gold) == answerable
        ]
        if not pairs:
            return math.nan
        return sum(max(score(given, text) for text in _usable(gold)) for given, gold in pairs) / len(pairs)

    return compute


def _usable(references: Sequence[str]) -> Sequence[str]:
    return [text for text in references if normalised(text)] or [""]
