"""Which examples each step sees, and when a run evaluates, logs and saves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textxfer.training.plan import Phase, Plan


def plan(count: int = 10, **options: Any) -> Plan:
    """Gives a plan for examples of 1, 2, 3 ... tokens."""
    return Plan(np.arange(1, count + 1), **({"epochs": 2, "batch_size": 4} | options))


def test_steps_and_epochs() -> None:
    assert (plan().steps_per_epoch, plan().steps) == (3, 6)
    assert plan(max_steps=4).steps == 4
    assert plan(max_steps=99).steps == 6
    assert plan().epoch(3) == 1.0
    assert [plan().examples(step) for step in (0, 1, 3, 4, 6)] == [0, 4, 10, 14, 20]


def test_padding_is_the_share_of_computed_tokens_that_no_text_has() -> None:
    lengths = np.array([2] * 50 + [10] * 50)
    assert Plan(lengths, batch_size=50, batching="length").padding == 0
    mixed = Plan(lengths, batch_size=100, batching="random").padding
    assert mixed == pytest.approx(1 - 600 / 1000)


@settings(deadline=None)
@given(
    count=st.integers(1, 60), epochs=st.integers(1, 3), size=st.integers(1, 16), most=st.none() | st.integers(1, 40),
    batching=st.sampled_from(["length", "random"]), start=st.integers(0, 40),
)  # fmt: skip
def test_a_plan_gone_on_with_gives_the_same_batches(
    count: int, epochs: int, size: int, most: int | None, batching: Any, start: int
) -> None:
    made = plan(count, epochs=epochs, batch_size=size, max_steps=most, batching=batching)
    whole = list(made.batches(0))
    assert len(whole) == made.steps
    rest = list(made.batches(min(start, made.steps)))
    assert len(rest) == made.steps - min(start, made.steps)
    for one, other in zip(whole[start:], rest, strict=True):
        assert np.array_equal(one, other)


@settings(deadline=None)
@given(count=st.integers(1, 60), size=st.integers(1, 16), batching=st.sampled_from(["length", "random"]))
def test_each_epoch_sees_every_example_once(count: int, size: int, batching: Any) -> None:
    made = plan(count, batch_size=size, batching=batching)
    batches = list(made.batches(0))
    for first in (0, made.steps_per_epoch):
        seen = np.concatenate(batches[first : first + made.steps_per_epoch])
        assert sorted(seen.tolist()) == list(range(count))
        assert sum(len(batch) < size for batch in batches[first : first + made.steps_per_epoch]) <= 1


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    first, second = np.split(np.concatenate(list(plan(40).batches(0))), 2)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, np.concatenate(list(plan(40, seed=1).batches(0)))[:40])


def when(made: Plan, question: str) -> list[int]:
    return [done for done in range(made.steps + 1) if getattr(made, question)(done)]


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({}, [3, 6]),
        ({"evaluate_every": 2}, [2, 4, 6]),
        ({"evaluate_every": 4}, [4, 6]),
        ({"evaluate_every": 1000}, [6]),
        ({"max_steps": 4}, [3, 4]),
        ({"max_steps": 2}, [2]),
    ],
)
def test_it_evaluates_when_told_and_always_after_the_last_step(options: dict[str, Any], steps: list[int]) -> None:
    assert when(plan(**options), "evaluates_after") == steps
    assert plan(**options).evaluations == len(steps)


@pytest.mark.parametrize(
    ("every", "steps"), [("epoch", [3, 6]), (4, [4, 6]), ("never", []), (1, [1, 2, 3, 4, 5, 6]), (99, [6])]
)
def test_it_saves_when_told_and_after_the_last_step(every: Any, steps: list[int]) -> None:
    assert when(plan(save_every=every), "saves_after") == steps


def test_it_logs_when_told_and_after_the_last_step() -> None:
    assert when(plan(log_every=4), "logs_after") == [0, 4, 6]


def test_rates_are_shares_of_the_highest() -> None:
    made = plan(learning_rate=0.5, warmup_ratio=0.5, schedule="constant")
    assert [made.rate(step) for step in range(6)] == pytest.approx([0.5 / 3, 1 / 3, 0.5, 0.5, 0.5, 0.5])


PHASES = (Phase(0, 9.0, "all"), Phase(2, 1.0, 1), Phase(4, 0.5))


def test_a_plan_of_phases() -> None:
    made = plan(phases=PHASES, warmup_ratio=0.0, learning_rate=7.0, epochs=99, max_steps=1)
    assert made.steps == len(list(made.batches(0))) == 6
    assert [made.phase(step) for step in range(8)] == [1, 1, 2, 2, 2, 2, 2, 2]
    assert [made.first_step(number) for number in range(3)] == [0, 0, 2]
    assert [made.rate(step) for step in range(6)] == pytest.approx([1.0, 0.5, 0.5, 0.375, 0.25, 0.125])
    assert made.of_phase(2).steps == 4


def test_phases_end_with_an_evaluation_and_a_line_of_the_log() -> None:
    made = plan(phases=PHASES, log_every=4)
    assert when(made, "evaluates_after") == [2, 3, 6]
    assert when(made, "logs_after") == [0, 2, 4, 6]
    assert made.evaluations == 3
    assert plan(phases=(Phase(0, 1.0, "all"),)).steps == 0
    assert plan(phases=(Phase(0, 1.0, "all"),)).evaluations == 0
