"""The metrics as objects of the `evaluate` library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import evaluate


def evaluate_metric(name: str, num_labels: int | None = None) -> evaluate.Metric:
    """Wraps one of our metrics as an `evaluate.Metric`, for `evaluate.combine` and friends; needs no network.

    Args:
        name: A metric's name, as in a recipe.
        num_labels: For label sets: their length C. Then predictions and references are lists of 0 and 1.

    Returns:
        A metric whose `compute(predictions=, references=)` gives `{name: score}`.

    Raises:
        RecipeError: There is no such metric, or it does not judge label sets and `num_labels` is given.
    """
    import datasets
    import evaluate

    from textxfer import registry
    from textxfer.errors import RecipeError
    from textxfer.metrics._metric import ANSWERS, LABEL_SETS

    metric = registry.load("metrics", name)
    if num_labels is not None and LABEL_SETS not in metric.judges:
        raise RecipeError(f"`{name}` judges {' or '.join(metric.judges)}, not label sets: leave `num_labels` out")
    number: Any = datasets.Value("int64")
    text: Any = datasets.Value("string")
    if ANSWERS in metric.judges:
        features = {"predictions": text, "references": datasets.List(text)}
    elif num_labels is not None:
        features = {"predictions": datasets.List(number), "references": datasets.List(number)}
    else:
        features = {"predictions": number, "references": number}

    class Wrapped(evaluate.Metric):
        def _info(self) -> evaluate.MetricInfo:
            return evaluate.MetricInfo(
                description=metric.summary,
                citation="",
                inputs_description="",
                features=datasets.Features(features),
            )

        def _compute(self, predictions: list[Any], references: list[Any]) -> dict[str, float]:
            if ANSWERS in metric.judges:
                return {name: metric.compute(predictions, references)}
            import numpy as np

            return {name: metric.compute(np.asarray(predictions), np.asarray(references))}

    Wrapped.__name__ = name
    return Wrapped()
