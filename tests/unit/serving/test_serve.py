"""The server on small models: what it gives is what the pipeline gives, and what it says of itself."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

import textxfer
from tests.trained import questions

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")

from tests.unit.serving.conftest import TEXTS, close
from tests.unit.serving.http import Marker, Served, request, run_async, served, told, until
from textxfer.serving._limits import Limits

PAIRS = [{name: row[name] for name in ("question", "context")} for row in questions()]


@pytest.fixture(scope="module")
def texts_server(trained: Any) -> Iterator[tuple[Served, Any]]:
    pipe = textxfer.pipeline(trained("bert"))
    with served(pipe, name="reviews") as running:
        yield running, pipe


@pytest.fixture(scope="module")
def answers_server(trained: Any) -> Iterator[tuple[Served, Any]]:
    pipe = textxfer.pipeline(trained("bert", "question_answering"))
    with served(pipe) as running:
        yield running, pipe


# --- predictions


@pytest.mark.parametrize("options", [{}, {"top_k": None}, {"top_k": 2}, {"top_k": "set"}, {"min_confidence": 0.999}])
def test_labels_are_those_of_the_pipeline(options: dict[str, Any], texts_server: tuple[Served, Any]) -> None:
    running, pipe = texts_server
    answer = running.predict(TEXTS, **options)
    assert answer.status_code == 200
    expected = [each if isinstance(each, list) else [each] for each in pipe(TEXTS, **options)]
    assert close([each["labels"] for each in answer.json()["predictions"]], expected)


def test_one_text_is_a_list_of_one(texts_server: tuple[Served, Any]) -> None:
    running, pipe = texts_server
    [one] = running.predict("the film was a delight").json()["predictions"]
    assert close(one["labels"], pipe("the film was a delight"))
    [pair] = running.predict({"text": "the film", "text_pair": "a delight"}).json()["predictions"]
    assert close(pair["labels"], pipe({"text": "the film", "text_pair": "a delight"}))
    pairs = [{"text": "the film", "text_pair": text} for text in TEXTS]
    found = running.predict(pairs, top_k=None).json()["predictions"]
    assert close([each["labels"] for each in found], pipe(pairs, top_k=None))


def test_a_model_of_pairs_takes_pairs_and_says_so(tags: Any) -> None:
    pair = {"text": "the film", "text_pair": "a delight"}
    with served(tags) as running:
        for texts in (pair, [pair, pair | {"text_pair": ""}]):
            found = running.predict(texts, top_k=None).json()["predictions"]
            expected = tags(texts if isinstance(texts, list) else [texts], top_k=None)
            assert close([each["labels"] for each in found], expected)
        form = "must be an object with text and text_pair"
        why = "for the model labels pairs of texts"
        for texts, where in (
            ({"text": "x"}, "texts"),
            ([pair, {"text": "x", "text_pair": None}], "texts[1]"),
            (
                [pair, "x"],
                "texts[1]",
            ),
        ):
            assert told(running.predict(texts)) == (422, [f"{where}: {form}, {why}"])
        assert told(running.predict("x")) == (422, [f"texts: {form}, or a list of these, {why}"])
        assert told(running.predict({"text_pair": "x"})) == (422, ["texts.text: is missing"])
        api = running.client.get("/openapi.json").json()
        assert api["info"]["summary"] == "Labels for pairs of texts."
        schemas = api["components"]["schemas"]
        assert schemas["TextPair"]["required"] == ["text", "text_pair"]
        [example] = schemas["TextsRequest"]["examples"]
        assert running.client.post("/predict", json=example).status_code == 200
        page = running.client.get("/").text
        assert "First text" in page
        assert "Add a second text" not in page
        assert page.count('id="text_pair"') == 1


def test_answers_are_those_of_the_pipeline(answers_server: tuple[Served, Any]) -> None:
    running, pipe = answers_server
    found = running.client.post("/predict", json={"questions": PAIRS}).json()["predictions"]
    assert close(found, pipe(PAIRS))
    [one] = running.client.post("/predict", json={"questions": PAIRS[0]}).json()["predictions"]
    assert close([one], [pipe(PAIRS[0])])


def test_many_clients_get_their_own_answers(texts_server: tuple[Served, Any]) -> None:
    running, pipe = texts_server
    texts = [f"{TEXTS[number % len(TEXTS)]} the room number {number}" for number in range(300)]
    expected = pipe(texts)

    def ask(part: list[str]) -> list[Any]:
        with httpx.Client(base_url=running.url, timeout=60) as client:
            answers = [client.post("/predict", json={"texts": text}) for text in part]
        assert {answer.status_code for answer in answers} == {200}
        return [answer.json()["predictions"][0]["labels"][0] for answer in answers]

    with ThreadPoolExecutor(16) as pool:
        parts = list(pool.map(ask, (texts[start::16] for start in range(16))))
    for start, part in enumerate(parts):
        assert close(part, expected[start::16])


def test_concurrent_requests_share_a_call_of_the_model() -> None:
    marker = Marker()
    marker.gate.clear()
    with served(marker) as running, ThreadPoolExecutor(9) as pool:
        first = pool.submit(running.predict, "first")
        assert marker.began.wait(20)
        others = [pool.submit(running.predict, f"{number}", top_k=1) for number in range(8)]
        until(lambda: running.app.state.batcher.waiting == 8)
        marker.gate.set()
        assert {each.result().status_code for each in (first, *others)} == {200}
        assert sorted(map(len, (texts for texts, _ in marker.calls))) == [1, 8]


def test_thirty_two_clients_lose_nothing_and_keep_the_model_busy() -> None:
    class Steady(Marker):
        """Takes as long for each text, whoever else is at work."""

        def __call__(self, rows: Any, top_k: Any = 1, **options: Any) -> Any:  # type: ignore[override]
            found = super().__call__(rows, top_k, **options)
            time.sleep(0.004 * len(found))
            return found

    texts = [f"{number} " * (number % 9) for number in range(600)]
    left = iter(enumerate(texts))
    answers: dict[int, Any] = {}

    async def client(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for place, text in left:
            writer.write(request({"texts": text}))
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            content = await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split()[0]))
            [answers[place]] = json.loads(content)["predictions"]
        writer.close()

    async def load(port: int) -> None:
        await asyncio.gather(*(client(port) for _ in range(32)))

    steady = Steady()
    with served(steady) as running:
        began = time.perf_counter()
        run_async(load(running.port))
        seconds = time.perf_counter() - began
    assert [answers[place] for place in range(600)] == [
        {"labels": [{"label": "long" if len(text) > 9 else "short", "score": 1.0}]} for text in texts
    ]
    assert len(steady.texts) == 600
    assert len(steady.calls) < 200, "requests that wait share a call"
    assert 0.004 * 600 / seconds > 0.6, f"the model works for {0.004 * 600:.1f} of {seconds:.1f} s"


# --- what it says of itself


def test_health_and_readiness() -> None:
    marker = Marker()
    with served(marker, Limits(texts=2, waiting=2)) as running, ThreadPoolExecutor(2) as pool:
        assert running.client.get("/health").json() == {"status": "ok", "waiting": 0}
        assert running.client.get("/ready").json() == {"status": "ready", "waiting": 0}
        marker.gate.clear()
        first = pool.submit(running.predict, "first")
        assert marker.began.wait(20)
        second = pool.submit(running.predict, ["a", "b"])
        until(lambda: running.app.state.batcher.waiting == 2)
        answer = running.client.get("/ready")
        assert (answer.status_code, answer.json()) == (503, {"status": "full", "waiting": 2})
        assert running.client.get("/health").status_code == 200
        marker.gate.set()
        assert [first.result().status_code, second.result().status_code] == [200, 200]


def test_metrics_are_what_prometheus_reads() -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    with served(Marker()) as running:
        running.predict(["a", "b", "c"])
        running.predict([])
        running.client.get("/no/such/place")
        answer = running.client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        families = list(parser.text_string_to_metric_families(answer.text))
        samples = {(one.name, *sorted(one.labels.values())): one.value for family in families for one in family.samples}
        assert samples["textxfer_requests_total", "/predict", "200"] == 1
        assert samples["textxfer_requests_total", "/predict", "422"] == 1
        assert samples["textxfer_requests_total", "404", "other"] == 1
        assert samples[("textxfer_texts_total",)] == 3
        assert samples[("textxfer_batch_texts_count",)] == 1
        assert samples[("textxfer_waiting_texts",)] == 0
        assert samples["textxfer_request_seconds_count", "/predict"] == 2


def test_the_description_has_the_schemas_of_this_model(
    texts_server: tuple[Served, Any], answers_server: tuple[Served, Any]
) -> None:
    for (running, _), field in ((texts_server, "texts"), (answers_server, "questions")):
        described = running.client.get("/openapi.json").json()
        post = described["paths"]["/predict"]["post"]
        schemas = described["components"]["schemas"]
        body = schemas[post["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]]
        assert body["additionalProperties"] is False
        assert field in body["required"]
        assert set(post["responses"]) == {"200", "400", "408", "413", "415", "422", "500", "503", "504"}
        for status, answer in post["responses"].items():
            reference = answer["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
            assert (reference == "Problem") == (status != "200")
        assert set(described["paths"]) == {"/predict", "/health", "/ready", "/metrics"}


def test_limits_are_in_the_description_and_are_kept() -> None:
    with served(Marker(), Limits(texts=3, characters=5, waiting=3)) as running:
        schemas = running.client.get("/openapi.json").json()["components"]["schemas"]
        kinds = schemas["TextsRequest"]["properties"]["texts"]["oneOf"]
        [many] = [kind for kind in kinds if kind.get("type") == "array"]
        assert many["maxItems"] == 3
        assert running.predict(["12345"] * 3).status_code == 200
        answer = running.predict(["a"] * 4)
        assert (answer.status_code, answer.json()["errors"]) == (
            422,
            ["texts: has more than 3 items; send fewer at a time"],
        )
        answer = running.predict(["a", "123456"])
        assert (answer.status_code, answer.json()["errors"]) == (422, ["texts[1]: has more than 5 characters"])


# --- token


def test_a_token_is_asked_for() -> None:
    with served(Marker(), token="open-sesame") as running:
        right = {"Authorization": "Bearer open-sesame"}
        for headers in ({}, {"Authorization": "Bearer open-sesam"}, {"Authorization": "open-sesame"}):
            for method, path in (("POST", "/predict"), ("GET", "/metrics"), ("GET", "/no/such/place")):
                answer = running.client.request(method, path, headers=headers, json={"texts": "a"})
                assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
                assert answer.json() == {
                    "errors": ["this server wants its token: send the header `Authorization: Bearer TOKEN`"]
                }
        assert running.client.post("/predict", headers=right, json={"texts": "a"}).status_code == 200
        for scheme in ("Bearer", "bearer"):  # its letters may be of any case
            headers = {"Authorization": f"{scheme} open-sesame"}
            assert running.client.get("/metrics", headers=headers).status_code == 200
        for path in ("/", "/health", "/ready", "/openapi.json"):
            assert running.client.get(path).status_code == 200
        described = running.client.get("/openapi.json").json()
        assert described["paths"]["/predict"]["post"]["security"] == [{"HTTPBearer": []}]
        assert "401" in described["paths"]["/predict"]["post"]["responses"]
        assert "open-sesame" not in running.client.get("/").text + str(described)


# --- the end


def test_what_was_accepted_is_answered_before_the_end() -> None:
    marker = Marker()
    marker.gate.clear()
    with served(marker) as running, ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(running.predict, ["first", "second"]) for _ in range(3)]
        half = request({"texts": "half sent"})
        connection = running.open()
        connection.sendall(half[:-5])
        until(lambda: running.app.state.batcher.waiting + len(marker.texts) == 6)
        running.server.should_exit = True
        until(lambda: not _accepts(running))
        connection.sendall(half[-5:])
        threading.Timer(0.2, marker.gate.set).start()
        assert [each.result().status_code for each in asked] == [200] * 3
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
        running.thread.join(20)
        assert not running.thread.is_alive()
        assert len(marker.texts) == 7
        connection.close()


def _accepts(running: Served) -> bool:
    try:
        running.open().close()
    except ConnectionError:
        return False
    return True
