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
from typing import TYPE_CHECKING

from textxfer.metrics._metric import ANSWERS, Metric

if TYPE_CHECKING:
    import numpy as np

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalised(answer: str) -> str:
    """Gives an answer in the form in which two answers are compared."""
    without = _ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION))
    return " ".join(without.split())


def mean_of_best(score: Callable[[str, str], float], summary: str, answerable: bool | None = None) -> Metric:
    """Makes a metric: the mean over rows of the best score against any reference.

    Args:
        score: Compares a prediction with one reference; gives a fraction 0..1.
        summary: Of the metric.
        answerable: True or False to count only questions with or without an answer.
    """

    def each(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
        import numpy as np

        return np.array(
            [
                max(score(given, text) for text in _usable(gold))
                if answerable is None or bool(gold) == answerable
                else math.nan
                for given, gold in zip(predictions, references, strict=True)
            ]
        )

    def compute(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> float:
        scores = each(predictions, references)
        counted = scores[scores == scores]  # NaN: does not count
        return float(counted.mean()) if len(counted) else math.nan

    return Metric(compute, judges=(ANSWERS,), summary=summary, each=each)


def _usable(references: Sequence[str]) -> Sequence[str]:
    return [text for text in references if normalised(text)] or [""]
