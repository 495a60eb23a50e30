"""How well frozen features foretell labels, without training: LogME, H-score, nearest neighbours.

They are formulas on one vector a row, and cheap beside the forward pass that gives the vectors. None of them knows what
fine-tuning would make of a checkpoint; they correlate with it (Bassignana et al. 2022, arXiv:2210.11255), no more.

Letters in shapes: N rows, D values of a vector, C labels, R rank of the vectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

MOST_ROUNDS = 200
"""Of LogME's fixed point; it mostly takes fewer than ten."""
CHANGE = 1e-8
"""Of alpha / beta between two rounds, as a share: below it the fixed point is found."""
LEAST = 1e-12
NEIGHBOURS = 5


def log_evidence(vectors: np.ndarray, labels: np.ndarray) -> float:
    """Gives LogME: the logarithm of the evidence of Bayesian linear regression on 0/1 labels, its mean over N and C.

    For each label y ~ Normal(F w, 1 / beta) with w ~ Normal(0, 1 / alpha); the evidence is the highest over alpha and
    beta, found by MacKay's fixed point in the basis of the singular vectors of F (You et al. 2021, arXiv:2102.11005,
    section 4). Comparable between checkpoints on the same rows only.

    Args:
        vectors: F (N, D).
        labels: Label ids (N,).
    """
    import numpy as np

    features, targets = vectors.astype(np.float64), _indicators(labels)
    rows, width = features.shape
    left, singular, _ = np.linalg.svd(features, full_matrices=False)
    kept = singular > singular.max(initial=0) * max(rows, width) * np.finfo(np.float64).eps
    power = singular[kept, None] ** 2  # (R, 1)
    inside = (left[:, kept].T @ targets) ** 2  # (R, C)
    whole = (targets**2).sum(axis=0)  # (C,)
    outside = np.maximum(whole - inside.sum(axis=0), 0)
    alpha = beta = np.ones_like(whole)
    for _ in range(MOST_ROUNDS):
        weights, residual, known = _posterior(power, inside, outside, alpha, beta)
        before = alpha / beta
        alpha = np.clip(known / np.maximum(weights, LEAST), LEAST, 1 / LEAST)
        beta = np.clip((rows - known) / np.maximum(residual, LEAST), LEAST, 1 / LEAST)
        if np.all(np.abs(alpha / beta - before) <= CHANGE * before):
            break
    weights, residual, _ = _posterior(power, inside, outside, alpha, beta)
    determinant = np.log(alpha + beta * power).sum(axis=0) + (width - kept.sum()) * np.log(alpha)
    evidence = (
        width / 2 * np.log(alpha)
        + rows / 2 * np.log(beta / (2 * np.pi))
        - beta / 2 * residual
        - alpha / 2 * weights
        - determinant / 2
    )
    return float(evidence.mean() / rows)


def _posterior(
    power: np.ndarray, inside: np.ndarray, outside: np.ndarray, alpha: np.ndarray, beta: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gives |w|^2, |F w - y|^2 and the number of well-determined weights at the mean of w, each (C,)."""
    sharpened = alpha + beta * power  # (R, C)
    weights = (beta**2 * power * inside / sharpened**2).sum(axis=0)
    residual = (alpha**2 * inside / sharpened**2).sum(axis=0) + outside
    return weights, residual, (beta * power / sharpened).sum(axis=0)


def h_score(vectors: np.ndarray, labels: np.ndarray) -> float:
    """Gives the H-score: trace(cov(f)^-1 cov(E[f | y])), the variance between labels over that within them and between.

    It lies between 0 and min(C - 1, D) (Bao et al. 2019, "An information-theoretic approach to transferability").
    Directions without variance are left out (the pseudo-inverse).

    Args:
        vectors: f (N, D).
        labels: Label ids (N,).

    Returns:
        The score; nan where there are no more rows than dimensions, for then it is high whatever the labels are.
    """
    import numpy as np

    rows, width = vectors.shape
    if rows <= width:
        return float("nan")
    features = vectors.astype(np.float64)
    features = features - features.mean(axis=0)
    targets = _indicators(labels)
    counts = targets.sum(axis=0)
    means = (targets.T @ features) / counts[:, None]  # (C, D)
    inverse = np.linalg.pinv(features.T @ features / rows, hermitian=True)
    between = (means.T * (counts / rows)) @ means
    return float((inverse * between).sum())


def neighbours_accuracy(vectors: np.ndarray, labels: np.ndarray, count: int = NEIGHBOURS) -> float:
    """Gives the share of rows whose nearest others, by the cosine, mostly have their label.

    Each of the `count` nearest votes with its likeness, 0 to 2, so that ties fall to the nearer ones. 0 where a row is
    alone.

    Args:
        vectors: (N, D).
        labels: Label ids (N,).
        count: Neighbours that vote.
    """
    import numpy as np

    features = vectors.astype(np.float64)
    features = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), LEAST)
    targets, own = _indicators(labels), np.unique(labels, return_inverse=True)[1]
    count = min(count, len(own) - 1)
    if count < 1:
        return 0.0
    likeness = features @ features.T + 1
    np.fill_diagonal(likeness, -np.inf)
    nearest = np.argpartition(-likeness, count - 1, axis=1)[:, :count]
    shares = np.take_along_axis(likeness, nearest, axis=1)
    votes = np.einsum("nk,nkc->nc", shares, targets[nearest])
    return float((votes.argmax(axis=1) == own).mean())


def _indicators(labels: np.ndarray) -> np.ndarray:
    """Gives a column of 0 and 1 for each label that occurs (N, C)."""
    import numpy as np

    known, own = np.unique(labels, return_inverse=True)
    return np.eye(len(known))[own]
