"""What the console shows, and what log.jsonl keeps."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.training.helpers import splits
from textxfer.errors import OutputError
from textxfer.modeling.freezing import Frozen, PartSize
from textxfer.records import Scores
from textxfer.run import run_recipe
from textxfer.training.observers import Console, JsonLines, Observer, PhaseLog, StepLog, duration

FROZEN = Frozen((), (PartSize("embeddings", 0, 12_345), PartSize("head", 34, 34)), 0, True)


def step_log(step: int, **changes: float) -> StepLog:
    values: dict[str, Any] = {"step": step, "steps": 40, "epoch": step / 10, "loss": 0.5, "grad_norm": 1.25,
                              "learning_rate": 1e-3}  # fmt: skip
    return StepLog(**values | changes)


def told(console: Observer, steps: int = 12, first: int = 0) -> None:
    """Tells an observer of a small run."""
    console.on_note("a note")
    console.on_model(FROZEN)
    console.on_start(first, 40, 8)
    for step in range(first + 1, first + steps + 1):
        console.on_step(step)
        if step % 4 == 0:
            console.on_log(step_log(step))
    console.on_scores(12, 1.2, "validation", Scores({"accuracy": 0.75}, 8, {}), True)
    console.on_scores(16, 1.6, "validation", Scores({"accuracy": 0.5}, 8, {}), False)
    console.on_end()


def test_elsewhere_than_on_a_terminal_lines_are_plain() -> None:
    stream = io.StringIO()
    told(Console(stream))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "a note"
    assert [line.split() for line in lines[1:5]] == [
        ["trained", "in", "all"],
        ["embeddings", "0", "12,345"],
        ["head", "34", "34"],
        ["all", "34", "12,379"],
    ]
    assert re.fullmatch(r"step 4/40  loss 0\.5000  \d+ examples/s", lines[5])
    assert re.fullmatch(r"40 steps; about .* left, evaluations not counted", lines[7])
    assert lines[-2] == "epoch 1.2, step 12: validation accuracy 0.7500  (best so far)"
    assert lines[-1] == "epoch 1.6, step 16: validation accuracy 0.5000"
    assert not set(stream.getvalue()) & {"\r", "\x1b"}


def test_on_a_terminal_there_is_a_bar_with_loss_and_speed() -> None:
    stream = io.StringIO()
    told(Console(stream, interactive=True), steps=40)
    text = stream.getvalue()
    assert "\r" in text
    assert re.search(r"training: +\d+%\|", text)
    assert "/40 [" in text
    assert re.search(r"loss 0\.500, \d+ examples/s", text)
    assert "epoch 1.2, step 12: validation accuracy 0.7500  (best so far)\n" in text
    assert "about" not in text  # the bar shows the time left
    assert "a note\n" in text


def test_a_terminal_is_recognised() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert Console(Terminal()).interactive
    assert not Console(io.StringIO()).interactive
    assert not Console(Terminal(), interactive=False).interactive


@pytest.mark.parametrize("first", [0, 20])
def test_the_time_left_is_told_once_after_ten_steps(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    console = Console(stream)
    console.on_start(first, 40, 8)
    for step in range(first + 1, 40):
        now[0] += 6.0
        console.on_step(step)
        if step < first + 10:
            assert stream.getvalue() == ""
    left = {0: "3 min", 20: "60 s"}[first]
    assert stream.getvalue() == f"40 steps; about {left} left, evaluations not counted\n"


def test_a_run_of_ten_steps_needs_no_estimate() -> None:
    stream = io.StringIO()
    console = Console(stream)
    console.on_start(0, 10, 8)
    for step in range(1, 11):
        console.on_step(step)
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (45.2, "45 s"),
        (89.4, "89 s"),
        (90, "2 min"),
        (720, "12 min"),
        (5399, "90 min"),
        (12_000, "3 h 20 min"),
    ],
)
def test_durations_in_words(seconds: float, text: str) -> None:
    assert duration(seconds) in (text, text.replace("90 min", "1 h 30 min"))


def test_an_own_observer_overrides_what_it_needs(small: Callable[..., dict[str, Any]]) -> None:
    class Counter(Observer):
        steps = 0

        def on_step(self, step: int) -> None:
            self.steps += 1

    counter = Counter()
    run_recipe(small(), splits=splits(), observers=[counter, Observer()])
    assert counter.steps == 8


# log.jsonl


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.jsonl"


def write(path: Path) -> JsonLines:
    log = JsonLines(path)
    for step in (2, 4, 6):
        log.on_log(step_log(step))
        if step != 2:
            log.on_scores(step, step / 10, "validation", Scores({"accuracy": 0.5}, 8, {}, loss=0.7), False)
    return log


def lines(path: Path) -> list[tuple[int, bool]]:
    """Gives step, and whether it is an evaluation, of every line."""
    return [(line["step"], "split" in line) for line in map(json.loads, path.read_text().splitlines())]


def test_lines_are_json(path: Path) -> None:
    write(path)
    first, *_, last = map(json.loads, path.read_text().splitlines())
    assert first == {"step": 2, "epoch": 0.2, "loss": 0.5, "grad_norm": 1.25, "learning_rate": 0.001}
    assert last == {"step": 6, "epoch": 0.6, "split": "validation", "loss": 0.7, "accuracy": 0.5}


def test_numbers_that_are_not_finite_are_null(path: Path) -> None:
    JsonLines(path).on_log(step_log(2, grad_norm=float("inf")))
    assert json.loads(path.read_text())["grad_norm"] is None


@pytest.mark.parametrize(
    ("step", "evaluated", "kept"),
    [
        (6, 6, [(2, False), (4, False), (4, True), (6, False), (6, True)]),
        (6, 4, [(2, False), (4, False), (4, True), (6, False)]),
        (4, 4, [(2, False), (4, False), (4, True)]),
        (3, -1, [(2, False)]),
        (0, -1, []),
    ],
)
def test_a_resumed_run_drops_what_it_will_write_again(
    path: Path, step: int, evaluated: int, kept: list[tuple[int, bool]]
) -> None:
    write(path).cut_after(step, evaluated)
    assert lines(path) == kept


def test_half_a_line_is_dropped(path: Path) -> None:
    log = write(path)
    with path.open("a") as file:
        file.write('{"step": 8, "ep')
    log.cut_after(6, 6)
    assert len(lines(path)) == 5


def test_there_may_be_no_log_yet(path: Path) -> None:
    JsonLines(path).cut_after(3, 3)
    assert not path.exists()


def test_a_log_that_cannot_be_written_is_named(path: Path) -> None:
    path.mkdir()
    with pytest.raises(OutputError, match=r"log\.jsonl: cannot be written: Is a directory"):
        JsonLines(path).on_log(step_log(2))


def test_phases_are_told_and_stand_in_the_log(tmp_path: Path) -> None:
    stream, lines = io.StringIO(), JsonLines(tmp_path / "log.jsonl")
    for observer in (Console(stream), lines):
        observer.on_start(0, 40, 8)
        observer.on_log(step_log(4))
        observer.on_phase(PhaseLog(2, 3, 5, 12, 2e-5, FROZEN))
        observer.on_log(step_log(8))
        observer.on_scores(8, 0.8, "validation", Scores({"accuracy": 0.75}, 8, {}), True)
    assert stream.getvalue().splitlines()[1] == (
        "phase 2 of 3, up to step 12: 34 of 12,379 parameters are trained, at a rate of 2e-05 at most"
    )
    assert [json.loads(line).get("phase") for line in lines.path.read_text().splitlines()] == [None, 2, 2]
