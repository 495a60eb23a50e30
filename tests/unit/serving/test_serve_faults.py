"""Bad requests and bad clients: each gets its documented answer, and the server lives on."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")

from tests.unit.serving.http import Marker, Served, answer_of, request, run_async, served, until
from textxfer.serving._guard import Guard
from textxfer.serving._limits import Limits
from textxfer.serving._metrics import Metrics

QUICK = Limits(read_seconds=0.5, answer_seconds=0.6)


@pytest.fixture(scope="module")
def running() -> Iterator[Served]:
    with served(Marker()) as server:
        yield server


def told(answer: httpx.Response) -> tuple[int, list[str]]:
    """Gives the status and what is wrong."""
    assert answer.headers["content-type"] == "application/json"
    return answer.status_code, answer.json()["errors"]


# --- bodies

FORM = "must be a text, an object with text and text_pair, or a list of these"


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ("{", 400, "the body is no JSON: Expecting property name enclosed in double quotes at character 1"),
        ("", 422, "the body: is missing"),
        ("[[" * 100_000, 400, "the body is no JSON in UTF-8"),
        (b'{"texts": "\xff"}', 400, "the body is no JSON in UTF-8"),
        ('{"texts": "a", "coverage": ' + "9" * 10_000 + "}", 400, "the body is no JSON in UTF-8"),
        ('"a text"', 422, "the body: must be an object"),
        ("[]", 422, "the body: must be an object"),
        ("{}", 422, "texts: is missing"),
        ('{"texts": []}', 422, "texts: is empty"),
        ('{"texts": 5}', 422, f"texts: {FORM}"),
        ('{"texts": null}', 422, f"texts: {FORM}"),
        ('{"texts": ["a", 5]}', 422, "texts[1]: must be a text, or an object with text and text_pair"),
        ('{"texts": [["a"]]}', 422, "texts[0]: must be a text, or an object with text and text_pair"),
        ('{"texts": {"text": 5}}', 422, "texts.text: must be a text"),
        ('{"texts": [{"txt": "a"}]}', 422, "texts[0].text: is missing\ntexts[0].txt: there is no such field"),
        ('{"texts": ["a", {"text": "a", "text_pair": "b"}]}', 422, "texts: some have a text_pair and some have none;"),
        ('{"text": "a"}', 422, "texts: is missing\ntext: there is no such field (there are: texts, top_k, min_conf"),
        ('{"texts": "\\ud800"}', 422, "texts: is not valid Unicode; decode it anew"),
        ('{"texts": "a", "\\ud800": 1}', 422, "the body: is not valid Unicode; decode it anew"),
        ('{"texts": "a", "top_k": 0}', 422, 'top_k: must be a whole number from 1 on, null for all labels, or "set"'),
        ('{"texts": "a", "top_k": "all"}', 422, "top_k: must be a whole number from 1 on, null for all labels, or"),
        ('{"texts": "a", "top_k": 1.5}', 422, "top_k: must be a whole number from 1 on, null for all labels, or"),
        ('{"texts": "a", "top_k": true}', 422, "top_k: must be a whole number from 1 on, null for all labels, or"),
        (
            '{"texts": "a", "\x00<b>": 1}'.replace("\x00", "\\u0000"),
            422,
            "\x00<b>: there is no such field (there are: ",
        ),
        ('{"texts": "a", "min_confidence": 2}', 422, "min_confidence: must be 1.0 or less"),
        ('{"texts": "a", "min_confidence": NaN}', 422, "min_confidence: must be a number"),
        ('{"texts": "a", "coverage": 1}', 422, "coverage: must be below 1.0"),
        ('{"texts": "a", "coverage": "0.9"}', 422, "coverage: must be a number"),
    ],
)
def test_bodies_that_do_not_fit(body: str | bytes, status: int, message: str, running: Served) -> None:
    found, lines = told(running.post(body))
    assert found == status
    assert "\n".join(lines).startswith(message)
    assert running.lives()


def test_all_mistakes_at_once_but_not_without_end(running: Served) -> None:
    status, lines = told(running.predict([5] * 100, top_k=0))
    assert status == 422
    assert len(lines) == 11
    assert lines[-1] == "... and 91 more like this"


def test_ten_thousand_texts_and_a_text_of_a_megabyte(running: Served) -> None:
    assert told(running.predict(["a"] * 10_000)) == (422, ["texts: has more than 256 items; send fewer at a time"])
    assert told(running.predict("a" * 1_000_000)) == (422, ["texts: has more than 50,000 characters"])
    assert running.lives()


def test_odd_characters_are_text(running: Served) -> None:
    texts = ["nul \x00 byte", "", " ", "\u202eturned\u2067", "😀" * 10, "\ufeff", "</script>"]
    answer = running.predict(texts)
    assert answer.status_code == 200
    assert len(answer.json()["predictions"]) == len(texts)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None])
def test_other_kinds_of_content(kind: str | None, running: Served) -> None:
    status, [line] = told(running.post('{"texts": "a"}', kind))
    assert status == 415
    assert line == f"the body must be application/json, not {kind or 'without a content-type'}"
    assert running.post('{"texts": "a"}', "application/json; charset=utf-8").status_code == 200
    assert running.post('{"texts": "a", "top_k": 1.0}').status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/nothing", 404, "there is no /nothing; POST to /predict"),
        ("GET", "/../../etc/passwd", 404, "there is no /"),
        ("GET", "/docs", 404, "there is no /docs"),
        ("POST", "/predict/", 404, "there is no /predict/"),
        ("GET", "/predict", 405, "/predict does not take GET"),
        ("DELETE", "/health", 405, "/health does not take DELETE"),
        ("TRACE", "/predict", 405, "/predict does not take TRACE"),
    ],
)
def test_paths_and_methods_that_there_are_not(
    method: str, path: str, status: int, message: str, running: Served
) -> None:
    answer = running.client.request(method, path)
    found, [line] = told(answer)
    assert (found, line.startswith(message)) == (status, True)
    assert ("allow" in answer.headers) == (status == 405)


# --- too much

FIFTY_MB = 50_000_000


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


# --- too slow


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


# --- gone


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


# --- the model


def test_a_mistake_of_the_model_is_500_for_its_own_request_only(caplog: pytest.LogCaptureFixture) -> None:
    marker = Marker()
    marker.gate.clear()
    with served(marker) as server, ThreadPoolExecutor(4) as pool:
        first = pool.submit(server.predict, "first")
        assert marker.began.wait(20)
        asked = [pool.submit(server.predict, text) for text in ("good", "poison", "fine")]
        until(lambda: server.app.state.batcher.waiting == 3)
        marker.gate.set()
        assert first.result().status_code == 200
        good, bad, fine = (each.result() for each in asked)
        assert [good.status_code, fine.status_code] == [200, 200]
        assert told(bad) == (500, ["a mistake of the server's own; its log says more"])
        until(lambda: "the model choked" in caplog.text)
        assert 'textxfer_requests_total{path="/predict",status="500"} 1.0' in server.client.get("/metrics").text
        assert server.lives()


def test_what_the_model_cannot_do_is_422(trained: Any) -> None:
    import textxfer

    with served(textxfer.pipeline(trained("bert"))) as server:
        status, [line] = told(server.predict("a", coverage=0.9))
        assert status == 422
        assert line.startswith("coverage: this model has nothing to make label sets from")
        for options in ({"top_k": 2, "min_confidence": 0.5}, {"coverage": 0.9, "top_k": 2}):
            assert told(server.predict("a", **options))[0] == 422
        assert server.lives()


def test_it_is_no_matter_that_the_model_is_removed(trained: Any, tmp_path: Any) -> None:
    import shutil

    import textxfer

    folder = shutil.copytree(trained("bert") / "model", tmp_path / "model")
    with served(textxfer.pipeline(folder)) as server:
        before = server.predict(["rude", "a delight"]).json()
        shutil.rmtree(folder)
        assert server.predict(["rude", "a delight"]).json() == before
        assert server.lives()


# --- hypothesis writes the requests


@pytest.mark.slow
@pytest.mark.parametrize("task", ["sentiment", "question_answering"])
def test_the_description_holds_for_any_request(task: str, trained: Any) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    import textxfer
    from textxfer.serving.app import create_app

    app = create_app(textxfer.pipeline(trained("bert", task)), limits=Limits(texts=4, characters=200))
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    seen = set()
    for found in schema.get_all_operations():
        operation = found.ok()
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            if mode == schemathesis.GenerationMode.NEGATIVE and not operation.body:
                continue

            @settings(
                max_examples=60,
                deadline=None,
                derandomize=True,
                database=None,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.explicit, Phase.generate],
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def check(case: Any) -> None:
                answer = case.call_and_validate(excluded_checks=[positive_data_acceptance])
                seen.add((case.path, answer.status_code))
                if case.meta.generation.mode == schemathesis.GenerationMode.POSITIVE and answer.status_code != 200:
                    assert answer.status_code == 422
                    [line] = answer.json()["errors"]  # what no schema can say
                    assert re.match(
                        "min_confidence goes with|coverage says|coverage: this model|texts: some have", line
                    )

            check()
    assert {path for path, _ in seen} == {"/predict", "/health", "/ready", "/metrics"}
    assert {status for path, status in seen if path == "/predict"} >= {200, 422}
    assert all(status < 500 for _, status in seen)
