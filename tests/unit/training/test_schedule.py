"""Rates as a function of the step."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from textxfer.training.schedule import rate_factor

SCHEDULES = ["linear", "cosine", "constant"]
totals = st.integers(1, 5000)
ratios = st.floats(0, 1, exclude_max=True)


@settings(deadline=None)
@given(total=totals, ratio=ratios, schedule=st.sampled_from(SCHEDULES), data=st.data())
def test_a_factor_is_a_share(total: int, ratio: float, schedule: str, data: st.DataObject) -> None:
    step = data.draw(st.integers(0, total - 1))
    assert 0 <= rate_factor(step, total, ratio, schedule) <= 1  # type: ignore[arg-type]


@settings(deadline=None)
@given(total=st.integers(1, 300), ratio=ratios, schedule=st.sampled_from(SCHEDULES))
def test_it_rises_evenly_to_the_whole_rate_then_never_rises_again(total: int, ratio: float, schedule: str) -> None:
    factors = [rate_factor(step, total, ratio, schedule) for step in range(total)]  # type: ignore[arg-type]
    peak = factors.index(max(factors))
    rises = [after - before for before, after in pairwise(factors[: peak + 1])]
    assert rises == pytest.approx([1 / (peak + 1)] * peak)
    assert all(before >= after for before, after in pairwise(factors[peak:]))
    assert factors[peak] == 1 or ratio == 0
    assert all(factor > 0 for factor in factors)


@settings(deadline=None)
@given(total=st.integers(1, 200))
def test_linear_is_transformers_own(total: int) -> None:
    from transformers import get_linear_schedule_with_warmup

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = get_linear_schedule_with_warmup(optimizer, 0, total)
    for step in range(total):
        assert rate_factor(step, total, 0.0, "linear") == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


def test_warm_up_of_ten_steps() -> None:
    assert [rate_factor(step, 20, 0.25) for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])
    assert rate_factor(19, 20, 0.25) == pytest.approx(1 / 15)


def test_cosine_is_at_its_half_in_the_middle() -> None:
    assert rate_factor(10, 20, 0.0, "cosine") == pytest.approx(0.5)
    assert rate_factor(5, 20, 0.0, "cosine") == pytest.approx(0.8535534)


def test_constant_stays() -> None:
    assert {rate_factor(step, 20, 0.0, "constant") for step in range(20)} == {1.0}
