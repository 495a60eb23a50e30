"""From a row of a file to what the model reads of it, and from predictions to columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from typing import TYPE_CHECKING, Any, Literal

from textxfer.data.columns import TEXT_COLUMNS
from textxfer.errors import DataError
from textxfer.records import Predictions
from textxfer.registry import unknown
from textxfer.serving._known_model import KnownModel
from textxfer.serving._saved import no_second_text
from textxfer.serving.engine import Engine
from textxfer.sources.streams import Row, Stream
from textxfer.tasks import Task

if TYPE_CHECKING:
    import pyarrow as pa

Record = dict[str, Any]
ANSWER = ("answer", "score", "start", "end")


@dataclass(frozen=True)
class Wanted:
    """What the user asked for; see `predict_file`."""

    text: str | None
    text_pair: str | None
    question: str | None
    context: str | None
    top_k: int | None
    columns: Sequence[str] | Literal["all", "none"]

    def __post_init__(self) -> None:
        if self.top_k is not None and (not isinstance(self.top_k, int) or self.top_k < 1):
            raise ValueError(f"top_k must be a whole number from 1 on, or None, not {self.top_k!r}")

    @property
    def named(self) -> dict[str, str]:
        """The columns that were named, by what they hold."""
        return {key: column for key in TEXT_COLUMNS if (column := getattr(self, key)) is not None}

    @property
    def listed(self) -> tuple[str, ...] | None:
        """The columns to copy; None for all."""
        if isinstance(self.columns, str):
            return {"all": None, "none": ()}.get(self.columns, (self.columns,))
        return tuple(dict.fromkeys(self.columns))

    @property
    def only(self) -> set[str] | None:
        """The columns that may be needed; None for all."""
        if self.listed is None:
            return None
        return {*self.listed, *self.named.values(), *TEXT_COLUMNS}

    def check(self, stream: Stream) -> None:
        """Checks what can be checked before anything is known of the model.

        Raises:
            DataError: A column that was named is not there.
        """
        asked = [(f"--{key.replace('_', '-')}", column) for key, column in self.named.items()]
        asked += [("--columns", column) for column in self.listed or ()]
        missing = [
            f"{stream.name}: has {unknown(column, stream.columns, 'column')} ({flag})"
            for flag, column in asked
            if column not in stream.columns
        ]
        if missing:
            raise DataError(*missing)

    def results(self, model: KnownModel, stream: Stream, mixed: bool) -> Results:
        """Says which columns go into the model and which come out.

        Args:
            model: That predicts.
            stream: The input.
            mixed: Whether rows of the output may have columns of their own.

        Raises:
            DataError: A column is missing, or bears the name of a result; an argument does not fit the model.
        """
        strict = self.listed is None and not mixed
        kept = stream.columns if strict else self.listed
        results = Results(model.task, stream, self._inputs(model, stream), kept, strict, self.top_k)
        for column in stream.columns if kept is None else kept:
            if column in results.names:
                others = ",".join(name for name in kept or stream.columns if name not in results.names) or "none"
                raise DataError(
                    f"{stream.name}: has a column `{column}`, and predictions get one of that name; leave it out: "
                    f"--columns {others}"
                )
        return results

    def _inputs(self, model: KnownModel, stream: Stream) -> dict[str, str]:
        named = self.named
        answers = model.task.predicts == "answers"
        legal = ("question", "context") if answers else ("text", "text_pair")
        strangers = [f"--{key.replace('_', '-')}" for key in named if key not in legal]
        strangers += ["--top-k"] if answers and self.top_k is not None else []
        if strangers:
            does, takes = ("finds answers", "--question, --context") if answers else ("labels texts", "--text, ...")
            raise DataError(f"the model {does} and has no use for {strangers[0]} (it takes {takes})")
        if model.pairs and "text_pair" not in {*named, *stream.columns}:
            raise DataError(f"{no_second_text(stream.name)}; say --text-pair COLUMN")
        needed = legal if answers or model.pairs else legal[:1]
        inputs = {key: named.get(key, key) for key in legal if key in needed or key in named}
        missing = [
            f"{stream.name}: has {unknown(column, stream.columns, 'column')}; say --{key} COLUMN"
            for key, column in inputs.items()
            if column not in stream.columns
        ]
        if missing:
            raise DataError(*missing)
        return inputs


@dataclass(frozen=True)
class Results:
    """Which columns go into the model and which come out.

    Attributes:
        task: Of the model.
        stream: The input.
        inputs: The file's column for each of the task's.
        kept: Columns that are copied; None: all that a row has.
        strict: Whether it is a mistake when a row has others than those of `kept`.
        top_k: How many labels; None: one, or those that apply.
    """

    task: Task
    stream: Stream
    inputs: dict[str, str]
    kept: tuple[str, ...] | None
    strict: bool
    top_k: int | None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns that predictions get."""
        if self.task.predicts == "answers":
            return ANSWER
        alone = self.top_k == 1 or (self.top_k is None and self.task.predicts == "labels")
        return ("label", "score") if alone else ("labels", "scores")

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """All columns of the output, where its rows have the same."""
        return (*(self.kept or ()), *self.names)

    def identity(self) -> dict[str, Any]:
        """Gives what must be the same to go on with an unfinished output."""
        kept = None if self.kept is None else list(self.kept)
        return {"inputs": self.inputs, "columns": kept, "top-k": self.top_k}

    def fields(self) -> dict[str, pa.DataType | None]:
        """Gives the type of each column of the output, None where it is not known yet."""
        import pyarrow as pa

        types: dict[str, Any] = {
            "label": pa.string(),
            "labels": pa.list_(pa.string()),
            "scores": pa.list_(pa.float32()),
        }
        types |= {"answer": pa.string(), "score": pa.float32(), "start": pa.int64(), "end": pa.int64()}
        schema = self.stream.schema
        kept = {name: None if schema is None else schema.field(name).type for name in self.kept or ()}
        return {**kept, **{name: types[name] for name in self.names}}

    def problem(self, row: Row) -> str:
        """Says why a row cannot be used; "" where it can."""
        if row.values is None:
            return row.problem
        found = self._wrong_input(row.values) or self._wrong_value(row.values)
        return f"{self.stream.where(row)}: {found}" if found else ""

    def _wrong_input(self, values: Record) -> str:
        for column in self.inputs.values():
            value = values.get(column)
            if value is None:
                return f"column `{column}` is missing"
            if not isinstance(value, str):
                return f"column `{column}` holds {type(value).__name__} ({value!r:.40}), not text"
        return ""

    def _wrong_value(self, values: Record) -> str:
        for column, value in values.items():
            if self.kept is None and column in self.names:
                return f"has a column `{column}`, and predictions get one of that name; choose others by --columns"
            if self.strict and column not in (self.kept or ()):
                advice = "name the columns to copy by --columns, or write .jsonl"
                return f"has a column `{column}`, which the first rows do not have; {advice}"
            if isinstance(value, str) and not value.isascii():
                try:
                    value.encode()
                except UnicodeEncodeError as error:
                    return f"column `{column}` is not valid Unicode from character {error.start} on; decode it anew"
        return ""

    def copied(self, row: Row) -> Record:
        """Gives what is copied of a row."""
        assert row.values is not None
        return row.values if self.kept is None else {name: row.values.get(name) for name in self.kept}

    def blank(self, row: Row) -> Record:
        """Gives the record of a row that cannot be used: what can be copied of it, and no prediction."""
        values = {
            name: value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value
            for name, value in (row.values or {}).items()
            if self.kept is None or name in self.kept
        }
        no_texts = [name for name in self.inputs.values() if name in values and not isinstance(values[name], str)]
        return dict.fromkeys(self.kept or ()) | values | dict.fromkeys([*no_texts, *self.names])

    def of(self, engine: Engine, rows: Sequence[Row]) -> Iterator[Record]:
        """Gives the predictions for rows that can be used."""
        if not rows:
            return iter(())
        texts = [{key: (row.values or {})[column] for key, column in self.inputs.items()} for row in rows]
        predictions = engine.predict(texts)
        if engine.labels is None:
            return ({name: record[name] for name in ANSWER} for record in self.task.records(predictions, None))
        return self._labels(predictions, engine.labels.names)

    def _labels(self, predictions: Predictions, labels: Sequence[str]) -> Iterator[Record]:
        import numpy as np

        assert predictions.probabilities is not None
        most = 1 if self.names == ("label", "score") else self.top_k
        order = (-predictions.probabilities).argsort(axis=1, kind="stable")[:, :most]
        shares = np.take_along_axis(predictions.probabilities, order, axis=1).tolist()
        best: Iterable[tuple[list[int], list[float]]] = zip(order.tolist(), shares, strict=True)
        if self.names == ("label", "score"):
            return ({"label": labels[places[0]], "score": each[0]} for places, each in best)
        if most is None:  # those that apply
            holds = np.take_along_axis(predictions.predicted, order, axis=1).astype(bool).tolist()
            best = (
                (list(compress(places, yes)), list(compress(each, yes)))
                for (places, each), yes in zip(best, holds, strict=True)
            )
        return ({"labels": [labels[place] for place in places], "scores": each} for places, each in best)
