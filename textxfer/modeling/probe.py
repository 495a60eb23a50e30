"""`fit_probe`: logistic regression on frozen features, as the weight and bias of a linear layer.

The features are standardised for the fit, and that is folded into the result: it takes features as they are. How
strongly large weights are penalised is chosen on a fifth of the rows, by the loss there, so that the probabilities of
the probe are neither too sure nor too timid; the fit is then repeated on all rows.

Letters in shapes: N examples, C labels, D values of a feature vector.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

INVERSE_PENALTIES = (0.001, 0.01, 0.1, 1.0, 10.0)
"""Tried in this order while the loss on the held-out rows falls."""
USUAL_PENALTY = 0.1
"""Where there are too few rows to hold some back."""
LEAST_HELD_OUT = 8
MOST_ITERATIONS = 200
"""Of the solver, in one fit."""
NARROWEST = 1e-3
"""Least spread of a feature that is believed, as a share of the usual one; what varies less counts as constant."""
SHARE_OF_SIZE = 0.1
"""Least spread of a feature that is believed, as a share of its root mean square."""
WORTH_THREADS = 1e9
"""Products of one pass over the features that are worth several threads: below, waiting for each other takes longer,
and beside other work on the same cores a hundred times as long."""


@dataclass(frozen=True)
class Probe:
    """A linear layer from features to logits.

    Attributes:
        weight: (C, D) float32.
        bias: (C,) float32.
        inverse_penalty: What was chosen; `C` of scikit-learn.
        converged: Whether the solver came to its end.
    """

    weight: np.ndarray
    bias: np.ndarray
    inverse_penalty: float
    converged: bool

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Gives the logits (N, C) for features (N, D)."""
        logits: np.ndarray = features @ self.weight.T + self.bias
        return logits


def fit_probe(
    features: np.ndarray,
    targets: np.ndarray,
    num_labels: int,
    *,
    label_weights: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    inverse_penalty: float | None = None,
    seed: int = 0,
    between: Callable[[], None] = lambda: None,
) -> Probe:
    """Fits a probe: multinomial for label ids, one label against the rest for label sets.

    Labels without a row get no weight and a bias that makes them as rare as half a row.

    Args:
        features: (N, D), finite.
        targets: Label ids (N,), or label sets (N, C) of 0 and 1.
        num_labels: C.
        label_weights: What a row of each label counts in the loss (C,); of label sets, a row that has it.
        weights: What each example counts in the loss (N,).
        inverse_penalty: Of the weights; default: chosen on held-out rows.
        seed: Of the choice of those rows.
        between: Called before each fit; may raise to stop.
    """
    import numpy as np

    if weights is not None:
        counted = weights > 0
        features, targets, weights = features[counted], targets[counted], weights[counted]
    mean, scale = _spread(features)
    inputs = ((features - mean) / scale).astype(np.float32)
    rows = _Rows(inputs, targets, np.ones(len(inputs)) if weights is None else weights, label_weights, num_labels)
    chosen = inverse_penalty if inverse_penalty is not None else _choose(rows, seed, between)
    between()
    fit = rows.fit(chosen)
    weight = fit.weight / scale
    bias = fit.bias - weight @ mean
    return Probe(weight.astype(np.float32), bias.astype(np.float32), chosen, fit.converged)


def logistic(inputs: Any, labels: np.ndarray, inverse_penalty: float, weights: np.ndarray | None = None) -> Any:
    """Gives scikit-learn's logistic regression, fitted without a penalty on the bias; `n_iter_` tells whether it ended.

    Args:
        inputs: (N, D), dense or sparse; standardised, or the penalty means little.
        labels: (N,), of two kinds at least.
        inverse_penalty: `C`.
        weights: What each example counts (N,).
    """
    import numpy as np
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=inverse_penalty, max_iter=MOST_ITERATIONS)
    products = float(inputs.shape[0]) * inputs.shape[1] * len(np.unique(labels))
    threads = _thread_pools().limit(limits=1) if products < WORTH_THREADS else contextlib.nullcontext()
    with threads, warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the caller looks at `n_iter_`
        return model.fit(inputs, labels, sample_weight=weights)


@functools.cache
def _thread_pools() -> Any:
    """Gives what limits the threads of the libraries that are loaded; to look for them takes as long as a small fit."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@dataclass(frozen=True)
class _Fit:
    """A linear layer on standardised features, in float64."""

    weight: np.ndarray
    bias: np.ndarray
    converged: bool


@dataclass(frozen=True)
class _Rows:
    """What a probe is fitted on: standardised features, and what each row and label counts."""

    inputs: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    label_weights: np.ndarray | None
    num_labels: int

    def select(self, places: np.ndarray) -> _Rows:
        return _Rows(
            self.inputs[places], self.targets[places], self.weights[places], self.label_weights, self.num_labels
        )

    @property
    def sets(self) -> bool:
        return self.targets.ndim == 2

    def fit(self, inverse_penalty: float) -> _Fit:
        return self._one_by_one(inverse_penalty) if self.sets else self._multinomial(inverse_penalty)

    def loss(self, fit: _Fit) -> float:
        """Gives the weighted mean cross-entropy of a fit on these rows."""
        import numpy as np

        logits = self.inputs @ fit.weight.T + fit.bias
        if self.sets:
            each = np.logaddexp(0, logits) - self.targets * logits
            counts = np.broadcast_to(self.weights[:, None], each.shape)
            if self.label_weights is not None:
                counts = counts * np.where(self.targets > 0, self.label_weights, 1.0)
            return float((each * counts).sum() / counts.sum())
        own = logits[np.arange(len(logits)), self.targets]
        return float(np.average(_log_sum_exp(logits) - own, weights=self._counts()))

    def _counts(self) -> np.ndarray:
        return self.weights if self.label_weights is None else self.weights * self.label_weights[self.targets]

    def _multinomial(self, inverse_penalty: float) -> _Fit:
        import numpy as np

        weight, bias = np.zeros((self.num_labels, self.inputs.shape[1])), np.zeros(self.num_labels)
        present, converged = np.unique(self.targets), True
        if len(present) > 1:
            model = logistic(self.inputs, self.targets, inverse_penalty, self._counts())
            converged = int(model.n_iter_.max()) < MOST_ITERATIONS
            # For two labels there is one row, of the difference of their logits.
            both = np.array([[-0.5], [0.5]]) if len(present) == 2 else None
            weight[present] = model.coef_ if both is None else both * model.coef_
            bias[present] = model.intercept_ if both is None else both[:, 0] * model.intercept_
        if len(present) < self.num_labels:
            known = self.inputs @ weight[present].T + bias[present]
            absent = np.setdiff1d(np.arange(self.num_labels), present)
            bias[absent] = _log_sum_exp(known).mean() - np.log(2 * len(known))
        return _Fit(weight, bias, converged)

    def _one_by_one(self, inverse_penalty: float) -> _Fit:
        import numpy as np

        weight, bias = np.zeros((self.num_labels, self.inputs.shape[1])), np.zeros(self.num_labels)
        converged = True
        for label, chosen in enumerate(self.targets.T > 0):
            if chosen.all() or not chosen.any():
                bias[label] = np.log(2 * len(chosen) + 1) * (1 if chosen.all() else -1)
                continue
            own = 1.0 if self.label_weights is None else self.label_weights[label]
            counts = np.where(chosen, own, 1.0) * self.weights
            model = logistic(self.inputs, chosen, inverse_penalty, counts)
            converged &= int(model.n_iter_.max()) < MOST_ITERATIONS
            weight[label], bias[label] = model.coef_[0], model.intercept_[0]
        return _Fit(weight, bias, converged)


def _spread(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gives the mean of each feature and what it is divided by (D,): its standard deviation, or what else is larger.

    Rounding must not become a feature as loud as the others. And dropout, once the layer is trained, takes a feature
    away as a whole: one that is large and hardly varies would then add far more noise than it tells (Wager et al. 2013,
    where dropout is a penalty by a feature's size).
    """
    import numpy as np

    mean, spread = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    usual = float(np.sqrt((spread**2).mean()))
    scale = np.maximum(np.maximum(spread, NARROWEST * usual), SHARE_OF_SIZE * np.hypot(mean, spread))
    return mean, np.where(scale > 0, scale, 1.0)


def _choose(rows: _Rows, seed: int, between: Callable[[], None]) -> float:
    """Gives the penalty with the least loss on a fifth of the rows; each label keeps a row among the others."""
    import numpy as np

    order = np.random.default_rng(seed).permutation(len(rows.targets))
    if not rows.sets:
        _, first = np.unique(rows.targets[order], return_index=True)
        order = np.concatenate([np.delete(order, first), order[first]])
    held_out = min(len(order) // 5, len(order) - (0 if rows.sets else len(first)))
    if held_out < LEAST_HELD_OUT:
        return USUAL_PENALTY
    seen, unseen = rows.select(order[held_out:]), rows.select(order[:held_out])
    best, least = USUAL_PENALTY, float("inf")
    for inverse_penalty in INVERSE_PENALTIES:
        between()
        loss = unseen.loss(seen.fit(inverse_penalty))
        if loss >= least:
            break
        best, least = inverse_penalty, loss
    return best


def _log_sum_exp(logits: np.ndarray) -> np.ndarray:
    import numpy as np

    highest = logits.max(axis=1)
    total: np.ndarray = highest + np.log(np.exp(logits - highest[:, None]).sum(axis=1))
    return total
