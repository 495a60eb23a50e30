"""What training makes small."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from textxfer.data.reviewed import WEIGHT
from textxfer.labels import LabelSet
from textxfer.records import Batch, Encoded, Split

if TYPE_CHECKING:
    import numpy as np
    import torch


def make_loss(
    summed: Callable[..., torch.Tensor],
    labels: LabelSet | None,
    *,
    label_smoothing: float = 0.0,
    class_weights: Literal["none", "balanced"] | Mapping[str, float] = "none",
    sets: int | None = None,
    weights: np.ndarray | None = None,
    device: Any = "cpu",
) -> Callable[[Any, Batch], torch.Tensor]:
    """Gives the loss of an output and its batch, summed over examples.

    Args:
        summed: Gives the loss summed over examples, as `Task.loss` does.
        labels: With counts, for `balanced`; None for answers.
        label_smoothing: Share of the target that is spread over all labels.
        class_weights: What a row of each label counts (1 where it has none), see `label_weights`.
        sets: Training rows, where each has a set of labels; None: one label.
        weights: What each of the N training examples counts, 1 where nothing is special. The loss of an example is
            multiplied by it, and the step still divides by the number of its examples: what a weight does to an
            example does not depend on the others of its step, as it is with class weights.
        device: Of the outputs.
    """
    import torch

    options: dict[str, Any] = {"label_smoothing": label_smoothing}
    of_labels = label_weights(labels, class_weights, sets)
    if of_labels is not None:
        options["class_weights"] = torch.tensor(of_labels, device=device)
    loss: Callable[..., torch.Tensor] = partial(summed, **options)
    if weights is None or (weights == 1).all():
        return loss
    on_device = torch.tensor(weights, dtype=torch.float32, device=device)
    return lambda output, batch: loss(output, batch, weights=batch.of(on_device))


def label_weights(
    labels: LabelSet | None,
    class_weights: Literal["none", "balanced"] | Mapping[str, float],
    sets: int | None = None,
) -> list[float] | None:
    """Gives what a row of each label counts (C,); None where all count the same.

    `balanced` weighs a label by the inverse of its rows, so that the mean weight of a training row is 1, as in
    scikit-learn. With label sets it weighs the rows that have a label so that they count as much as those without it.

    Args:
        labels: With counts; None for answers.
        class_weights: As a recipe has them.
        sets: See `make_loss`.
    """
    if labels is None or class_weights == "none":
        return None
    if isinstance(class_weights, Mapping):
        return [class_weights.get(name, 1.0) for name in labels.names]
    if sets is not None:
        return [(sets - count) / count if 0 < count < sets else 1.0 for count in labels.counts]
    total = sum(labels.counts)
    return [total / (len(labels) * max(count, 1)) for count in labels.counts]


def example_weights(train: Split, encoded: Encoded) -> np.ndarray | None:
    """Gives what each training example counts, as `make_loss` takes it: as much as its row; None where all count 1."""
    import numpy as np

    if WEIGHT not in train.rows.column_names:
        return None
    return np.array(train.rows[WEIGHT][:])[encoded.rows]
