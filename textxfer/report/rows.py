"""Test rows and what was predicted of them, cut to what the report shows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from textxfer.report.showing import plural

Label: TypeAlias = str | tuple[str, ...]
"""One label, or the set of labels of a row."""

KEPT_CHARACTERS = 2000
"""Of a text; of a context, around the answer."""
KEPT_OF_EXTRA = 60
"""Characters of a value of a further column; longer ones are no groups of rows."""
LABEL_KEYS = {"id", "reference", "prediction", "probabilities", "text", "text_pair"}
ANSWER_KEYS = {"id", "references", "answer", "score", "start", "end", "question", "context"}


@dataclass(frozen=True)
class LabelRow:
    """A text and its label, or its set of labels.

    Attributes:
        id: Of the row.
        texts: The beginnings of its texts; none where predictions.jsonl has none.
        lengths: Characters of each whole text.
        reference: What is right; None where it is not known.
        prediction: What the model said.
        confidence: Probability of the prediction; of a set, of its least sure (right) or surest wrong decision. None
            where there are no probabilities.
        given_to_reference: Probability of the reference; None for sets.
        extra: Further columns.
    """

    id: str
    texts: tuple[str, ...]
    lengths: tuple[int, ...]
    reference: Label | None
    prediction: Label
    confidence: float | None
    given_to_reference: float | None
    extra: Mapping[str, Any]

    @property
    def right(self) -> bool:
        """Whether the prediction is the reference; of sets, the whole of it."""
        return _as_set(self.prediction) == _as_set(self.reference or ())


@dataclass(frozen=True)
class AnswerRow:
    """A question and its answer.

    Attributes:
        id: Of the row.
        question: Its beginning, where predictions.jsonl has it.
        context: A piece around the answer, else around the first reference.
        before: Characters of the context before that piece.
        length: Characters of the whole context.
        references: The right answers; none: the question has no answer.
        answer: "" for none.
        score: Its probability.
        start: First character of the answer in the piece; 0, as `end`, where it does not stand there.
        end: The one past its last.
        exact: Whether the answer equals a reference, by SQuAD's normalisation.
        f1: Its best word overlap with a reference, a fraction 0..1.
        extra: Further columns.
    """

    id: str
    question: str
    context: str
    before: int
    length: int
    references: tuple[str, ...]
    answer: str
    score: float | None
    start: int
    end: int
    exact: bool
    f1: float
    extra: Mapping[str, Any]

    @property
    def right(self) -> bool:
        """Whether the answer equals a reference."""
        return self.exact


def read_rows(path: Path, notes: list[str]) -> tuple[list[LabelRow], list[AnswerRow]]:
    """Reads predictions.jsonl line by line; lines that cannot be used are told in `notes`."""
    labelled: list[LabelRow] = []
    answered: list[AnswerRow] = []

    def use(record: Mapping[str, Any]) -> None:
        if "answer" in record:
            answered.append(_answer_row(record))
        else:
            labelled.append(_label_row(record))

    each_line(path, use, notes)
    return labelled, answered


def each_line(path: Path, use: Callable[[Mapping[str, Any]], None], notes: list[str]) -> None:
    """Calls a function with the object of each line of a JSON Lines file.

    Args:
        path: Of the file.
        use: May raise where a line is not as it should be.
        notes: The lines that cannot be used are told here, in one sentence.
    """
    bad: list[int] = []
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            try:
                use(json.loads(line))
            except (ValueError, LookupError, TypeError, AttributeError):
                if line.strip():
                    bad.append(number)
    if bad:
        shown = ", ".join(map(str, bad[:5])) + (", ..." if len(bad) > 5 else "")
        notes.append(f"{path.name}: {plural(len(bad), 'line')} cannot be read and are left out (line {shown}).")


def _label_row(record: Mapping[str, Any]) -> LabelRow:
    texts = tuple(str(record[key]) for key in ("text", "text_pair") if record.get(key) is not None)
    reference, prediction = _label(record.get("reference")), _label(record["prediction"])
    assert prediction is not None
    shares = record.get("probabilities") or {}
    return LabelRow(
        id=str(record.get("id", "")),
        texts=tuple(text[:KEPT_CHARACTERS] for text in texts),
        lengths=tuple(map(len, texts)),
        reference=reference,
        prediction=prediction,
        confidence=_confidence(reference, prediction, shares),
        given_to_reference=shares.get(reference) if isinstance(reference, str) else None,
        extra=_extra(record, LABEL_KEYS),
    )


def _confidence(reference: Label | None, prediction: Label, shares: Mapping[str, float]) -> float | None:
    if isinstance(prediction, str):
        return shares.get(prediction)
    sure = {label: share if label in prediction else 1 - share for label, share in shares.items()}
    wrong = [sure[label] for label in set(prediction) ^ _as_set(reference or ()) if label in sure]
    return max(wrong) if wrong else min(sure.values(), default=None)


def _answer_row(record: Mapping[str, Any]) -> AnswerRow:
    from textxfer.metrics.answer_f1 import answer_f1
    from textxfer.metrics.exact_match import exact_match

    references, answer = tuple(map(str, record.get("references") or ())), str(record["answer"])
    context, start, end = str(record.get("context") or ""), int(record.get("start", 0)), int(record.get("end", 0))
    found = (context.find(text) for text in references)
    placed = bool(answer) and start >= 0  # one that was written may stand nowhere in the context
    place = start if placed else next((place for place in found if place >= 0), 0)
    before = max(0, min(place - KEPT_CHARACTERS // 3, len(context) - KEPT_CHARACTERS))
    return AnswerRow(
        id=str(record.get("id", "")),
        question=str(record.get("question") or "")[:KEPT_CHARACTERS],
        context=context[before : before + KEPT_CHARACTERS],
        before=before,
        length=len(context),
        references=references,
        answer=answer,
        score=record.get("score"),
        start=start - before if placed else 0,
        end=end - before if placed else 0,
        exact=exact_match.compute([answer], [references]) == 1,
        f1=float(answer_f1.compute([answer], [references])),
        extra=_extra(record, ANSWER_KEYS),
    )


def _label(value: Any) -> Label | None:
    if value is None:
        return None
    return tuple(map(str, value)) if isinstance(value, list) else str(value)


def _as_set(label: Label) -> set[str]:
    return {label} if isinstance(label, str) else set(label)


def _extra(record: Mapping[str, Any], known: set[str]) -> Mapping[str, Any]:
    plain = {key: value for key, value in record.items() if key not in known and isinstance(value, (str, int))}
    return {key: value for key, value in plain.items() if len(str(value)) <= KEPT_OF_EXTRA}
