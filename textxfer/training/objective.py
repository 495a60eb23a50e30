"""What training makes small."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from textxfer.labels import LabelSet
from textxfer.records import Batch
from textxfer.tasks import Task

if TYPE_CHECKING:
    import torch


def make_loss(
    task: Task,
    labels: LabelSet | None,
    *,
    label_smoothing: float = 0.0,
    class_weights: Literal["none", "balanced"] | Mapping[str, float] = "none",
    device: Any = "cpu",
) -> Callable[[Any, Batch], torch.Tensor]:
    """Gives the loss of a stock output and its batch, summed over examples.

    Args:
        task: Whose loss it is.
        labels: With counts, for `balanced`; None for answers.
        label_smoothing: Share of the target that is spread over all labels.
        class_weights: A weight for each label (1 where it has none); `balanced` weighs each by the inverse of its
            rows, so that the mean weight of a training row is 1, as in scikit-learn.
        device: Of the outputs.
    """
    import torch

    options: dict[str, Any] = {"label_smoothing": label_smoothing}
    if labels is not None and class_weights != "none":
        if isinstance(class_weights, Mapping):
            weights = [class_weights.get(name, 1.0) for name in labels.names]
        else:
            total = sum(labels.counts)
            weights = [total / (len(labels) * max(count, 1)) for count in labels.counts]
        options["class_weights"] = torch.tensor(weights, device=device)
    return partial(task.loss, **options)
