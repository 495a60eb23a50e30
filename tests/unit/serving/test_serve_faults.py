"""Mistakes of the model, and requests that nobody thought of: each gets its documented answer."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")

from tests.unit.serving.http import Marker, served, told, until
from textxfer.serving._limits import Limits


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
