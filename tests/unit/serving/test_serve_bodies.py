"""Bad bodies: each gets its documented answer, and the server lives on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")

from tests.unit.serving.http import Marker, Served, served, told


@pytest.fixture(scope="module")
def running() -> Iterator[Served]:
    with served(Marker()) as server:
        yield server


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
