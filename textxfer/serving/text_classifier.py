"""`TextClassifier`: labels for texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict, overload

from textxfer.errors import CheckpointError
from textxfer.evaluation.conformal import LEAST_COVERAGE, label_sets
from textxfer.serving._inputs import Row, pieces, text_rows
from textxfer.serving.engine import Engine

if TYPE_CHECKING:
    import numpy as np

    from textxfer.serving.assess import Assessment

Text = str | Mapping[str, str]
TopK = int | Literal["set"] | None


class Scored(TypedDict):
    """A label with its probability; None where the best one is less probable than `min_confidence`."""

    label: str | None
    score: float


class TextClassifier:
    """Labels for texts; made by `pipeline`.

    Attributes:
        labels: Names in the order of their ids.
        pairs: Whether it labels pairs of texts, and so takes no single ones; None where nothing tells.
    """

    def __init__(self, engine: Engine) -> None:
        assert engine.labels is not None
        self.labels = engine.labels.names
        self.pairs = engine.pairs
        self._engine = engine

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a str is an iterable of str, too
        self, texts: Text, top_k: TopK = 1, *, min_confidence: float | None = None, coverage: float | None = None
    ) -> list[Scored]: ...

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self,
        texts: Iterator[Text],
        top_k: Literal[1] = 1,
        *,
        min_confidence: float | None = None,
        coverage: None = None,
    ) -> Iterator[Scored]: ...

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, texts: Iterator[Text], top_k: TopK = 1, *, min_confidence: None = None, coverage: float | None = None
    ) -> Iterator[list[Scored]]: ...

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self,
        texts: Iterable[Text],
        top_k: Literal[1] = 1,
        *,
        min_confidence: float | None = None,
        coverage: None = None,
    ) -> list[Scored]: ...

    @overload
    def __call__(
        self, texts: Iterable[Text], top_k: TopK = 1, *, min_confidence: None = None, coverage: float | None = None
    ) -> list[list[Scored]]: ...

    def __call__(
        self,
        texts: Text | Iterable[Text],
        top_k: TopK = 1,
        *,
        min_confidence: float | None = None,
        coverage: float | None = None,
    ) -> Any:
        """Gives labels and their probabilities.

        Args:
            texts: A text, a pair {"text": ..., "text_pair": ...}, or many of them: a list, a column, a
                `datasets.Dataset` or pandas DataFrame whose columns have these names. A model that was trained on
                pairs takes pairs alone. An iterator (a generator, an open file) is a stream: results come one by one,
                in bounded memory; up to 1,024 texts are read ahead.
            top_k: How many labels, best first; None gives all. "set" gives the labels that the model says a text has:
                with several labels a text those that reach their thresholds, none perhaps; else the best one.
            min_confidence: From 0 to 1. Where the best label is less probable, "label" is None and "score" its
                probability. Goes with `top_k=1`.
            coverage: From 0.5 to below 1. Gives label sets that hold the right label in at least this share of texts
                like those of validation: one label where the model is sure, more where it is not. Needs a model that
                was trained with `calibrate: auto` and 300 validation rows or more.

        Returns:
            For one text a list of {"label": str, "score": float}, best first; for many, one such dict each with
            `top_k=1`, and one list each with any other `top_k` and with `coverage`. For a stream an iterator of these.

        Raises:
            DataError: A text is no text, or no pair where the model labels pairs; of a stream, when it is its turn.
            CheckpointError: The model cannot promise this coverage.
        """
        if top_k not in (None, "set") and (not isinstance(top_k, int) or top_k < 1):
            raise ValueError(f"top_k must be a whole number from 1 on, None for all labels, or 'set', not {top_k!r}")
        if min_confidence is not None:
            _check_confidence(min_confidence, top_k, coverage)
        least = self._least_probability(coverage, top_k) if coverage is not None else None

        def find(rows: list[Row]) -> list[list[Scored]]:
            return self._found(rows, top_k, min_confidence, least) if rows else []

        if isinstance(texts, (str, Mapping)):
            return find(list(text_rows([texts], self.pairs)))[0]
        flat = top_k == 1 and coverage is None
        if isinstance(texts, Iterator):
            stream = (each for piece in pieces(text_rows(texts, self.pairs)) for each in find(piece))
            return (each[0] for each in stream) if flat else stream
        found = find(list(text_rows(texts, self.pairs)))
        return [each[0] for each in found] if flat else found

    def evaluate(
        self,
        rows: Any,
        *,
        columns: Mapping[str, str] | None = None,
        label_delimiter: str | None = None,
        metrics: Sequence[str] | None = None,
    ) -> Assessment:
        """Judges the model on labelled rows, as `textxfer evaluate` does: `.scores` gives each metric's number.

        Args:
            rows: A `datasets.Dataset`, a list of dicts or a pandas DataFrame, with `text` (`text_pair`) and `label`.
            columns: The rows' names of these columns, where they differ: {"text": "review"}.
            label_delimiter: What separates the labels of a row, for several labels a row.
            metrics: Names. Default: the task's.

        Raises:
            DataError: The rows or their labels are not as they must be; one line for each mistake.
            RecipeError: There is no such metric, or it does not fit the task.
        """
        from textxfer.serving.assess import assess_given

        return assess_given(self._engine, rows, columns, label_delimiter, metrics)

    def _found(
        self, rows: list[Row], top_k: TopK, min_confidence: float | None, least: float | None
    ) -> list[list[Scored]]:
        """Gives the labels of each row, one row at least; `least` is how probable a label of a label set must be."""
        predictions = self._engine.predict(rows)
        shares = predictions.probabilities
        assert shares is not None
        if least is not None:
            found = self._ranked(_only(label_sets(shares, least), shares), None)
        elif top_k != "set":
            found = self._ranked(shares, top_k)
        elif predictions.predicted.ndim == 1:
            found = self._ranked(shares, 1)
        else:
            found = self._ranked(_only(predictions.predicted == 1, shares), None)
        if min_confidence is not None:
            for each in found:
                each[0]["label"] = each[0]["label"] if each[0]["score"] >= min_confidence else None
        return found

    def _least_probability(self, coverage: float, top_k: Any) -> float:
        """Gives how probable a label of a label set must be."""
        if isinstance(coverage, bool) or not isinstance(coverage, (int, float)) or not LEAST_COVERAGE <= coverage < 1:
            raise ValueError(f"coverage must be a number from {LEAST_COVERAGE} to below 1, not {coverage!r}")
        if top_k != 1:
            raise ValueError("coverage says itself how many labels a text gets; leave top_k out")
        known = self._engine.conformal
        if known is None:
            raise CheckpointError(
                "coverage: this model has nothing to make label sets from. That takes one label a text, and training "
                "with `calibrate: auto` and 300 validation rows or more"
            )
        if coverage > known.largest:
            raise CheckpointError(
                f"coverage: {coverage:g} is more than {known.rows} rows can promise ({known.largest:g}); ask for less, "
                "or train with more validation rows"
            )
        return known.least(coverage)

    def _ranked(self, probabilities: np.ndarray, top_k: int | None) -> list[list[Scored]]:
        """Gives the labels of each row (R, C), best first; those of negative probability stay out."""
        order = (-probabilities).argsort(axis=1, kind="stable")[:, :top_k]
        shares = [row[places].tolist() for row, places in zip(probabilities, order, strict=True)]
        return [
            [
                {"label": self.labels[place], "score": share}
                for place, share in zip(places, row, strict=True)
                if share >= 0
            ]
            for places, row in zip(order.tolist(), shares, strict=True)
        ]


def _only(chosen: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Gives probabilities (R, C) with -1 for what is not chosen (R, C)."""
    import numpy as np

    return np.where(chosen, probabilities, -1)


def _check_confidence(min_confidence: Any, top_k: Any, coverage: Any) -> None:
    number = isinstance(min_confidence, (int, float)) and not isinstance(min_confidence, bool)
    if not number or not 0 <= min_confidence <= 1:
        raise ValueError(f"min_confidence must be a number from 0 to 1, not {min_confidence!r}")
    if top_k != 1 or coverage is not None:
        raise ValueError("min_confidence goes with top_k=1 and without coverage: it says whether the best label holds")
