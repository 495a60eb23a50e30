"""What can go wrong with the loopback Hub, on demand."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass


@dataclass
class Fault:
    """Something that befalls the next `times` requests that match.

    Attributes:
        method, path: Regular expressions; the path is searched, without its query.
        times: How many requests; None for all of them.
        status: Answer with this status, and do nothing.
        retry_after: With `status`: tell the client to come back after so many seconds.
        seconds: Wait so long first.
        cut_upload: Hang up after so many bytes of the request's body.
        cut_download: Hang up after so many bytes of the answer's body; -1 hangs up before the answer's first byte, when
            all was done.
        reset: Whether hanging up resets the connection instead of closing it.
    """

    path: str
    method: str = ".*"
    times: int | None = 1
    status: int | None = None
    retry_after: int | None = None
    seconds: float = 0.0
    cut_upload: int | None = None
    cut_download: int | None = None
    reset: bool = False


class Faults:
    """The faults to come; the first one that matches a request befalls it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._waiting.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """Gives the fault of a request, and counts it."""
        with self._lock:
            for fault in self._waiting:
                if re.fullmatch(fault.method, method) and re.search(fault.path, path):
                    if fault.times is not None:
                        fault.times -= 1
                        if fault.times <= 0:
                            self._waiting.remove(fault)
                    return fault
        return None
