"""`pipeline`: a saved model, ready to be called with texts or questions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from textxfer.errors import CheckpointError, DataError
from textxfer.evaluation.forward import forward
from textxfer.labels import LabelSet
from textxfer.modeling.build import build
from textxfer.modeling.checkpoint import Checkpoint, open_checkpoint
from textxfer.records import Predictions
from textxfer.tasks import Task
from textxfer.tasks.question_answering import QuestionAnswering
from textxfer.tasks.topic import Topic

if TYPE_CHECKING:
    import torch

Text = str | Mapping[str, str]
Scored = dict[str, Any]
DEFAULT_LENGTH = 512


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
    name = os.fspath(model)
    if os.path.isfile(os.path.join(name, "model", "config.json")):
        name = os.path.join(name, "model")
    checkpoint = open_checkpoint(name, revision)
    engine = _Engine(checkpoint, device, precision, batch_tokens)
    return QuestionAnswerer(engine) if isinstance(engine.task, QuestionAnswering) else TextClassifier(engine)


class TextClassifier:
    """Labels for texts; made by `pipeline`.

    Attributes:
        labels: Names in the order of their ids.
    """

    def __init__(self, engine: _Engine) -> None:
        assert engine.labels is not None
        self.labels = engine.labels.names
        self._engine = engine

    def __call__(self, texts: Text | Iterable[Text], top_k: int | None = 1) -> list[Any]:
        """Gives labels and their probabilities.

        Args:
            texts: A text, a pair {"text": ..., "text_pair": ...}, or many of them.
            top_k: How many labels, best first; None gives all. For a model with several labels a text, the number of
                best labels too.

        Returns:
            For one text a list of {"label", "score"}; for many, one such dict each with `top_k=1`, else one list each.
        """
        alone = isinstance(texts, (str, Mapping))
        rows = [_text_row(text) for text in ([texts] if alone else texts)]
        if not rows:
            return []
        predictions = self._engine.predict(rows)
        ranked = [self._ranked(shares, top_k) for shares in _probabilities(predictions)]
        if alone:
            return ranked[0]
        return [each[0] for each in ranked] if top_k == 1 else ranked

    def _ranked(self, shares: Sequence[float], top_k: int | None) -> list[Scored]:
        order = sorted(range(len(shares)), key=lambda place: -shares[place])[:top_k]
        return [{"label": self.labels[place], "score": float(shares[place])} for place in order]


class QuestionAnswerer:
    """Answers from contexts; made by `pipeline`."""

    def __init__(self, engine: _Engine) -> None:
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
        """
        if questions is None:
            if question is None or context is None:
                raise TypeError("call with question= and context=, or with a list of such dicts")
            questions = {"question": question, "context": context}
        alone = isinstance(questions, Mapping)
        rows = [_question_row(item) for item in ([questions] if alone else questions)]
        if not rows:
            return []
        records = self._engine.task.records(self._engine.predict(rows), None)
        answers = [{name: record[name] for name in ("answer", "score", "start", "end")} for record in records]
        return answers[0] if alone else answers


class _Engine:
    """A task, a model and a device: rows in, predictions out."""

    def __init__(
        self, checkpoint: Checkpoint, device: Any, precision: Literal["fp32", "auto"], batch_tokens: int | None
    ) -> None:
        import torch

        self.checkpoint, self.batch_tokens = checkpoint, batch_tokens
        self.task = task_of_model(checkpoint)
        self.labels = _labels_of_model(checkpoint, self.task)
        multi_label = getattr(self.task, "multi_label", False)
        built = build(checkpoint, self.task.auto_class, self.labels, multi_label=multi_label)
        if built.new:
            raise CheckpointError(f"{checkpoint.id}: is not trained for a task: {', '.join(built.new)} are missing")
        self.device = torch.device(device) if device is not None else _best_device()
        self.model = built.model.to(self.device).eval()
        self.autocast = None
        if precision == "auto" and self._has_fast_bf16():
            self.autocast = lambda: torch.autocast(self.device.type, dtype=torch.bfloat16)

    def predict(self, rows: list[dict[str, str]]) -> Predictions:
        import datasets

        dataset = datasets.Dataset.from_list(rows)
        encoded = self.task.encode(dataset, self.checkpoint.tokenizer, None)
        outputs = forward(
            self.model,
            self.task,
            encoded,
            pad_token_id=self.checkpoint.tokenizer.pad_token_id,
            batch_tokens=self.batch_tokens,
            autocast=self.autocast,
        )
        return self.task.decode(outputs.reduced, encoded, dataset)

    def _has_fast_bf16(self) -> bool:
        from textxfer.modeling.device import has_fast_bf16

        return has_fast_bf16(self.device.type)


def task_of_model(checkpoint: Checkpoint) -> Task:
    """Makes the task that a saved model was trained for: as textxfer noted it, else as its head says.

    Raises:
        CheckpointError: It has no head that textxfer can use.
    """
    from textxfer import registry

    settings = dict(checkpoint.settings)
    if settings:
        task: Task = registry.load("tasks", settings.pop("task"))(**settings)
        return task
    architecture = (getattr(checkpoint.config, "architectures", None) or [""])[0]
    length = min(checkpoint.most_tokens or DEFAULT_LENGTH, DEFAULT_LENGTH)
    if architecture.endswith("ForQuestionAnswering"):
        return QuestionAnswering(max_length=min(length, 384), unanswerable=False)
    if architecture.endswith("ForSequenceClassification"):
        return Topic(multi_label=checkpoint.config.problem_type == "multi_label_classification", max_length=length)
    raise CheckpointError(f"{checkpoint.id}: has no classification or question answering head ({architecture or 'no head'})")


def _labels_of_model(checkpoint: Checkpoint, task: Task) -> LabelSet | None:
    if task.predicts == "answers":
        return None
    names = checkpoint.config.id2label
    return LabelSet(tuple(names[number] for number in sorted(names)))


def _best_device() -> Any:
    from accelerate import PartialState

    return PartialState().device


def _probabilities(predictions: Predictions) -> list[list[float]]:
    assert predictions.probabilities is not None
    shares: list[list[float]] = predictions.probabilities.tolist()
    return shares


def _text_row(text: Text) -> dict[str, str]:
    if isinstance(text, str):
        return {"text": text}
    if isinstance(text, Mapping) and isinstance(text.get("text"), str):
        return {name: text[name] for name in ("text", "text_pair") if name in text}
    raise DataError(f"a text must be a str or {{'text': ..., 'text_pair': ...}}, not {text!r:.80}")


def _question_row(item: Mapping[str, str]) -> dict[str, str]:
    if isinstance(item, Mapping) and all(isinstance(item.get(name), str) for name in ("question", "context")):
        return {name: item[name] for name in ("question", "context")}
    raise DataError(f"a question must be {{'question': ..., 'context': ...}}, not {item!r:.80}")
