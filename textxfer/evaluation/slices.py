"""Scores of parts of the rows: by the values of a column, by length, by label."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from textxfer import registry
from textxfer.evaluation.intervals import intervals
from textxfer.evaluation.scoring import score
from textxfer.labels import LabelSet
from textxfer.records import Predictions

if TYPE_CHECKING:
    import numpy as np

LEAST_ROWS = 10
"""Rows below which a slice has no interval."""
MOST_VALUES = 50
"""Slices of a column; the largest ones."""


def parts_of(values: Sequence[Any]) -> dict[str, np.ndarray]:
    """Gives the places of each value, the largest slice first, the 50 largest at most."""
    import numpy as np

    names = np.array([str(value) for value in values], dtype=object)
    found, counts = np.unique(names.astype(str), return_counts=True)
    order = np.argsort(-counts, kind="stable")[:MOST_VALUES]
    return {str(found[place]): np.flatnonzero(names == found[place]) for place in order}


def quarters(lengths: Sequence[int]) -> dict[str, np.ndarray]:
    """Gives the places of short, medium and long rows, in quarters: "0 to 40 characters" and so on."""
    import numpy as np

    sizes = np.asarray(lengths)
    edges = np.unique(np.quantile(sizes, [0.25, 0.5, 0.75, 1.0], method="higher"))
    parts, low = {}, int(sizes.min())
    for edge in edges.tolist():
        places = np.flatnonzero((sizes >= low) & (sizes <= edge))
        if len(places):
            parts[f"{low} to {edge} characters"] = places
        low = edge + 1
    return parts


def scores_of_slices(
    predictions: Predictions,
    slices: Mapping[str, Mapping[str, np.ndarray]],
    metrics: Iterable[str],
    labels: LabelSet | None,
    groups: Sequence[Any] | None = None,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Gives the scores of every slice.

    Args:
        predictions: Of R rows, with references.
        slices: Places of rows by kind and name: {"length": {"0 to 40 characters": places}}.
        metrics: Names.
        labels: In the order of their ids; None for answers.
        groups: See `intervals`.

    Returns:
        {kind: {name: {"rows": n, metric: score, "intervals": {metric: [low, high]}}}}; no intervals for slices of fewer
        than 10 rows. Where all rows of a slice have the same label or label set, there are no metrics that weigh how
        labels are told apart: the F1 of labels that are not there is 0, and the precision of those that are there is 1,
        whatever the model does. For the same reason such a metric of label sets runs over the labels that occur in
        the slice, in predictions or references, as macro F1 does where each row has one label.
    """
    names = tuple(metrics)
    return {
        kind: {name: _scored(predictions, places, names, labels, groups) for name, places in parts.items()}
        for kind, parts in slices.items()
    }


def _scored(
    predictions: Predictions,
    places: np.ndarray,
    metrics: tuple[str, ...],
    labels: LabelSet | None,
    groups: Sequence[Any] | None,
) -> dict[str, Any]:
    values: dict[str, float] = {}
    sure: dict[str, list[float]] = {}
    chosen = None if groups is None else [groups[place] for place in places]
    for part, names, known in _judged(predictions.select(places), metrics, labels):
        if not names:
            continue
        values |= score(part, names, known).values
        if len(places) >= LEAST_ROWS:
            found = intervals(part, names, known, chosen, resamples=500).low_high
            sure |= {name: list(ends) for name, ends in found.items()}
    told = {"rows": len(places), **values}
    return told | {"intervals": sure} if len(places) >= LEAST_ROWS else told


def _judged(
    part: Predictions, metrics: tuple[str, ...], labels: LabelSet | None
) -> Iterator[tuple[Predictions, tuple[str, ...], LabelSet | None]]:
    """Gives what is to be judged of a slice, by which metrics, with which labels."""
    import numpy as np

    if labels is None:
        yield part, metrics, None
        return
    between = {name for name in metrics if registry.load("metrics", name).between_labels}
    references, predicted = np.asarray(part.references), np.asarray(part.predicted)
    alike = bool((references == references[0]).all())
    if references.ndim == 1 or alike or not between:
        yield part, tuple(name for name in metrics if not (alike and name in between)), labels
        return
    there = np.flatnonzero(references.any(axis=0) | predicted.any(axis=0))
    names = LabelSet(tuple(labels.names[place] for place in there))
    shares = None if part.probabilities is None else part.probabilities[:, there]
    own = replace(part, references=references[:, there], predicted=predicted[:, there], probabilities=shares)
    yield part, tuple(name for name in metrics if name not in between), labels
    yield own, tuple(name for name in metrics if name in between), names
