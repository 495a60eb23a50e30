"""What a server tells Prometheus of itself."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE

CLIENT_GONE = 499
"""Counted as the status of a request whose client did not wait for the answer."""
PATHS = ("/", "/predict", "/health", "/ready", "/metrics", "/openapi.json")
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counts of one server.

    Args:
        waiting: Gives the texts that wait for the model.
    """

    content_type = CONTENT_TYPE

    def __init__(self, waiting: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter("textxfer_requests", "Requests.", ("path", "status"), registry=self._registry)
        self._seconds = Histogram(
            "textxfer_request_seconds",
            "From a request's head to its answer.",
            ("path",),
            buckets=SECONDS,
            registry=self._registry,
        )
        self._texts = Counter("textxfer_texts", "Texts or questions predicted.", registry=self._registry)
        self._rows = Histogram(
            "textxfer_batch_texts", "Texts of a call of the model.", buckets=ROWS, registry=self._registry
        )
        self._model = Histogram(
            "textxfer_model_seconds", "Of a call of the model.", buckets=SECONDS, registry=self._registry
        )
        gauge = Gauge("textxfer_waiting_texts", "Texts that wait for the model.", registry=self._registry)
        gauge.set_function(waiting)
        self.answered = 0

    def request(self, path: str, status: int, seconds: float) -> None:
        """Counts a request; paths that there are not are counted as one."""
        known = path if path in PATHS else "other"
        self._requests.labels(known, str(status)).inc()
        self._seconds.labels(known).observe(seconds)
        self.answered += status != CLIENT_GONE

    def batch(self, rows: int, seconds: float) -> None:
        """Counts a call of the model."""
        self._texts.inc(rows)
        self._rows.observe(rows)
        self._model.observe(seconds)

    def text(self) -> bytes:
        """Gives all of them in Prometheus' text format."""
        return generate_latest(self._registry)
