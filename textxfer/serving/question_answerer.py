"""`QuestionAnswerer`: answers from contexts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, cast, overload

from textxfer.errors import DataError
from textxfer.serving._inputs import Row, pieces, question_rows
from textxfer.serving.engine import Engine

if TYPE_CHECKING:
    from textxfer.serving.assess import Assessment


class Answer(TypedDict):
    """A span of the context with its probability, `end` one past its last character; "" where there is no answer.

    An answer that was written (head `text2text`) may stand nowhere in the context: -1, -1.
    """

    answer: str
    score: float
    start: int
    end: int


class RankedAnswer(TypedDict):
    """An `Answer`, with the place of its context among those that were given."""

    answer: str
    score: float
    start: int
    end: int
    context: int


class QuestionAnswerer:
    """Answers from contexts; made by `pipeline`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @overload
    def __call__(self, questions: Mapping[str, str]) -> Answer: ...

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, questions: Iterator[Mapping[str, str]]
    ) -> Iterator[Answer]: ...

    @overload
    def __call__(self, questions: Iterable[Mapping[str, str]]) -> list[Answer]: ...

    @overload
    def __call__(self, *, question: str, context: str) -> Answer: ...

    @overload
    def __call__(self, *, question: str, contexts: Iterable[str]) -> list[RankedAnswer]: ...

    def __call__(
        self,
        questions: Mapping[str, str] | Iterable[Mapping[str, str]] | None = None,
        *,
        question: str | None = None,
        context: str | None = None,
        contexts: Iterable[str] | None = None,
    ) -> Any:
        """Gives the best answer of each question.

        Args:
            questions: {"question": ..., "context": ...}, or many of them: a list, or a `datasets.Dataset` or pandas
                DataFrame whose columns have these names. An iterator is a stream: answers come one by one, in bounded
                memory; up to 1,024 questions are read ahead.
            question: One question, with `context` or `contexts`.
            context: The passage to find its answer in.
            contexts: Many passages to find its answer in.

        Returns:
            {"answer", "score", "start", "end"}: a span of the context with its probability, `end` one past its last
            character; "" where there is no answer. One that was written by a model with the head `text2text` may stand
            nowhere in the context: -1, -1. A list of them for many questions, an iterator for a stream. With
            `contexts` a list with an answer from each, the most probable first and those that found none last;
            "context" is the context's place, from 0.

        Raises:
            DataError: A question is none; of a stream, when it is its turn.
        """
        if questions is None:
            if question is None or (context is None) == (contexts is None):
                raise TypeError("call with question= and context= (or contexts=), or with a list of such dicts")
            if contexts is not None:
                return self._from_many(question, contexts)
            questions = {"question": question, "context": cast(str, context)}
        elif question is not None or context is not None or contexts is not None:
            raise TypeError("call with question= and context=, or with a list of such dicts, not with both")
        if isinstance(questions, Mapping):
            return self._found(list(question_rows([questions])))[0]
        if isinstance(questions, Iterator):
            return (each for piece in pieces(question_rows(questions)) for each in self._found(piece))
        return self._found(list(question_rows(questions)))

    def evaluate(
        self, rows: Any, *, columns: Mapping[str, str] | None = None, metrics: Sequence[str] | None = None
    ) -> Assessment:
        """Judges the model on questions with answers, as `textxfer evaluate` does; see `TextClassifier.evaluate`.

        Args:
            rows: A `datasets.Dataset`, a list of dicts or a pandas DataFrame, with `question`, `context` and `answers`.
            columns: The rows' names of these columns, where they differ: {"context": "passage"}.
            metrics: Names. Default: the task's.
        """
        from textxfer.serving.assess import assess_given

        return assess_given(self._engine, rows, columns, None, metrics)

    def _found(self, rows: list[Row]) -> list[Answer]:
        if not rows:
            return []
        records = self._engine.task.records(self._engine.predict(rows), None)
        return [cast(Answer, {name: record[name] for name in Answer.__annotations__}) for record in records]

    def _from_many(self, question: str, contexts: Iterable[str]) -> list[RankedAnswer]:
        """Gives the answer from each context, the most probable first."""
        if isinstance(contexts, (str, Mapping)):
            raise DataError(f"contexts must be many texts, not {contexts!r:.80}; context= takes one")
        found = self._found(list(question_rows({"question": question, "context": each} for each in contexts)))
        ranked = [RankedAnswer(**answer, context=place) for place, answer in enumerate(found)]
        return sorted(ranked, key=lambda answer: (answer["answer"] == "", -answer["score"]))
