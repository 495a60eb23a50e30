"""Ctrl-C and SIGTERM, taken between two steps."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accelerate import Accelerator


class StopRequested(Exception):
    """A signal asked the run to stop.

    Args:
        signal_number: Which one.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


ECHO_SECONDS = 2.0
"""A launcher of several processes passes on the signal that the terminal has sent them already."""


class StopSignal:
    """Listens for Ctrl-C and SIGTERM while it is entered; a second one stops at once.

    Only the main thread can listen; elsewhere (a notebook's worker) it hears nothing and does no harm.

    Args:
        accelerator: Of the run; its processes stop at the same step.
    """

    def __init__(self, accelerator: Accelerator | None = None) -> None:
        self.accelerator = accelerator
        self.alone = accelerator is None or accelerator.num_processes == 1
        self.heard = 0
        self.heard_at = 0.0
        self.handlers: dict[int, Any] = {}

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.handlers[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self.handlers.clear()

    def _hear(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.heard:
            self.heard, self.heard_at = number, now
        elif self.alone or now - self.heard_at > ECHO_SECONDS:
            self.__exit__()
            signal.raise_signal(number)

    def check(self) -> None:
        """Raises `StopRequested` if a signal was heard, on all processes at the same step."""
        heard = self.heard
        if self.accelerator is not None and not self.alone:
            import torch
            from accelerate.utils import gather

            mine = torch.tensor([heard], device=self.accelerator.device)
            heard = int(gather(mine).max())
        if heard:
            raise StopRequested(heard)

    def check_alone(self) -> None:
        """Like `check`, where processes are not in step with each other: only a lone process stops."""
        if self.alone:
            self.check()
