"""Cross-validated linear probes: how well frozen features foretell the labels of rows that a probe has not seen.

Letters in shapes: N rows, L layers, D values of a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textxfer.errors import DataError

if TYPE_CHECKING:
    import numpy as np

FOLDS = 5
"""Parts of the rows; each is judged by a probe that was fitted on the others."""
INVERSE_PENALTY = 0.05
"""The same for all, so that checkpoints and layers differ in nothing else."""
MOST_ROWS = 2000
"""Rows that a question about a checkpoint needs: the accuracy is then known to about a hundredth."""


@dataclass(frozen=True)
class ProbeScore:
    """What probes made of rows that they did not see.

    Attributes:
        right: Whether each row's label was foretold (N,).
        folds: Share of right rows in each part.
    """

    right: np.ndarray
    folds: Sequence[float]

    @property
    def accuracy(self) -> float:
        """Share of right rows."""
        return float(self.right.mean())

    @property
    def sd(self) -> float:
        """Standard deviation of the parts' accuracies."""
        import numpy as np

        return float(np.std(self.folds, ddof=1)) if len(self.folds) > 1 else 0.0

    def lead(self, other: ProbeScore) -> tuple[float, float]:
        """Gives by how much this accuracy is above another on the same rows, and the standard error of that."""
        import numpy as np

        difference = self.right.astype(np.float64) - other.right
        return float(difference.mean()), float(difference.std() / np.sqrt(len(difference)))


def probe_score(vectors: np.ndarray, labels: np.ndarray, *, folds: int = FOLDS, seed: int = 0) -> ProbeScore:
    """Gives the cross-validated accuracy of logistic regression on standardised vectors.

    Args:
        vectors: (N, D).
        labels: Label ids (N,). A label that stands in one part only is never right.
        folds: Parts; as many as rows where those are fewer.
        seed: Of the parts.

    Raises:
        DataError: There are fewer than two rows or two labels.
    """
    import numpy as np

    part = stratified_parts(labels, folds, seed)
    right = np.zeros(len(labels), dtype=bool)
    for number in range(part.max() + 1):
        unseen = part == number
        right[unseen] = _foretold(vectors[~unseen], labels[~unseen], vectors[unseen]) == labels[unseen]
    return ProbeScore(right, [float(right[part == number].mean()) for number in range(part.max() + 1)])


def layer_scores(
    vectors: np.ndarray,
    labels: np.ndarray,
    *,
    folds: int = FOLDS,
    seed: int = 0,
    between: Callable[[float], None] | None = None,
) -> list[ProbeScore]:
    """Gives the score of each layer, on the same parts of the rows.

    Args:
        vectors: (N, L, D).
        labels: Label ids (N,).
        folds: See `probe_score`.
        seed: Of the parts.
        between: Called before each layer with the share that is done; may raise to stop.

    Raises:
        DataError: There are fewer than two rows or two labels.
    """
    scores = []
    for layer in range(vectors.shape[1]):
        if between is not None:
            between(layer / vectors.shape[1])
        scores.append(probe_score(vectors[:, layer], labels, folds=folds, seed=seed))
    return scores


def stratified_parts(labels: np.ndarray, parts: int, seed: int) -> np.ndarray:
    """Gives the part of each row (N,): parts are of like size, and so are each label's shares of them.

    Raises:
        DataError: There are fewer than two rows or two labels.
    """
    import numpy as np

    check_labels(labels)
    count = len(labels)
    by_label = np.lexsort((np.random.default_rng(seed).random(count), labels))
    part = np.empty(count, dtype=np.int64)
    part[by_label] = np.arange(count) % min(parts, count)
    return part


def check_labels(labels: np.ndarray) -> None:
    """Makes sure that rows with these label ids can be cut into those that a probe sees and those it is judged on.

    Raises:
        DataError: There are fewer than two rows or two labels.
    """
    import numpy as np

    count, kinds = len(labels), len(np.unique(labels))
    if count < 2 or kinds < 2:
        raise DataError(f"a probe needs two rows of two labels at least; there are {count} rows of {kinds} labels")


def stratified_sample(labels: Sequence[str], most: int = MOST_ROWS, seed: int = 0) -> np.ndarray:
    """Gives the places of `most` rows, in order, in which each label has its share within one row; all where fewer."""
    import numpy as np

    count = len(labels)
    if count <= most:
        return np.arange(count)
    rng = np.random.default_rng(seed)
    by_label = np.lexsort((rng.random(count), np.unique(labels, return_inverse=True)[1]))
    return np.sort(by_label[((np.arange(most) + rng.random()) * count / most).astype(int)])


def _foretold(seen: np.ndarray, labels: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """Gives the labels that a probe fitted on some rows finds most probable for others."""
    import numpy as np

    from textxfer.modeling.probe import fit_probe

    known, own = np.unique(labels, return_inverse=True)
    probe = fit_probe(seen, own, len(known), inverse_penalty=INVERSE_PENALTY)
    found: np.ndarray = known[probe.logits(unseen).argmax(axis=1)]
    return found
