"""What stands before the application: who may ask, how much and how slowly; and who has gone."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from fastapi.responses import JSONResponse

from textxfer.serving._limits import Limits
from textxfer.serving._metrics import CLIENT_GONE, Metrics

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

OPEN_PATHS = ("/", "/health", "/ready", "/openapi.json")
LINGER_SECONDS = 1.0
LINGER_BYTES = 64 << 20


def problem(status: int, *lines: str, **headers: str) -> JSONResponse:
    """Gives the answer to a request that cannot be met: what is wrong, one mistake a line."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return JSONResponse({"errors": list(lines)}, status, named)


def _busy(why: str) -> JSONResponse:
    return problem(503, f"busy: {why}; try again", Retry_After="1")


@dataclass
class _Refused(Exception):
    response: JSONResponse


class Guard:
    """ASGI middleware that reads each request's body whole before the application sees it.

    Args:
        app: The application; it is cancelled when its client goes.
        limits: Of bodies, requests and seconds.
        token: That `Authorization: Bearer` must name, but for `OPEN_PATHS`; None: anyone may ask.
        metrics: Counts requests.
    """

    def __init__(self, app: Any, limits: Limits, token: str | None, metrics: Metrics) -> None:
        self.app = app
        self._limits = limits
        self._token = token.encode() if token is not None else None
        self._metrics = metrics
        self._in_progress = 0
        self._bytes = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        status = CLIENT_GONE

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._in_progress += 1
        body = None
        try:
            body = await self._read(scope, receive)
            if body is not None:
                await self._run(scope, body, receive, noted)
        except _Refused as refused:
            await _refuse(refused.response, scope, receive, noted)
        except Exception:
            status = 500 if status == CLIENT_GONE else status  # which is answered further out
            raise
        finally:
            self._in_progress -= 1
            self._bytes -= len(body or b"")
            self._metrics.request(scope["path"], status, time.perf_counter() - began)

    async def _read(self, scope: Message, receive: Receive) -> bytes | None:
        """Gives the whole body, whose bytes are counted from then on; None where the client has gone.

        Raises:
            _Refused: It may not ask, or not for so much, or not so slowly.
        """
        headers = dict(scope["headers"])
        if self._token is not None and scope["path"] not in OPEN_PATHS:
            scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
            if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self._token):
                what = "this server wants its token: send the header `Authorization: Bearer TOKEN`"
                raise _Refused(problem(401, what, WWW_Authenticate="Bearer"))
        if self._in_progress > self._limits.requests:
            raise _Refused(_busy("too many requests at a time"))
        if int(headers.get(b"content-length", 0)) > self._limits.body_bytes:  # uvicorn lets only numbers through
            raise _Refused(self._too_large())
        parts: list[bytes] = []
        size, whole = 0, False
        try:
            async with asyncio.timeout(self._limits.read_seconds):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        return None
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    self._bytes += len(parts[-1])
                    if size > self._limits.body_bytes:
                        raise _Refused(self._too_large())
                    if self._bytes > self._limits.waiting_bytes:
                        raise _Refused(_busy("the requests in progress are too large together"))
                    if not message.get("more_body", False):
                        whole = True
                        return b"".join(parts)
        except TimeoutError:
            seconds = self._limits.read_seconds
            raise _Refused(problem(408, f"the body did not come within {seconds:g} s")) from None
        finally:
            self._bytes -= 0 if whole else size

    def _too_large(self) -> JSONResponse:
        return problem(413, f"the body is larger than {self._limits.body_bytes:,} bytes; send fewer texts at a time")

    async def _run(self, scope: Message, body: bytes, receive: Receive, send: Send) -> None:
        """Has the application answer, unless the client goes before, or does not take the answer."""
        left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return left.pop() if left else await asyncio.shield(gone)

        gone = asyncio.ensure_future(receive())  # after the body, the next message says that the client has gone
        answer = asyncio.ensure_future(self.app(scope, replay, send))
        seconds = self._limits.answer_seconds + self._limits.read_seconds
        try:
            await asyncio.wait((answer, gone), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            finished = answer.done()
            gone.cancel()
            answer.cancel()
            await asyncio.wait((answer, gone))
        if finished:
            answer.result()


async def _refuse(response: JSONResponse, scope: Message, receive: Receive, send: Send) -> None:
    """Answers without the body; what is still coming is read for a moment, so that the client reads the answer."""
    headers = [*response.raw_headers, (b"connection", b"close")]
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": response.body, "more_body": True})
    size = 0
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while size < LINGER_BYTES:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body", False):
                    break
                size += len(message.get("body", b""))
    except TimeoutError:
        pass
    await send({"type": "http.response.body", "body": b"", "more_body": False})
