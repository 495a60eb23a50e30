"""Signals are taken between two steps."""

from __future__ import annotations

import signal
import time
from types import SimpleNamespace
from typing import Any

import pytest

from textxfer.training import stopping
from textxfer.training.stopping import StopRequested, StopSignal

SEVERAL: Any = SimpleNamespace(num_processes=2)


def test_nothing_is_raised_where_nothing_was_heard() -> None:
    with StopSignal() as stop:
        stop.check()
        stop.check_alone()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_kept_until_it_is_asked_for(number: int) -> None:
    with StopSignal() as stop:
        signal.raise_signal(number)
        for check in (stop.check, stop.check_alone):
            with pytest.raises(StopRequested) as caught:
                check()
            assert caught.value.signal_number == number


def test_a_second_one_stops_at_once() -> None:
    with StopSignal(), pytest.raises(KeyboardInterrupt):  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


def test_among_several_processes_the_launchers_echo_is_not_a_second_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with StopSignal(SEVERAL) as stop:
        for _ in range(3):
            signal.raise_signal(signal.SIGINT)
        assert stop.heard == signal.SIGINT
        stop.check_alone()  # among several, only steps are a place to stop
        later = time.monotonic() + stopping.ECHO_SECONDS + 1
        monkeypatch.setattr(time, "monotonic", lambda: later)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with StopSignal():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
