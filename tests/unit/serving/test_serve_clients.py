"""Clients that dawdle or go: nobody waits for them, and the server lives on."""

from __future__ import annotations

import asyncio
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")

from tests.unit.serving.http import Marker, answer_of, request, run_async, served, told, until
from textxfer.serving._guard import Guard
from textxfer.serving._limits import Limits
from textxfer.serving._metrics import Metrics

QUICK = Limits(read_seconds=0.5, answer_seconds=0.6)


@pytest.mark.parametrize(
    ("start", "answered"),
    [
        (b"", b""),
        (b"POST /pre", b""),
        (b"POST /predict HTTP/1.1\r\nHost: x\r\nX: ", b""),
        (request({"texts": "a"})[:-1], b"HTTP/1.1 408 "),
        (b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"HTTP/1.1 408 "),
    ],
    ids=["nothing", "method", "head", "body", "chunks"],
)
def test_a_client_that_dawdles_is_cut_off(start: bytes, answered: bytes) -> None:
    with served(Marker(), QUICK) as server, server.open() as connection:
        connection.settimeout(10)
        began = time.monotonic()
        connection.sendall(start)
        answer = answer_of(connection)
        assert 0.4 < time.monotonic() - began < 5
        assert answer.startswith(answered)
        assert bool(answer) == bool(answered)
        assert server.lives()


def test_dripping_does_not_help() -> None:
    with served(Marker(), QUICK) as server:
        for start in (b"POST /predict HTTP/1.1\r\nX: ", request({"texts": "a" * 90})[:-100]):
            with server.open() as connection:
                connection.sendall(start)
                began = time.monotonic()
                try:
                    while time.monotonic() - began < 8:
                        connection.sendall(b"a")
                        time.sleep(0.1)
                except ConnectionError:
                    pass
                assert time.monotonic() - began < 4
        assert server.lives()


def test_the_second_request_of_a_connection_has_the_same_time() -> None:
    with served(Marker(), QUICK) as server, server.open() as connection:
        connection.settimeout(10)
        connection.sendall(request({"texts": "a"}))
        began = time.monotonic()
        connection.sendall(b"POST /predict HTT")
        answer = answer_of(connection)
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert answer.endswith(b"]}]}")
        assert time.monotonic() - began < 5


def test_an_answer_that_takes_too_long_is_504() -> None:
    marker = Marker()
    marker.gate.clear()
    with served(marker, QUICK) as server:
        assert told(server.predict("a")) == (504, ["no answer within 0.6 s; send less at a time, or try again later"])
        assert told(server.predict("never read")) == (
            504,
            ["no answer within 0.6 s; send less at a time, or try again later"],
        )
        marker.gate.set()
        assert server.lives()
        assert "never read" not in marker.texts, "whoever gave up is not predicted for"


def test_a_client_that_goes_is_not_predicted_for() -> None:
    marker = Marker()
    marker.gate.clear()
    with served(marker) as server, ThreadPoolExecutor(1) as pool:
        first = pool.submit(server.predict, "first")
        assert marker.began.wait(20)
        for text in ("gone", "gone too"):
            with server.open() as connection:
                connection.sendall(request({"texts": [text]}))
                until(lambda: server.app.state.batcher.waiting == 1)
            until(lambda: server.app.state.batcher.waiting == 0)
        with server.open() as connection:
            connection.sendall(request({"texts": "half"})[:-3])
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")  # a reset
        marker.gate.set()
        assert first.result().status_code == 200
        assert server.lives()
        assert marker.texts == ["first", "still there?"]
        assert 'textxfer_requests_total{path="/predict",status="499"} 3.0' in server.client.get("/metrics").text


def test_a_client_that_does_not_take_its_answer_is_not_waited_for() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"more than the line holds"})

    came = iter([{"type": "http.request", "body": b"{}"}])

    async def receive() -> Any:
        return next(came, None) or await asyncio.Event().wait()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async def ask() -> None:
        async with asyncio.timeout(20):
            await guard({"type": "http", "path": "/predict", "headers": []}, receive, send)

    guard = Guard(app, Limits(read_seconds=0.05, answer_seconds=0.05), None, Metrics(lambda: 0))
    run_async(ask())
    assert guard._in_progress == 0


def test_a_hundred_clients_come_and_go() -> None:
    marker = Marker()
    marker.seconds = 0.01
    with served(marker) as server:
        for number in range(100):
            with server.open() as connection:
                connection.sendall(request({"texts": f"{number}"})[: None if number % 3 else -number % 40 or None])
        until(lambda: not server.server.server_state.tasks)
        assert server.lives()
