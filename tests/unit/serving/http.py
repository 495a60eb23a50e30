"""Servers for tests: on a free port, in a thread, with a model of any speed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx

from textxfer.serving._limits import Limits
from textxfer.serving.app import create_app
from textxfer.serving.question_answerer import QuestionAnswerer
from textxfer.serving.server import address, listen, make_server
from textxfer.serving.text_classifier import TextClassifier


class Marker(TextClassifier):
    """Gives "long" or "short" for each text; waits where it is told to, and notes what it is called with."""

    def __init__(self) -> None:
        self.labels = ("long", "short")
        self.pairs = None
        self.gate = threading.Event()
        self.gate.set()
        self.calls: list[tuple[list[str], dict[str, Any]]] = []
        self.began = threading.Event()
        self.seconds = 0.0

    def __call__(self, rows: Any, top_k: Any = 1, **options: Any) -> Any:  # type: ignore[override]
        texts = [row["text"] for row in rows]
        if not texts:
            return []
        self.calls.append((texts, {"top_k": top_k, **options}))
        self.began.set()
        time.sleep(self.seconds)
        assert self.gate.wait(30)
        if any("poison" in text for text in texts):
            raise RuntimeError("the model choked")
        found = [{"label": "long" if len(text) > 9 else "short", "score": 1.0} for text in texts]
        return found if top_k == 1 else [[each] for each in found]

    @property
    def texts(self) -> list[str]:
        """All texts that it was called with."""
        return [text for texts, _ in self.calls for text in texts]


@dataclass
class Served:
    """A server that runs.

    Attributes:
        url: Its address.
        port: The same.
        app: What it runs.
        server: Uvicorn's.
        thread: That it runs in.
    """

    url: str
    port: int
    app: Any
    server: Any
    thread: threading.Thread
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.url, timeout=30)

    def predict(self, texts: Any, **more: Any) -> httpx.Response:
        """Posts texts."""
        return self.client.post("/predict", json={"texts": texts, **more})

    def post(self, body: bytes | str, content_type: str | None = "application/json") -> httpx.Response:
        """Posts a body as it stands."""
        headers = {} if content_type is None else {"content-type": content_type}
        return self.client.post("/predict", content=body, headers=headers)

    def open(self) -> socket.socket:
        """Opens a connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def lives(self) -> bool:
        """Says whether it still answers, and has nothing left over."""
        answer = self.predict("still there?")
        return answer.status_code == 200 and self.client.get("/health").json() == {"status": "ok", "waiting": 0}


@contextlib.contextmanager
def served(pipe: TextClassifier | QuestionAnswerer, limits: Limits | None = None, **options: Any) -> Iterator[Served]:
    """Serves a pipeline on a free port."""
    limits = limits or Limits()
    app = create_app(pipe, limits=limits, **options)
    sock = listen("127.0.0.1", 0)
    server = make_server(app, limits)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    running = Served(address(sock), sock.getsockname()[1], app, server, thread)
    try:
        until(lambda: server.started)
        yield running
    finally:
        running.client.close()
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


def told(answer: httpx.Response) -> tuple[int, list[str]]:
    """Gives the status of an answer and what is wrong."""
    assert answer.headers["content-type"] == "application/json"
    return answer.status_code, answer.json()["errors"]


def until(true: Callable[[], Any], seconds: float = 20) -> None:
    """Waits until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.005)


def run_async(coroutine: Any) -> Any:
    """Runs a coroutine in a thread of its own: the browser of other tests leaves a loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def request(body: Any, *headers: str) -> bytes:
    """Gives the bytes of a request of texts."""
    content = json.dumps(body).encode()
    lines = ["POST /predict HTTP/1.1", "Host: x", "Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + content


def answer_of(connection: socket.socket) -> bytes:
    """Reads a connection to its end; a reset is an end."""
    parts = []
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)
