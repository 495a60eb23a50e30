"""`predict_file`: a file in, the same rows with predictions out, in constant memory."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from textxfer.disk import reason
from textxfer.errors import DataError, Interrupted, OutputError, TextxferError, shortened
from textxfer.serving._known_model import known_model
from textxfer.serving._outputs import Csv, JsonLines, LinesFile, LinesStream, Output, ParquetParts, Record
from textxfer.serving._results import Results, Wanted
from textxfer.serving._unfinished import Done, Unfinished
from textxfer.serving.engine import Engine
from textxfer.sources.streams import Row, Stream, open_stream

if TYPE_CHECKING:
    import torch

BYTES_A_TOKEN = 64
"""Of a chunk of rows, for each token of a batch: some sixteen batches, sorted by length together."""


@dataclass(frozen=True)
class BulkResult:
    """What `predict_file` did.

    Attributes:
        path: Of the output; None for a stream.
        rows: In the output.
        bad_rows: How many of them have no prediction.
        resumed_at: Rows that were there before.
        seconds: That this call took, the model's loading included.
        predict_seconds: Without it.
    """

    path: Path | None
    rows: int
    bad_rows: int
    resumed_at: int
    seconds: float
    predict_seconds: float


def predict_file(
    model: str | os.PathLike[str],
    file: str | os.PathLike[str] | BinaryIO,
    output: str | os.PathLike[str] | BinaryIO,
    *,
    text: str | None = None,
    text_pair: str | None = None,
    question: str | None = None,
    context: str | None = None,
    top_k: int | None = None,
    columns: Sequence[str] | Literal["all", "none"] = "all",
    file_format: str | None = None,
    backend: Literal["torch", "onnx"] = "torch",
    precision: Literal["fp32", "auto"] = "fp32",
    batch_tokens: int | None = None,
    device: str | torch.device | None = None,
    skip_bad: bool = False,
    harmless: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    on_rows: Callable[[int, float | None], None] | None = None,
) -> BulkResult:
    """Predicts every row of a file, in the file's order.

    The output has the input's columns and `label` and `score`; `labels` and `scores` (lists, best first) with `top_k`
    above 1, and for a model with several labels a text, which gives those that apply; for questions `answer`, `score`,
    `start`, `end`. Memory does not grow with the file (only .json is read whole). While the output is unfinished,
    `OUTPUT.state` stands beside it; a Parquet file appears when it is finished.

    Args:
        model: A folder or a Hub id, as for `textxfer.pipeline`.
        file: .csv .tsv .jsonl .txt (a text a line; all of these .gz too) .json .parquet, or a stream of bytes.
        output: .jsonl .csv .parquet, or a stream of bytes, which gets JSON lines.
        text: Column of the text. Default: `text`.
        text_pair: Column of a second text. Default: `text_pair` for a model that was trained on pairs, else none.
        question: Column of the question. Default: `question`.
        context: Column of the passage. Default: `context`.
        top_k: How many labels, best first. Default: 1, or those that apply.
        columns: Columns of the input to copy.
        file_format: csv, tsv, jsonl, txt, json or parquet. Default: by the file's ending; jsonl for a stream.
        backend: torch, or `onnx` for a model that `textxfer export` wrote.
        precision: fp32, or `auto`: bf16 where the device does it well; for torch.
        batch_tokens: Padded tokens of a batch. Default: by device.
        device: Default: CUDA, then MPS, else the CPU.
        skip_bad: Give rows that cannot be used (no text, a line that is no row) null predictions instead of stopping.
        harmless: In csv, put an apostrophe before texts that spreadsheets take for formulas (= + - @).
        resume: Go on with an unfinished output; begin where there is none.
        overwrite: Replace an output that is there.
        on_rows: Called with the rows done and the share of the file that is read, or None where it is not known.

    Raises:
        DataError: The file or a row of it cannot be used; rows before it are kept.
        OutputError: The output is there already, was begun otherwise, or cannot be written.
        CheckpointError: The model is not there, or has no head that textxfer can use.
        Interrupted: Ctrl-C; what is done is kept.
    """
    wanted = Wanted(text, text_pair, question, context, top_k, columns)
    how = _How(file_format, backend, precision, batch_tokens, device, skip_bad, harmless, resume, overwrite, on_rows)
    return _predict(os.fspath(model), _path(file), _path(output), wanted, how)


@dataclass(frozen=True)
class _How:
    """In which way to predict; see `predict_file`."""

    file_format: str | None
    backend: Literal["torch", "onnx"]
    precision: Literal["fp32", "auto"]
    batch_tokens: int | None
    device: str | torch.device | None
    skip_bad: bool
    harmless: bool
    resume: bool
    overwrite: bool
    on_rows: Callable[[int, float | None], None] | None


def _path(file: str | os.PathLike[str] | BinaryIO) -> Path | BinaryIO:
    return Path(file) if isinstance(file, (str, os.PathLike)) else file


def _predict(model: str, source: Path | BinaryIO, target: Path | BinaryIO, wanted: Wanted, how: _How) -> BulkResult:
    """Checks all that can be checked, then loads the model, then predicts."""
    began = time.monotonic()
    place = _place(source, target, how)
    with ExitStack() as stack:
        stream = stack.enter_context(open_stream(source, how.file_format, wanted.only))
        if stream.problems and not how.skip_bad:
            raise DataError(*stream.problems)
        wanted.check(stream)
        opened = known_model(
            model, how.backend, device=how.device, precision=how.precision, batch_tokens=how.batch_tokens
        )
        results = wanted.results(opened, stream, mixed=place is None or place.kind == "jsonl")
        done = Done()
        if place is not None:
            settings = {"precision": how.precision, "harmless": how.harmless}
            done = place.found({"model": opened.fingerprint, **results.identity(), **settings})
        digest = _skip(stream, done, target)
        engine = opened.load()
        loaded = time.monotonic()
        end = _Job(engine, stream, results, place, target, digest, how).run(done)
    now = time.monotonic()
    path = place.path if place is not None else None
    return BulkResult(path, end.rows, end.bad_rows, done.rows, now - began, now - loaded)


def _place(source: Path | BinaryIO, target: Path | BinaryIO, how: _How) -> Unfinished | None:
    """Checks where predictions are to go; None for a stream."""
    place = None
    if isinstance(target, Path):
        if isinstance(source, Path) and source.exists() and target.exists() and target.samefile(source):
            raise OutputError(f"{target}: is the file to be read; name another by -o")
        place = Unfinished(target, how.resume, how.overwrite)
    elif how.resume or how.overwrite:
        raise OutputError(f"--{'resume' if how.resume else 'overwrite'} goes with a file: -o FILE")
    if how.harmless and (place is None or place.kind != "csv"):
        raise OutputError("--harmless is for .csv, which spreadsheets open; name such a file by -o")
    return place


def _skip(stream: Stream, done: Done, target: Any) -> Any:
    """Reads over rows that are done, and gives their digest, to which more can be added.

    Raises:
        OutputError: They are not the rows that the output was made of.
    """
    digest = hashlib.blake2b(digest_size=16)
    count = 0
    for row in islice(stream.rows, done.rows):
        digest.update(row.raw + b"\n")
        count += 1
    if count < done.rows or (done.rows and digest.hexdigest() != done.digest):
        raise OutputError(
            f"{target}: its first {done.rows:,} rows are not of {stream.name} as it is now; only rows beyond them may "
            "change; --overwrite begins anew"
        )
    return digest


@dataclass
class _Job:
    """A file's rows on their way to the output."""

    engine: Engine
    stream: Stream
    results: Results
    place: Unfinished | None
    target: Path | BinaryIO
    digest: Any
    how: _How
    output: Output | None = None

    def run(self, done: Done) -> Done:
        """Predicts all rows that are left; however it ends, what is done is kept."""
        try:
            self._tell(done)
            for chunk in _chunks(self.stream.rows, self.engine.backend.batch_tokens):
                done = self._write(*self._records(chunk, done), done)
                self._tell(done)
            (self.output or self._open(done)).finish()
            if self.place is not None:
                self.place.finish()
        except KeyboardInterrupt:
            raise Interrupted(signal.SIGINT, f"stopped after {done.rows:,} rows", *self._kept()) from None
        except BrokenPipeError:
            raise  # whoever reads the stream has had enough
        except OSError as error:
            name = self.target if self.place is not None else getattr(self.target, "name", "the output")
            message = f"{name}: cannot be written: {reason(error)}"
            raise OutputError(message, *self._kept()) from error
        except TextxferError as error:
            raise type(error)(*error.lines, *self._kept()) from error
        return done

    def _tell(self, done: Done) -> None:
        if self.how.on_rows is not None:
            self.how.on_rows(done.rows, self.stream.share(done.rows) if done.rows else None)

    def _records(self, chunk: Sequence[Row], done: Done) -> tuple[list[Record], Done]:
        """Gives a record for each row, and how far the input is then."""
        problems = [self.results.problem(row) for row in chunk]
        bad = [problem for problem in problems if problem]
        if bad and not self.how.skip_bad:
            raise DataError(*shortened(bad))
        good = [row for row, problem in zip(chunk, problems, strict=True) if not problem]
        predicted = self.results.of(self.engine, good)
        records = []
        for row, problem in zip(chunk, problems, strict=True):
            records.append(self.results.blank(row) if problem else self.results.copied(row) | next(predicted))
            self.digest.update(row.raw + b"\n")
        rows, bad_rows = done.rows + len(chunk), done.bad_rows + len(bad)
        return records, replace(done, rows=rows, bad_rows=bad_rows, digest=self.digest.hexdigest())

    def _write(self, records: Sequence[Record], reached: Done, before: Done) -> Done:
        """Writes records; gives what is done when they are there to stay."""
        self.output = self.output or self._open(before)
        done = replace(reached, size=self.output.add(records))
        if self.place is not None:
            self.place.note(done)
        return done

    def _open(self, done: Done) -> Output:
        """Opens the output to go on after what is done."""
        if self.place is None:
            assert not isinstance(self.target, Path)
            return LinesStream(self.target, JsonLines())
        self.place.note(done)
        if self.place.kind == "parquet":
            return ParquetParts(self.place.path, self.results.fields(), done.size)
        columns = self.results.columns
        encoder = Csv(columns, self.how.harmless) if self.place.kind == "csv" else JsonLines()
        return LinesFile(self.place.path, encoder, done.size)

    def _kept(self) -> list[str]:
        return [self.place.leave()] if self.place is not None else []


def _chunks(rows: Iterator[Row], tokens: int) -> Iterator[list[Row]]:
    """Cuts rows into pieces by number and bytes only, so that a resumed run cuts where an uninterrupted one does."""
    chunk: list[Row] = []
    size = 0
    for row in rows:
        chunk.append(row)
        size += len(row.raw)
        if len(chunk) >= tokens or size >= tokens * BYTES_A_TOKEN:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
