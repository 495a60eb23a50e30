"""Ctrl-C and SIGTERM, taken between two steps."""

from __future__ import annotations

import signal
import threading
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


class StopSignal:
    """Listens for Ctrl-C and SIGTERM while it is entered; a second Ctrl-C stops at once.

    Only the main thread can listen; elsewhere (a notebook's worker) it hears nothing and does no harm.
    """

    def __init__(self, accelerator: Accelerator | None = None) -> None:
        self.accelerator = accelerator
        self.heard = 0
        self.handlers: dict[int, Any] = {}

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.handlers[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.handlers.clear()

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.heard = number
        for each, handler in self.handlers.items():
            signal.signal(each, handler)

    def check(self) -> None:
        """Raises `StopRequested` if a signal was heard, on all processes at the same step."""
        heard = self.heard
        if self.accelerator is not None and self.accelerator.num_processes > 1:
            import torch
            from accelerate.utils import gather

            mine = torch.tensor([heard], device=self.accelerator.device)
            heard = int(gather(mine).max())  # type: ignore[union-attr]
        if heard:
            raise StopRequested(heard)

    def check_alone(self) -> None:
        """Like `check`, where processes are not in step with each other: only a lone process stops."""
        if self.accelerator is None or self.accelerator.num_processes == 1:
            self.check()
