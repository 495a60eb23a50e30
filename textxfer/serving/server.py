"""`serve`: an application on a port, until it is asked to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from textxfer.errors import Interrupted, TextxferError
from textxfer.serving._limits import Limits

BACKLOG = 2048
KEEP_ALIVE_SECONDS = 15
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def listen(host: str, port: int) -> socket.socket:
    """Gives a socket that listens; port 0 takes one that is free.

    Raises:
        TextxferError: The port is in use or not allowed, or there is no such host here.
    """
    where = f"--port {port}"
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, OverflowError, UnicodeError) as error:
        raise TextxferError(f"--host {host}: is no address of this machine: {error}") from error
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # a port that a stopped server has just left may be taken again
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(BACKLOG)
    except PermissionError as error:
        found.close()
        raise TextxferError(f"{where}: only the administrator may use it; choose one from 1024 on") from error
    except (OSError, OverflowError) as error:
        found.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise TextxferError(
            f"{where}: cannot be used on {host}: {reason}; choose another, or 0 for a free one"
        ) from error
    return found


def address(sock: socket.socket) -> str:
    """Gives the URL of a socket that listens."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def make_server(app: Any, limits: Limits) -> uvicorn.Server:
    """Makes the server of an application; `run(sockets=[...])` runs it until `should_exit` is set.

    It stops gracefully: no new connections, but an answer to every request that has begun.
    """
    config = uvicorn.Config(
        app,
        http=partial(_Prompt, limits.read_seconds),  # type: ignore[arg-type]
        ws="none",
        lifespan="on",
        log_config=None,  # what logging does is the program's to say
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=round(limits.read_seconds + limits.answer_seconds) + 1,
    )
    return uvicorn.Server(config)


def serve(app: Any, sock: socket.socket, limits: Limits, on_start: Callable[[], None]) -> None:
    """Serves until SIGINT or SIGTERM, then answers what it has accepted and gives back; a second SIGINT ends at once.

    Args:
        app: An ASGI application.
        sock: That listens; it is closed at the end.
        limits: Of the application.
        on_start: Called before the first request is read.

    Raises:
        Interrupted: By a second SIGINT.
    """
    server = make_server(app, limits)
    # Uvicorn sends itself the signal again at the end, to whoever listened before.
    before = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
    try:
        on_start()
        server.run(sockets=[sock])
    finally:
        sock.close()
        for number, handler in before.items():
            signal.signal(number, handler)
    if server.force_exit:
        raise Interrupted(signal.SIGINT, "stopped; requests in progress were not answered")


class _Prompt(H11Protocol):
    """HTTP/1.1 that closes a connection whose next request's head does not come within so many seconds."""

    def __init__(self, seconds: float, **options: Any) -> None:
        super().__init__(**options)
        self._seconds = seconds
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.conn.trailing_data[0]:  # a part of the next head came while this request was answered
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop()

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._stop()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self._seconds, self.transport.close)

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
