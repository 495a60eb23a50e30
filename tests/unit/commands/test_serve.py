"""`textxfer serve`: how it starts, what it says, how it stops."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

httpx = pytest.importorskip("httpx")
pytest.importorskip("fastapi", reason="the extra `serve` is not installed")

ROOT = Path(__file__).parents[3]
Shell = Callable[..., tuple[int, str, str]]


@contextlib.contextmanager
def serving(*arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Runs the command in a process of its own; gives it, and the address that it tells."""
    command = [sys.executable, "-m", "textxfer", "serve", *arguments, "--port", "0"]
    env = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            found = re.search(r"http://\S+", line)
            assert found, line + process.stderr.read()
            yield process, found[0]
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_answers_what_it_accepted_and_stops(number: int, trained: Any) -> None:
    with serving(str(trained("bert")), "--batch-texts", "4", "--device", "cpu") as (process, url):
        assert url.startswith("http://127.0.0.1:")
        texts = [f"the film number {number} was rude" for number in range(256)]
        answers: list[Any] = []

        def ask() -> None:
            answers.append(httpx.post(f"{url}/predict", json={"texts": texts}, timeout=30))

        asking = [threading.Thread(target=ask) for _ in range(3)]
        for thread in asking:
            thread.start()
        while httpx.get(f"{url}/health").json()["waiting"] < 256:
            pass
        process.send_signal(number)
        for thread in asking:
            thread.join(30)
        assert [answer.status_code for answer in answers] == [200] * 3
        assert {len(answer.json()["predictions"]) for answer in answers} == {256}
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out) == (0, "")
        assert re.fullmatch(r"stopped; \d+ requests answered\n", err)


def test_flags_and_token_are_used(trained: Any) -> None:
    flags = ["--max-body", "200", "--max-texts", "2", "--max-characters", "9", "--max-waiting", "2", "--timeout", "9"]
    flags += ["--max-waiting-bytes", "400"]
    run = str(trained("bert") / "model")
    more = ["--read-timeout", "0.3", "--batch-tokens", "64", "--precision", "fp32"]
    with serving(run, *flags, *more, TEXTXFER_SERVE_TOKEN="abc") as (process, url):
        client = httpx.Client(base_url=url, headers={"Authorization": "Bearer abc"})
        assert httpx.post(f"{url}/predict", json={"texts": "a"}).status_code == 401
        assert client.post("/predict", json={"texts": ["a", "b"]}).status_code == 200
        assert client.post("/predict", json={"texts": ["a", "b", "c"]}).status_code == 422
        assert client.post("/predict", json={"texts": "a longer text"}).status_code == 422
        assert client.post("/predict", json={"texts": "a" * 300}).status_code == 413
        assert "sentiment" in client.get("/").text, "the page has the run's name"
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=10) as connection:
            connection.sendall(b"POST /pre")
            assert connection.recv(10) == b""
        client.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_a_port_in_use(shell: Shell, trained: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, out, err = shell("serve", str(trained("bert")), "--port", str(port))
    said = f"--port {port}: cannot be used on 127.0.0.1: Address already in use; choose another, or 0 for a free one\n"
    assert (code, out, err) == (2, "", said)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none"], "none: is no folder here"),
        ([".", "--port", "0"], "config.json"),
        ([".", "--host", "no such host"], "--host no such host: is no address of this machine: "),
        ([".", "--host", "203.0.113.9"], "--port 8000: cannot be used on 203.0.113.9: "),
        ([".", "--port", "70000"], "argument --port: invalid port from 0 to 65535 value: '70000'"),
        ([".", "--max-texts", "0"], "argument --max-texts: invalid whole number from 1 on value: '0'"),
        ([".", "--timeout", "nan"], "argument --timeout: invalid number of seconds value: 'nan'"),
        ([".", "--max-texts", "9", "--max-waiting", "8"], "--max-waiting: waiting (8) must be at least texts (9)"),
        (
            [".", "--max-waiting-bytes", "9"],
            "--max-waiting-bytes: waiting_bytes (9) must be at least body_bytes (2097152)",
        ),
        ([".", "--backend", "onnx", "--precision", "auto"], "--precision is for torch"),
    ],
)
def test_mistakes_are_one_sentence(arguments: list[str], message: str, shell: Shell) -> None:
    code, out, err = shell("serve", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    if not err.startswith("usage:"):
        assert len(err.splitlines()) == 1


def test_a_device_that_is_not_there(shell: Shell, trained: Any) -> None:
    code, out, err = shell("serve", str(trained("bert")), "--port", "0", "--device", "foo")
    assert (code, out, err.startswith("device foo: cannot be used here: ")) == (2, "", True)


@pytest.mark.parametrize("token", ["", "two words", "tökén", "line\nbreak"])
def test_a_token_that_cannot_be_sent(token: str, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTXFER_SERVE_TOKEN", token)
    code, _, err = shell("serve", "none")
    assert code == 2
    assert err.startswith("TEXTXFER_SERVE_TOKEN: is empty, or has characters that no header may have")
    assert not token or token not in err


@pytest.mark.parametrize("package", ["fastapi", "uvicorn", "prometheus_client"])
def test_a_missing_extra(package: str, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == package else there(name, *more)
    )
    said = f"serve: {package} is not installed; pip install 'textxfer[serve]'\n"
    assert shell("serve", "none") == (2, "", said)


def test_every_address_is_warned_of(trained: Any) -> None:
    with serving(str(trained("bert")), "--host", "0.0.0.0") as (process, _):
        assert process.stderr is not None
        assert process.stderr.readline().startswith("anyone who reaches this address may use the model; a token in")


def test_what_the_answers_are_is_in_the_description(trained: Any) -> None:
    with serving(str(trained("bert", "question_answering"))) as (_, url):
        described = json.loads(httpx.get(f"{url}/openapi.json").text)
        assert described["info"]["title"] == "textxfer: question_answering"
        assert "QuestionsRequest" in described["components"]["schemas"]
