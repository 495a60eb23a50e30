"""Runs that were judged on the same test rows, brought into one order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from textxfer.errors import DataError, shortened
from textxfer.labels import LabelSet
from textxfer.records import Predictions


@dataclass(frozen=True)
class JudgedRun:
    """A run's test rows and what it made of them.

    Attributes:
        name: What the run is called in tables and messages.
        predictions: Of R rows, with references.
        labels: In the order of their ids; None for answers.
        metrics: Names of the metrics it was judged by.
        select_by: The metric that chose its weights.
        recipe: The same text for all seeds of one recipe; None: it is compared by itself.
        seed: Of the training.
        texts: What to show of each row (R,), where that is known.
        groups: What each row belongs to (R,), as the contexts of questions; None: every row for itself.
    """

    name: str
    predictions: Predictions
    labels: LabelSet | None
    metrics: tuple[str, ...]
    select_by: str | None = None
    recipe: str | None = None
    seed: int | None = None
    texts: Sequence[str] | None = None
    groups: Sequence[Any] | None = None

    @property
    def kind(self) -> str:
        """What it predicts, in words."""
        if self.labels is None:
            return "answers"
        return "labels" if self.predictions.references.ndim == 1 else "any number of labels"

    def reference(self, row: int) -> str:
        """Gives a row's reference as people read it."""
        return self._in_words(self.predictions.references[row])

    def prediction(self, row: int) -> str:
        """Gives a row's prediction as people read it."""
        return self._in_words(self.predictions.predicted[row])

    def _in_words(self, value: Any) -> str:
        if self.labels is None:
            return value or "(no answer)" if isinstance(value, str) else " | ".join(value) or "(no answer)"
        if self.kind == "labels":
            return self.labels.names[value]
        return ", ".join(name for name, has in zip(self.labels.names, value, strict=True) if has) or "(none)"


def aligned(runs: Sequence[JudgedRun]) -> list[JudgedRun]:
    """Gives the runs with their rows in the first one's order and their labels under the same ids.

    Raises:
        DataError: They were not judged on the same rows, or do not predict the same kind of thing.
    """
    first, *others = runs
    problems = [
        f"{run.name} predicts {run.kind}, {first.name} {first.kind}: they cannot be compared"
        for run in others
        if run.kind != first.kind
    ]
    if problems:
        raise DataError(*problems)
    names = tuple(dict.fromkeys(name for run in runs if run.labels for name in run.labels.names))
    labels = None if first.labels is None else LabelSet(names)
    keys = _keys(first)
    same = [_reordered(first, range(len(keys)), labels)]
    for run in others:
        place = {key: row for row, key in enumerate(_keys(run))}
        if place.keys() != set(keys):
            problems.append(_other_ids(first.name, keys, run.name, list(place)))
        else:
            same.append(_reordered(run, [place[key] for key in keys], labels))
            problems.extend(_other_content(same[0], same[-1]))
    if problems:
        raise DataError(*shortened(problems), "only runs with the same test rows can be compared")
    return same


def _keys(run: JudgedRun) -> list[tuple[str, int]]:
    """Gives each row's id, and how often the id came before."""
    seen: Counter[str] = Counter()
    keys = []
    for row_id in run.predictions.ids:
        keys.append((row_id, seen[row_id]))
        seen[row_id] += 1
    return keys


def _other_ids(first: str, keys: list[tuple[str, int]], other: str, other_keys: list[tuple[str, int]]) -> str:
    said = []
    for name, own, known in ((first, keys, set(other_keys)), (other, other_keys, set(keys))):
        alone = [row_id for row_id, time in own if (row_id, time) not in known]
        if alone:
            said.append(f"{len(alone)} of {len(own)} rows are in {name} only (the first: id {alone[0]!r})")
    return f"{first} and {other} have different test rows: {'; '.join(said)}"


def _reordered(run: JudgedRun, order: Sequence[int], labels: LabelSet | None) -> JudgedRun:
    def taken(values: Sequence[Any] | None) -> list[Any] | None:
        return None if values is None else [values[row] for row in order]

    said = run.predictions
    predictions = Predictions(
        [said.ids[row] for row in order],
        _under(labels, run.labels, taken(said.predicted)),
        _under(labels, run.labels, taken(said.references)),
    )
    return replace(run, predictions=predictions, labels=labels, texts=taken(run.texts), groups=taken(run.groups))


def _under(labels: LabelSet | None, own: LabelSet | None, values: Any) -> Any:
    """Gives label ids, or label sets, under the ids of `labels` instead of a run's own."""
    import numpy as np

    if labels is None or own is None:
        return values
    ids = np.array([labels.label2id[name] for name in own.names])
    values = np.array(values)
    if values.ndim == 1:
        return ids[values]
    sets = np.zeros((len(values), len(labels)), np.int64)
    sets[:, ids] = values
    return sets


def _other_content(first: JudgedRun, run: JudgedRun) -> Iterator[str]:
    """Says where rows of one id have other references, or other texts, in two runs in the same order."""
    ids = first.predictions.ids
    golds = first.predictions.references, run.predictions.references
    differ = [row for row in range(len(ids)) if _differ(golds[0][row], golds[1][row])]
    if differ:
        row = differ[0]
        yield (
            f"{first.name} and {run.name} have different references in {len(differ)} of {len(ids)} rows (the first: id "
            f"{ids[row]!r}, {first.reference(row)!r} against {run.reference(row)!r})"
        )
    if first.texts is None or run.texts is None:
        return
    differ = [row for row in range(len(ids)) if first.texts[row] != run.texts[row]]
    if differ:
        row = differ[0]
        yield (
            f"{first.name} and {run.name} have different texts in {len(differ)} of {len(ids)} rows (the first: id "
            f"{ids[row]!r}, {first.texts[row][:40]!r} against {run.texts[row][:40]!r})"
        )


def _differ(one: Any, other: Any) -> bool:
    different: Any = one != other
    return bool(different if isinstance(different, bool) else different.any())
