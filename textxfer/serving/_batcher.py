"""Requests that come one by one, answered by a model that is fastest with many rows at once."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = dict[str, str]
Options = tuple[tuple[str, Any], ...]
"""Keyword arguments of the pipeline."""

logger = logging.getLogger(__name__)

MOST_SECONDS_TO_RETRY = 60


class QueueFull(Exception):
    """There is no room for these rows now.

    Args:
        retry_after: Seconds after which there may be, a whole number from 1 on.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"busy; try again in {retry_after} s")
        self.retry_after = retry_after


@dataclass(eq=False)
class _Job:
    """The rows of one request.

    Attributes:
        rows: One at least.
        options: Of the pipeline.
        loop: That waits for the answer.
        answer: Gets a result for each row, or the error that there was.
        results: Of the first rows so far.
        taken: Rows that the model was given so far.
    """

    rows: Sequence[Row]
    options: Options
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[list[Any]]
    results: list[Any] = field(default_factory=list)
    taken: int = 0

    @property
    def kind(self) -> tuple[Any, ...]:
        """What jobs have in common whose rows may be predicted together: options, and the names of a row's texts."""
        return self.options, tuple(self.rows[0])


@dataclass
class _Part:
    """Rows of one job that are predicted together."""

    job: _Job
    rows: list[Row]


@dataclass
class _Batch:
    """What is predicted in one call.

    Attributes:
        rows_left: How many more fit.
        characters_left: How many more fit; the first row may have any number.
        parts: By job.
        full: Whether a row did not fit.
    """

    rows_left: int
    characters_left: int
    parts: list[_Part] = field(default_factory=list)
    full: bool = False

    def take(self, job: _Job) -> int:
        """Takes as many of a job's next rows as fit, and says how many."""
        part = _Part(job, [])
        for row in job.rows[job.taken : job.taken + self.rows_left]:
            size = sum(map(len, row.values()))
            if size > self.characters_left and (self.parts or part.rows):
                self.full = True
                break
            part.rows.append(row)
            self.characters_left -= size
        if part.rows:
            self.parts.append(part)
        job.taken += len(part.rows)
        self.rows_left -= len(part.rows)
        self.full = self.full or self.rows_left == 0
        return len(part.rows)


class Batcher:
    """Puts rows of waiting requests together and has a model predict them, in one thread of its own.

    The oldest request goes first, with as many rows as a batch holds, and others fill the batch up. What is left of a
    request goes to the end of the queue, so that a long one does not hold up the short ones behind it. Nothing is
    waited for: a row that comes to an idle model is predicted at once. The thread starts with the first row.

    Args:
        predict: Called with rows and the options as keyword arguments, gives a result for each row.
        most_waiting: Rows that may wait.
        batch_rows: Most rows of a call of `predict`.
        batch_characters: Most characters of a call, if it has more than one row.
        on_batch: Called with the rows and the seconds of each call.
    """

    def __init__(
        self,
        predict: Callable[..., list[Any]],
        *,
        most_waiting: int = 1024,
        batch_rows: int = 32,
        batch_characters: int = 1 << 16,
        on_batch: Callable[[int, float], None] | None = None,
    ) -> None:
        self._predict = predict
        self._most_waiting = most_waiting
        self._batch_rows = batch_rows
        self._batch_characters = batch_characters
        self._on_batch = on_batch
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._waiting = 0
        self._closing = False
        self._rate = 0.0
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """Rows that no batch has taken yet."""
        return self._waiting

    @property
    def full(self) -> bool:
        """Whether there is room for no row."""
        return self._waiting >= self._most_waiting

    @property
    def alive(self) -> bool:
        """Whether rows that come now will be predicted."""
        return not self._closing and (self._thread is None or self._thread.is_alive())

    async def submit(self, rows: Sequence[Row], options: Options = ()) -> list[Any]:
        """Gives the model's result for each row; whoever stops waiting takes the rows out of the queue.

        Raises:
            QueueFull: There is no room for them.
            Exception: What the model raised.
        """
        loop = asyncio.get_running_loop()
        job = _Job(rows, options, loop, loop.create_future())
        with self._changed:
            if self._closing or self._waiting + len(rows) > self._most_waiting:
                raise QueueFull(self._seconds_to_retry())
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="textxfer-model", daemon=True)
                self._thread.start()
            self._jobs.append(job)
            self._waiting += len(rows)
            self._changed.notify()
        try:
            return await job.answer
        finally:
            self._forget(job)

    def close(self, timeout: float | None = None) -> None:
        """Takes no more rows, has the waiting ones predicted, and ends the thread; waits so many seconds for that."""
        with self._changed:
            self._closing = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join(timeout)

    def _seconds_to_retry(self) -> int:
        seconds = math.ceil(self._waiting / self._rate) if self._rate > 0 else 1
        return min(max(seconds, 1), MOST_SECONDS_TO_RETRY)

    def _forget(self, job: _Job) -> None:
        with self._changed:
            if job.taken < len(job.rows):
                self._waiting -= len(job.rows) - job.taken
                self._jobs.remove(job)

    def _work(self) -> None:
        while batch := self._next():
            if not self._run(batch):
                for part in batch:  # one bad row must not spoil what came with it
                    self._run([part])

    def _next(self) -> list[_Part]:
        """Waits for rows and gives those of the next batch, by job; none when all is done."""
        with self._changed:
            while not self._jobs:
                if self._closing:
                    return []
                self._changed.wait()
            kind = self._jobs[0].kind
            batch = _Batch(self._batch_rows, self._batch_characters)
            passed_over: list[_Job] = []
            unfinished: list[_Job] = []
            while self._jobs and not batch.full:
                job = self._jobs.popleft()
                taken = batch.take(job) if job.kind == kind else 0
                self._waiting -= taken
                if job.taken < len(job.rows):
                    (unfinished if taken else passed_over).append(job)
            self._jobs.extendleft(reversed(passed_over))
            self._jobs.extend(unfinished)
            return batch.parts

    def _run(self, batch: list[_Part]) -> bool:
        """Predicts a batch; says no where that failed and nobody was told, since it has rows of several jobs."""
        rows = [row for part in batch for row in part.rows]
        began = time.perf_counter()
        try:
            results = self._predict(rows, **dict(batch[0].job.options))
            assert len(results) == len(rows)
        except Exception as error:
            if len(batch) > 1:
                return False
            self._tell(batch[0].job, error)
            return True
        self._note(len(rows), time.perf_counter() - began)
        start = 0
        for part in batch:
            part.job.results.extend(results[start : start + len(part.rows)])
            start += len(part.rows)
            if len(part.job.results) == len(part.job.rows):
                self._tell(part.job, None)
        return True

    def _note(self, rows: int, seconds: float) -> None:
        rate = rows / max(seconds, 1e-9)
        self._rate = rate if self._rate == 0 else 0.8 * self._rate + 0.2 * rate
        if self._on_batch is not None:
            self._on_batch(rows, seconds)

    def _tell(self, job: _Job, error: Exception | None) -> None:
        try:
            job.loop.call_soon_threadsafe(_settle, job, error)
        except RuntimeError:  # the loop is closed: nobody is there to be told
            logger.debug("an answer came after the end")


def _settle(job: _Job, error: Exception | None) -> None:
    if job.answer.done():
        return
    if error is not None:
        job.answer.set_exception(error)
    else:
        job.answer.set_result(job.results)
