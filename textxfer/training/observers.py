"""Who watches a run: the console, and log.jsonl. Your own overrides any method of `Observer`."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from textxfer.disk import reason, write_pieces
from textxfer.errors import OutputError
from textxfer.modeling.freezing import Frozen
from textxfer.records import Scores

ESTIMATE_AFTER = 10
"""Steps after which the time left is told where no bar shows it."""


@dataclass(frozen=True)
class StepLog:
    """A line about training.

    Attributes:
        step: Steps done.
        steps: Steps of the whole run.
        epoch: Passes done.
        loss: Mean since the last line.
        grad_norm: Of the last step, before clipping.
        learning_rate: Of the last step.
    """

    step: int
    steps: int
    epoch: float
    loss: float
    grad_norm: float
    learning_rate: float


@dataclass(frozen=True)
class PhaseLog:
    """A phase that begins, or goes on after an interruption.

    Attributes:
        number: From 1.
        phases: Of the whole run.
        first_step: Its first step, as steps are counted in logs: from 1.
        last_step: Its last.
        learning_rate: The highest.
        frozen: What is not trained in it.
    """

    number: int
    phases: int
    first_step: int
    last_step: int
    learning_rate: float
    frozen: Frozen


class Observer:
    """Sees what happens; override what you need."""

    def on_note(self, note: str) -> None:
        """Called with a sentence that the user should know."""

    def on_model(self, frozen: Frozen) -> None:
        """Called when the model is built, with what is trained of it."""

    def on_start(self, step: int, steps: int, examples_per_step: int) -> None:
        """Called before the first step of this process; `step` is above 0 where a run is resumed."""

    def on_phase(self, phase: PhaseLog) -> None:
        """Called when a phase begins, where a run has several."""

    def on_step(self, step: int) -> None:
        """Called after each step with the number of steps done."""

    def on_log(self, log: StepLog) -> None:
        """Called every `log_every` steps."""

    def on_scores(self, step: int, epoch: float, split: str, scores: Scores, best: bool) -> None:
        """Called after each evaluation; `best` says whether it is the best so far."""

    def on_end(self) -> None:
        """Called when training ends, however it ends."""


def tell(observers: Iterable[Observer], event: str, *details: Any) -> None:
    """Calls one method of every observer."""
    for observer in observers:
        getattr(observer, event)(*details)


class JsonLines(Observer):
    """Writes log.jsonl.

    Args:
        path: Lines are added to it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.phase: dict[str, int] = {}

    def cut_after(self, step: int, evaluated_step: int) -> None:
        """Drops what a resumed run writes again: steps after one, evaluations after another; and broken lines."""
        if not self.path.exists():
            return
        kept = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                known = json.loads(line)
            except ValueError:  # a killed process wrote half of it
                continue
            if known["step"] <= (evaluated_step if "split" in known else step):
                kept.append(line + "\n")
        write_pieces(self.path, kept)

    def on_phase(self, phase: PhaseLog) -> None:
        """Has all lines from here on say which phase they belong to."""
        self.phase = {"phase": phase.number}

    def on_log(self, log: StepLog) -> None:
        """Writes step, epoch, loss, gradient norm and learning rate."""
        names = ("step", "epoch", "loss", "grad_norm", "learning_rate")
        self._write({name: _short(getattr(log, name)) for name in names} | self.phase)

    def on_scores(self, step: int, epoch: float, split: str, scores: Scores, best: bool) -> None:
        """Writes step, epoch, split and every metric."""
        others = {"loss": scores.loss, "calibration_error": scores.calibration_error}
        known = {name: value for name, value in others.items() if value is not None}
        self._write({"step": step, "epoch": _short(epoch), "split": split, **self.phase, **known, **scores.values})

    def _write(self, line: Mapping[str, Any]) -> None:
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {reason(error)}") from error


class Console(Observer):
    """Draws a bar on a terminal; writes plain lines elsewhere."""

    def __init__(self, stream: TextIO | None = None, interactive: bool | None = None) -> None:
        self.stream = stream or sys.stderr
        self.interactive = self.stream.isatty() if interactive is None else interactive
        self.bar: Any = None

    def on_note(self, note: str) -> None:
        """Shows the sentence."""
        self._say(note)

    def on_model(self, frozen: Frozen) -> None:
        """Shows how many parameters of each part are trained."""
        self._say(f"{'':<20}{'trained':>14}{'in all':>14}")
        for size in frozen.table:
            self._say(f"{size.part:<20}{size.trainable:>14,}{size.total:>14,}")
        self._say(f"{'all':<20}{frozen.trainable:>14,}{frozen.total:>14,}")

    def on_start(self, step: int, steps: int, examples_per_step: int) -> None:
        """Opens the bar."""
        from tqdm import tqdm

        self.began, self.first, self.steps, self.per_step = time.monotonic(), step, steps, examples_per_step
        if self.interactive:
            self.bar = tqdm(total=steps, initial=step, desc="training", unit="step", file=self.stream, leave=False)

    def on_phase(self, phase: PhaseLog) -> None:
        """Shows how much is trained, at which rate, up to which step."""
        trained, total = phase.frozen.trainable, phase.frozen.total
        self._say(
            f"phase {phase.number} of {phase.phases}, up to step {phase.last_step}: {trained:,} of {total:,} "
            f"parameters are trained, at a rate of {phase.learning_rate:g} at most"
        )

    def on_step(self, step: int) -> None:
        """Moves the bar; without one, tells the time left once."""
        if self.bar is not None:
            self.bar.update(step - self.bar.n)
        elif step - self.first == ESTIMATE_AFTER and step < self.steps:
            seconds = (time.monotonic() - self.began) / ESTIMATE_AFTER * (self.steps - step)
            self._say(f"{self.steps} steps; about {duration(seconds)} left, evaluations not counted")

    def on_log(self, log: StepLog) -> None:
        """Shows the loss and the speed."""
        speed = (log.step - self.first) * self.per_step / max(time.monotonic() - self.began, 1e-9)
        if self.bar is not None:
            self.bar.set_postfix_str(f"loss {log.loss:.3f}, {speed:.0f} examples/s")
        else:
            self._say(f"step {log.step}/{log.steps}  loss {log.loss:.4f}  {speed:.0f} examples/s")

    def on_scores(self, step: int, epoch: float, split: str, scores: Scores, best: bool) -> None:
        """Shows the scores of an evaluation of validation; those of the training sample are for the report."""
        if split == "train":
            return
        shown = "  ".join(f"{name} {value:.4f}" for name, value in scores.values.items())
        self._say(f"epoch {epoch:.1f}, step {step}: {split} {shown}{'  (best so far)' if best else ''}")

    def on_end(self) -> None:
        """Closes the bar."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def _say(self, line: str) -> None:
        if self.bar is not None:
            self.bar.write(line, file=self.stream)
        else:
            print(line, file=self.stream, flush=True)


def duration(seconds: float) -> str:
    """Gives a time in words: "45 s", "12 min", "3 h 20 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _short(value: float) -> float | None:
    if isinstance(value, int):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else None
