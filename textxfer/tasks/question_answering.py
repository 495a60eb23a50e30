"""Extractive question answering: the answer is a span of the context, or there is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from textxfer.data.checks import question_rows
from textxfer.data.encode import encode_windows
from textxfer.labels import LabelSet
from textxfer.records import Batch, Encoded, Predictions, Splits, Table
from textxfer.section import Section
from textxfer.tasks import _spans
from textxfer.tasks._arrays import as_numpy

if TYPE_CHECKING:
    import datasets
    import numpy as np
    import torch

MOST_SPECIAL_TOKENS = 8
"""Room that a window needs beside its stride: special tokens, some question, one new token of context."""


class Config(Section):
    """Which words of a passage answer a question."""

    name: Literal["question_answering"] = "question_answering"
    """The task."""
    max_length: Annotated[int, Field(ge=16)] = 384
    """Longest window in tokens, question included; never above the checkpoint's limit."""
    stride: Annotated[int, Field(ge=0)] = 128
    """Tokens that neighbouring windows of a long passage share."""
    max_answer_length: Annotated[int, Field(ge=1)] = 30
    """Longest answer in tokens."""

    @model_validator(mode="after")
    def _stride_leaves_room(self) -> Config:
        if self.stride + MOST_SPECIAL_TOKENS >= self.max_length:
            raise ValueError(
                f"stride ({self.stride}) must be less than max_length ({self.max_length}) by more than "
                f"{MOST_SPECIAL_TOKENS}, or windows would not move on"
            )
        return self


class QuestionAnswering:
    """Answers as spans of a context; keeps the promises of `Task`.

    Args:
        max_length: Tokens of a window.
        stride: Tokens that neighbouring windows share.
        max_answer_length: Longest answer, in tokens.
        unanswerable: Whether "no answer" is a possible answer. Found in the training rows by `prepare`.
    """

    name: ClassVar[str] = "question_answering"
    auto_class: ClassVar[str] = "AutoModelForQuestionAnswering"
    pipeline_tag: ClassVar[str] = "question-answering"
    required_columns: ClassVar[tuple[str, ...]] = ("question", "context", "answers")
    outputs: ClassVar[tuple[str, ...]] = ("start_logits", "end_logits")
    predicts = "answers"
    select_by = "answer_f1"
    label_names = None

    def __init__(
        self, max_length: int = 384, stride: int = 128, max_answer_length: int = 30, unanswerable: bool = False
    ) -> None:
        self.max_length = max_length
        self.stride = stride
        self.max_answer_length = max_answer_length
        self.unanswerable = unanswerable

    @property
    def default_metrics(self) -> tuple[str, ...]:
        """Gives SQuAD's pair of metrics."""
        return ("exact_match", "answer_f1")

    def to_be_written(self, prompt: str | None = None, prompt_pair: str | None = None) -> Any:
        """Gives the same task for a model that writes; see `Task.to_be_written`."""
        from textxfer.tasks._written_answers import WrittenAnswers

        written = WrittenAnswers(self.max_length, self.stride, self.max_answer_length, self.unanswerable)
        written.prompts = tuple(  # type: ignore[assignment]
            own if given is None else given for given, own in zip((prompt, prompt_pair), written.prompts, strict=True)
        )
        return written

    def prepare(self, splits: Splits) -> tuple[Splits, LabelSet | None]:
        """Checks answers, joins repeated questions, and notes whether any has no answer; see `Task.prepare`."""
        splits = question_rows(splits)
        self.unanswerable = any(not answers["text"] for answers in splits.train.rows["answers"][:])
        return splits, None

    def cut_by(self, rows: datasets.Dataset) -> tuple[Sequence[Any] | None, Sequence[Any] | None]:
        """Gives each row's context as its group, so that no context stands in two splits."""
        return None, rows["context"][:]

    def encode(self, rows: datasets.Dataset | Table, tokenizer: Any, labels: LabelSet | None) -> Encoded:
        """Tokenises questions with windows of their contexts; see `Task.encode`."""
        windows = encode_windows(
            tokenizer, rows["question"][:], rows["context"][:], max_length=self.max_length, stride=self.stride
        )
        if "answers" not in rows.column_names:
            return windows
        return replace(windows, targets=_spans.targets(windows, rows["answers"][:]))

    def loss(
        self, output: Any, batch: Batch, *, label_smoothing: float = 0.0, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Gives the mean of the first and the last token's cross-entropy, summed over windows; see `Task.loss`."""
        from torch.nn import functional

        assert batch.targets is not None
        outside = batch.attention_mask == 0
        total: Any = 0.0
        for logits, target in zip((output.start_logits, output.end_logits), batch.targets.unbind(1), strict=True):
            masked = logits.float().masked_fill(outside, _spans.LOWEST)
            if label_smoothing == 0 and weights is None:
                total = total + functional.cross_entropy(masked, target, reduction="sum")
                continue
            log_shares = masked.log_softmax(dim=1)
            right = log_shares.gather(1, target[:, None]).squeeze(1)
            mean = log_shares.masked_fill(outside, 0).sum(dim=1) / batch.attention_mask.sum(dim=1)
            each = (1 - label_smoothing) * right + label_smoothing * mean
            total = total - (each.sum() if weights is None else weights @ each)
        return total / 2

    def reduce(self, output: Any, batch: Batch, encoded: Encoded) -> Mapping[str, np.ndarray]:
        """Keeps the best spans of each window and the probability that it holds no answer."""
        start, end = as_numpy(output.start_logits), as_numpy(output.end_logits)
        allowed = _spans.context_mask(batch.indices, encoded, start.shape[1])
        return _spans.best_spans(start, end, allowed, self.max_answer_length)

    def decode(self, reduced: Mapping[str, Any], encoded: Encoded, rows: datasets.Dataset | Table) -> Predictions:
        """Chooses an answer for each question among its windows' best spans; see `Task.decode`."""
        answers = _spans.choose(reduced, encoded, rows["context"][:], self.unanswerable)
        references = None
        if "answers" in rows.column_names:
            references = [answer["text"] for answer in rows["answers"][:]]
        ids = rows["id"][:] if "id" in rows.column_names else [str(number) for number in range(len(rows))]
        return Predictions(ids, answers.texts, references, scores=answers.scores, spans=answers.spans)

    def records(self, predictions: Predictions, labels: LabelSet | None) -> Iterator[dict[str, Any]]:
        """Gives id, references, answer, score and the answer's place in the context."""
        assert predictions.scores is not None
        assert predictions.spans is not None
        for row, row_id in enumerate(predictions.ids):
            record: dict[str, Any] = {"id": row_id}
            if predictions.references is not None:
                record["references"] = list(predictions.references[row])
            start, end = predictions.spans[row].tolist()
            score = float(predictions.scores[row])
            yield record | {"answer": predictions.predicted[row], "score": score, "start": start, "end": end}

    def settings(self) -> dict[str, Any]:
        """Gives the task's name and how windows are cut and read."""
        keys = ("max_length", "stride", "max_answer_length", "unanswerable")
        return {"task": self.name, **{key: getattr(self, key) for key in keys}}
