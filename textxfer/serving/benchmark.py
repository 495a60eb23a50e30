"""`benchmark`: which backend is the fastest for a model on this machine, and how much it changes predictions."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textxfer.modeling.checkpoint import Checkpoint, open_checkpoint
from textxfer.modeling.device import best_device, has_fast_bf16
from textxfer.records import Predictions
from textxfer.serving._checked_on import rows_to_check
from textxfer.serving.engine import Engine, load_engine, open_engine
from textxfer.serving.export import LEAST_AGREEMENT, agreement, check_packages, export_onnx, round_weights
from textxfer.serving.onnx_backend import GRAPH
from textxfer.serving.torch_backend import TorchBackend

ROUNDS = 3
SECONDS = 30.0
"""After which no further round is begun."""
WARM_UP = 64


@dataclass(frozen=True)
class Measured:
    """One way to run a model.

    Attributes:
        name: Of the way: "torch fp32", "torch bf16", "onnx", "onnx int8".
        texts_per_second: Of the fastest round, tokenising and decoding included; questions for answers.
        agreement: Share of rows for which it predicts the same as torch in fp32.
        size: Of its weights on disk, in bytes.
    """

    name: str
    texts_per_second: float
    agreement: float
    size: int


@dataclass(frozen=True)
class Benchmark:
    """What was measured.

    Attributes:
        ways: Torch in fp32 first.
        rows: How many texts or questions.
        measured_on: What they are, with their number.
        device: Where torch ran.
        notes: What the user should know, a sentence each.
    """

    ways: tuple[Measured, ...]
    rows: int
    measured_on: str
    device: str
    notes: tuple[str, ...]

    @property
    def fastest(self) -> Measured:
        """The fastest of those that agree with torch in fp32 on 99 % of the rows."""
        fit = [way for way in self.ways if way.agreement >= LEAST_AGREEMENT]
        return max(fit, key=lambda way: way.texts_per_second)


def benchmark(
    model: str | os.PathLike[str],
    *,
    data: str | os.PathLike[str] | None = None,
    columns: Mapping[str, str] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Benchmark:
    """Measures torch in fp32 (and in bf16 where the device does it well), and ONNX Runtime with fp32 and 8-bit weights.

    Rounds take turns, so that other work on the machine falls on all alike.

    Args:
        model: A run, a model's folder or a Hub id.
        data: What to measure on; see `export_onnx`.
        columns: Its names of the task's columns, where they differ.
        tell: Called with the name of what is measured next.

    Raises:
        CheckpointError: The model is not there, has no head, or cannot be exported faithfully.
        DataError: `data` cannot be used.
        MissingExtra: A package is not installed.
    """
    check_packages()
    name = os.fspath(model)
    checkpoint = open_checkpoint(name)
    device = best_device()
    engines = {"torch fp32": load_engine(checkpoint)}
    checked = rows_to_check(name, engines["torch fp32"], Path(data) if data is not None else None, columns)
    if has_fast_bf16(device.type):
        engines["torch bf16"] = load_engine(checkpoint, precision="auto")
    sizes = dict.fromkeys(engines, _size(checkpoint, engines["torch fp32"]))
    with tempfile.TemporaryDirectory(prefix="textxfer-benchmark-") as temporary:
        if tell is not None:
            tell("export")
        plain, small = Path(temporary) / "onnx", Path(temporary) / "int8"
        export_onnx(name, plain, data=data, columns=columns)
        shutil.copytree(plain, small)
        _, note = round_weights(small, engines["torch fp32"].predict(checked.rows), checked)
        for way, folder in (("onnx", plain), ("onnx int8", small)):
            engines[way] = open_engine(str(folder), backend="onnx")
            sizes[way] = sum(path.stat().st_size for path in folder.glob(f"{GRAPH}*"))
        timed = _timed(engines, checked.rows, tell)
    notes = (*checked.notes, *([f"onnx int8: {note}"] if note is not None else []))
    count, expected = len(checked.rows), timed["torch fp32"].predictions
    ways = tuple(
        Measured(way, count / found.seconds, agreement(expected, found.predictions), sizes[way])
        for way, found in timed.items()
    )
    return Benchmark(ways, count, f"{count} {checked.what}", str(device), notes)


@dataclass(frozen=True)
class _Timed:
    """Predictions for all rows, and the seconds that they took."""

    predictions: Predictions
    seconds: float


def _timed(engines: Mapping[str, Engine], rows: list[dict[str, str]], tell: Any) -> dict[str, _Timed]:
    """Gives the fastest round of each engine."""
    for engine in engines.values():
        engine.predict(rows[:WARM_UP])
    best: dict[str, _Timed] = {}
    began = time.monotonic()
    for number in range(ROUNDS):
        for way, engine in engines.items():
            if tell is not None:
                tell(f"{way}, round {number + 1} of {ROUNDS}")
            start = time.perf_counter()
            predictions = engine.predict(rows)
            seconds = time.perf_counter() - start
            if way not in best or seconds < best[way].seconds:
                best[way] = _Timed(predictions, seconds)
        if time.monotonic() - began > SECONDS:
            break
    return best


def _size(checkpoint: Checkpoint, engine: Engine) -> int:
    """Gives the bytes of a checkpoint's weights."""
    weights = [path.stat().st_size for path in Path(checkpoint.location).glob("*.safetensors")]
    if weights:
        return sum(weights)
    assert isinstance(engine.backend, TorchBackend)
    return sum(parameter.numel() * parameter.element_size() for parameter in engine.backend.model.parameters())
