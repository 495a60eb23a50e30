"""Too much at a time: it is refused in time, and the server lives on."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")

from tests.unit.serving.http import Marker, Served, request, served, told, until
from textxfer.serving._guard import Guard
from textxfer.serving._limits import Limits

FIFTY_MB = 50_000_000


@pytest.fixture(scope="module")
def running() -> Iterator[Served]:
    with served(Marker()) as server:
        yield server


@pytest.mark.parametrize("chunked", [False, True])
def test_fifty_megabytes_are_cut_off(chunked: bool, running: Served) -> None:
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(FIFTY_MB // 100_000):
            sent += 100_000
            yield b"a" * 100_000

    headers = {"content-type": "application/json"} | ({} if chunked else {"content-length": str(FIFTY_MB)})
    answer = running.client.post("/predict", content=pieces(), headers=headers)
    assert told(answer) == (413, ["the body is larger than 2,097,152 bytes; send fewer texts at a time"])
    assert answer.headers["connection"] == "close"
    assert running.lives()


def test_a_body_that_would_be_too_large_is_not_even_asked_for(running: Served) -> None:
    with running.open() as connection:
        head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {FIFTY_MB}\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_endless_bodies_end(running: Served) -> None:
    with running.open() as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = b"10000\r\n" + b"a" * 65536 + b"\r\n"
        sent, end = 0, time.monotonic() + 20
        try:
            while time.monotonic() < end:
                connection.sendall(piece)
                sent += len(piece)
        except ConnectionError:
            pass
        assert time.monotonic() < end, "it was never cut off"
    assert running.lives()


def test_a_full_queue_is_503_with_a_time() -> None:
    marker = Marker()
    marker.gate.clear()
    with served(marker, Limits(texts=2, waiting=3)) as server, ThreadPoolExecutor(3) as pool:
        first = pool.submit(server.predict, "first")
        assert marker.began.wait(20)
        second = pool.submit(server.predict, ["a", "b"])
        until(lambda: server.app.state.batcher.waiting == 2)
        answer = server.predict(["c", "d"])
        status, [line] = told(answer)
        assert status == 503
        assert re.fullmatch(r"busy; try again in \d+ s", line)
        assert int(answer.headers["retry-after"]) >= 1
        marker.gate.set()
        assert [first.result().status_code, second.result().status_code] == [200, 200]
        assert server.lives()


def test_too_many_requests_at_a_time_are_503() -> None:
    with served(Marker(), Limits(requests=2)) as server:
        held = [server.open() for _ in range(2)]
        for connection in held:
            connection.sendall(request({"texts": "a"})[:-1])
        until(lambda: len(server.server.server_state.tasks) == 2)
        answer = server.predict("one more")
        assert told(answer) == (503, ["busy: too many requests at a time; try again"])
        assert answer.headers["retry-after"] == "1"
        for connection in held:
            connection.close()
        until(lambda: not server.server.server_state.tasks)
        assert server.lives()


def guard_of(server: Served) -> Guard:
    layer = server.app.middleware_stack
    while not isinstance(layer, Guard):
        layer = layer.app
    return layer


def test_large_bodies_are_few_at_a_time() -> None:
    """What many requests hold together is bounded, while they are read and while they wait."""
    marker = Marker()
    marker.gate.clear()
    texts = ["long " * 9000] * 4
    limits = Limits(body_bytes=200_000, waiting_bytes=500_000)
    with served(marker, limits) as server, ThreadPoolExecutor(3) as pool:
        tasks = server.server.server_state.tasks
        answers = [pool.submit(server.predict, texts)]
        assert marker.began.wait(20)
        with server.open() as half:
            half.sendall(request({"texts": texts})[:-1])
            until(lambda: guard_of(server)._bytes > 350_000)
            refused = server.predict(texts)
            assert told(refused) == (503, ["busy: the requests in progress are too large together; try again"])
            assert refused.headers["retry-after"] == "1"
            answers.append(pool.submit(server.predict, "small"))
            until(lambda: server.app.state.batcher.waiting == 4)  # a batch takes one long text
        until(lambda: len(tasks) == 2)
        answers.append(pool.submit(server.predict, texts))  # there is room for what the client that went had held
        until(lambda: server.app.state.batcher.waiting == 4 + len(texts))
        marker.gate.set()
        assert [answer.result().status_code for answer in answers] == [200] * 3
        assert server.lives()


@pytest.mark.parametrize(("most", "one"), [("waiting", "texts"), ("waiting_bytes", "body_bytes")])
def test_one_request_must_fit_in(most: str, one: str) -> None:
    with pytest.raises(ValueError, match=rf"{most} \(5\) must be at least {one} \(6\): one request must fit in"):
        Limits(**{most: 5, one: 6})
