"""`pipeline`: a saved model, ready to be called with texts or questions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from textxfer.errors import CheckpointError, DataError
from textxfer.evaluation.conformal import LEAST_COVERAGE, label_sets
from textxfer.serving.engine import Engine, open_engine

if TYPE_CHECKING:
    import numpy as np
    import torch

Text = str | Mapping[str, str]
Scored = dict[str, Any]


def pipeline(
    model: str | os.PathLike[str],
    *,
    revision: str | None = None,
    device: str | torch.device | None = None,
    precision: Literal["fp32", "auto"] = "fp32",
    batch_tokens: int | None = None,
) -> TextClassifier | QuestionAnswerer:
    """Loads a model for sentiment, topic or question answering.

    Args:
        model: A folder (`runs/<name>/model` or `runs/<name>`), or a Hub id. Models that were not made by textxfer work
            too, if they have a classification or question answering head.
        revision: Branch, tag or commit on the Hub.
        device: Default: CUDA, then MPS, else the CPU.
        precision: fp32, or `auto`: bf16 where the device does it well.
        batch_tokens: Padded tokens of a batch. Default: by device.

    Returns:
        A `TextClassifier` or a `QuestionAnswerer`.

    Raises:
        CheckpointError: It is not there, or has no head that textxfer can use.
    """
    engine = open_engine(os.fspath(model), revision, device=device, precision=precision, batch_tokens=batch_tokens)
    return QuestionAnswerer(engine) if engine.labels is None else TextClassifier(engine)


class TextClassifier:
    """Labels for texts; made by `pipeline`.

    Attributes:
        labels: Names in the order of their ids.
    """

    def __init__(self, engine: Engine) -> None:
        assert engine.labels is not None
        self.labels = engine.labels.names
        self._engine = engine

    def __call__(
        self,
        texts: Text | Iterable[Text],
        top_k: int | Literal["set"] | None = 1,
        *,
        min_confidence: float | None = None,
        coverage: float | None = None,
    ) -> list[Any]:
        """Gives labels and their probabilities.

        Args:
            texts: A text, a pair {"text": ..., "text_pair": ...}, or many of them.
            top_k: How many labels, best first; None gives all. "set" gives the labels that the model says a text has:
                with several labels a text those that reach their thresholds, none perhaps; else the best one.
            min_confidence: From 0 to 1. Where the best label is less probable, "label" is None and "score" its
                probability. Goes with `top_k=1`.
            coverage: From 0.5 to below 1. Gives label sets that hold the right label in at least this share of texts
                like those of validation: one label where the model is sure, more where it is not. Needs a model that
                was trained with `calibrate: auto` and 300 validation rows or more.

        Returns:
            For one text a list of {"label": str, "score": float}, best first; for many, one such dict each with
            `top_k=1`, and one list each with any other `top_k` and with `coverage`.

        Raises:
            DataError: A text is no text.
            CheckpointError: The model cannot promise this coverage.
        """
        if top_k not in (None, "set") and (not isinstance(top_k, int) or top_k < 1):
            raise ValueError(f"top_k must be a whole number from 1 on, None for all labels, or 'set', not {top_k!r}")
        if min_confidence is not None:
            _check_confidence(min_confidence, top_k, coverage)
        least = self._least_probability(coverage, top_k) if coverage is not None else None
        alone = isinstance(texts, (str, Mapping))
        rows = _text_rows([texts] if alone else texts)
        if not rows:
            return []
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
        for each in found if min_confidence is not None else ():
            each[0]["label"] = each[0]["label"] if each[0]["score"] >= min_confidence else None
        if alone:
            return found[0]
        return [each[0] for each in found] if top_k == 1 and coverage is None else found

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


class QuestionAnswerer:
    """Answers from contexts; made by `pipeline`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __call__(
        self,
        questions: Mapping[str, str] | Iterable[Mapping[str, str]] | None = None,
        *,
        question: str | None = None,
        context: str | None = None,
    ) -> Any:
        """Gives the best answer of each question.

        Args:
            questions: {"question": ..., "context": ...}, or many of them.
            question: One question, with `context`.
            context: The passage to find its answer in.

        Returns:
            {"answer", "score", "start", "end"}: a span of the context with its probability, `end` one past its last
            character; "" where there is no answer. A list of them for many questions.

        Raises:
            DataError: A question is none.
        """
        if questions is None:
            if question is None or context is None:
                raise TypeError("call with question= and context=, or with a list of such dicts")
            questions = {"question": question, "context": context}
        elif question is not None or context is not None:
            raise TypeError("call with question= and context=, or with a list of such dicts, not with both")
        alone = isinstance(questions, Mapping)
        rows = _question_rows([questions] if alone else questions)
        if not rows:
            return []
        records = self._engine.task.records(self._engine.predict(rows), None)
        answers = [{name: record[name] for name in ("answer", "score", "start", "end")} for record in records]
        return answers[0] if alone else answers


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


def _text_rows(texts: Any) -> list[dict[str, str]]:
    form = "a str or {'text': ..., 'text_pair': ...}"
    rows = []
    for place, text in enumerate(_items(texts, form)):
        row = {"text": text} if isinstance(text, str) else text
        rows.append(_checked(row, place, form, ("text",), ("text_pair",)))
    if len({len(row) for row in rows}) > 1:
        raise DataError("some inputs have a text_pair and some have none; call once for each kind")
    return rows


def _question_rows(questions: Any) -> list[dict[str, str]]:
    form = "{'question': ..., 'context': ...}"
    items = _items([questions] if isinstance(questions, str) else questions, form)
    return [_checked(item, place, form, ("question", "context")) for place, item in enumerate(items)]


def _items(inputs: Any, form: str) -> Iterable[Any]:
    if isinstance(inputs, bytes) or not isinstance(inputs, Iterable):
        raise DataError(f"input must be {form}, or many of them, not {inputs!r:.80}")
    return inputs


def _checked(
    item: Any, place: int, form: str, needed: tuple[str, ...], optional: tuple[str, ...] = ()
) -> dict[str, str]:
    """Gives an input's texts, by name; names that are not known stay out."""
    if not isinstance(item, Mapping) or not all(isinstance(item.get(name), str) for name in needed):
        raise DataError(f"input {place} must be {form}, not {item!r:.80}")
    row = {name: item[name] for name in (*needed, *optional) if item.get(name) is not None}
    for name, text in row.items():
        if not isinstance(text, str):
            raise DataError(f"input {place} must be {form}, not {item!r:.80}")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            message = f"input {place}: `{name}` is not valid Unicode from character {error.start} on; decode it anew"
            raise DataError(message) from None
    return row
