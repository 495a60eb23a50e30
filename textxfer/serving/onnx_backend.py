"""`OnnxBackend`: runs an exported model in ONNX Runtime, without torch, transformers and datasets."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from textxfer.data.batching import padded, sorted_batches
from textxfer.data.tokenizer import PlainTokenizer
from textxfer.errors import CheckpointError, MissingExtra, TextxferError
from textxfer.evaluation.conformal import Conformal
from textxfer.evaluation.forward import TOKENS_ON_CPU, Piece, in_order
from textxfer.labels import LabelSet
from textxfer.records import Batch, Encoded
from textxfer.serving._saved import not_understood, noted_conformal, noted_pairs, noted_task
from textxfer.tasks import Task

if TYPE_CHECKING:
    import numpy as np

GRAPH = "model.onnx"
TOKENIZER = "tokenizer.json"
CONFIG = "config.json"
INSIDE = "onnx"
"""The folder that `textxfer export` makes in a run or in a model's folder."""
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


@dataclass(frozen=True)
class OnnxBackend:
    """A session of ONNX Runtime; keeps the promises of `Backend`.

    Attributes:
        session: With the model.
        pad_token_id: What fills batches.
        batch_tokens: Padded tokens of a batch.
    """

    session: Any
    pad_token_id: int
    batch_tokens: int

    def reduced(self, task: Task, encoded: Encoded) -> Mapping[str, np.ndarray]:
        """Gives what the task keeps of the outputs for all examples; see `Backend.reduced`."""
        pieces = []
        for indices in sorted_batches(encoded.lengths, self.batch_tokens):
            batch = padded(encoded, indices, pad_token_id=self.pad_token_id)
            output = SimpleNamespace(**self.outputs(task, batch))
            kept: Any = task.reduce(output, batch, encoded)
            pieces.append(Piece(indices, kept, 0.0))
        return in_order(pieces, len(encoded))

    def outputs(self, task: Task, batch: Batch) -> dict[str, np.ndarray]:
        """Gives what the model says of a batch, by name."""
        import numpy as np

        inputs = batch.inputs()
        feeds = {name: inputs.get(name, np.zeros_like(batch.input_ids)) for name in self.inputs}
        return dict(zip(task.outputs, self.session.run(list(task.outputs), feeds), strict=True))

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The names of what the model takes."""
        return tuple(each.name for each in self.session.get_inputs())


@dataclass(frozen=True)
class Exported:
    """An exported model, opened.

    Attributes:
        task: That it was trained for.
        labels: In the order of their ids; None for answers.
        tokenizer: Plain.
        backend: With the model.
        conformal: What label sets at a stated coverage need; None where that was not measured.
        pairs: Whether it was trained on two texts a row; None where nothing tells.
    """

    task: Task
    labels: LabelSet | None
    tokenizer: PlainTokenizer
    backend: OnnxBackend
    conformal: Conformal | None
    pairs: bool | None


def open_exported(name: str, *, device: Any = None, batch_tokens: int | None = None) -> Exported:
    """Opens what `textxfer export` wrote.

    Args:
        name: Its folder, or the run or the folder that holds it under `onnx`.
        device: cpu or cuda. Default: cpu.
        batch_tokens: Padded tokens of a batch.

    Raises:
        CheckpointError: It is not there, or is damaged.
        MissingExtra: ONNX Runtime is not installed.
    """
    folder = exported_folder(name)
    provider = _provider(device)
    config = _config(name, folder / CONFIG)
    settings, names = config["textxfer"], config["id2label"]
    task = noted_task(name, settings, len(names))
    labels = None if task.predicts == "answers" else LabelSet(tuple(names[number] for number in sorted(names, key=int)))
    tokenizer = _tokenizer(name, folder / TOKENIZER, settings)
    session = _session(name, folder / GRAPH, provider, device)
    _check_outputs(name, session, task, labels)
    backend = OnnxBackend(session, tokenizer.pad_token_id, batch_tokens or TOKENS_ON_CPU)
    return Exported(task, labels, tokenizer, backend, noted_conformal(name, settings), noted_pairs(settings))


def exported_folder(name: str) -> Path:
    """Gives the folder of an exported model.

    Raises:
        CheckpointError: There is none.
    """
    folder = Path(name).expanduser()
    for place in (folder, folder / INSIDE):
        if (place / GRAPH).is_file():
            return place
    if not folder.is_dir():
        raise CheckpointError(f"{name}: there is no such folder; backend='onnx' takes what `textxfer export` wrote")
    raise CheckpointError(f"{name}: has no {GRAPH}; make it by `textxfer export {name} --onnx`")


def noted_tokenizer(tokenizer: PlainTokenizer) -> dict[str, Any]:
    """Gives what a tokenizer's own file does not say, as plain data for config.json."""
    return {
        "pad": tokenizer.pad_token_id,
        "unknown": tokenizer.unk_token_id,
        "special": list(tokenizer.special_ids),
        "segments": tokenizer.segments,
    }


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtra("backend='onnx' needs onnxruntime: pip install 'textxfer[onnx]'") from error
    return onnxruntime


def _provider(device: Any) -> tuple[str, dict[str, str]]:
    """Gives what ONNX Runtime calls a device, and its options.

    Raises:
        TextxferError: It cannot be used here.
    """
    kind, _, number = str(device or "cpu").partition(":")
    provider = PROVIDERS.get(kind)
    if provider not in _runtime().get_available_providers() or not (number or "0").isdecimal():
        raise _unusable(device)
    return str(provider), {"device_id": number} if number and kind != "cpu" else {}


def _unusable(device: Any) -> TextxferError:
    return TextxferError(f"device {device}: ONNX Runtime cannot use it here; leave it out for the CPU")


def _config(name: str, path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{name}: its {CONFIG} cannot be read: {error}; export the model again") from error
    if not isinstance(config, dict) or not isinstance(config.get("textxfer"), dict):
        raise CheckpointError(
            f"{name}: its {CONFIG} does not say how to use it (no `textxfer` in it); export the model by `textxfer "
            "export MODEL --onnx`"
        )
    names = config.setdefault("id2label", {})
    if not isinstance(names, dict) or not all(number.isdecimal() for number in names):
        raise CheckpointError(f"{name}: `id2label` in its {CONFIG} names no labels by number: {names!r:.80}")
    return config


def _tokenizer(name: str, path: Path, settings: Mapping[str, Any]) -> PlainTokenizer:
    import tokenizers

    try:
        noted = settings["tokenizer"]
        pad, unknown, special = noted["pad"], noted["unknown"], tuple(noted["special"])
        segments = bool(noted["segments"])
    except (KeyError, TypeError) as error:
        raise not_understood(name, error) from error
    try:
        backend = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare exceptions
        raise CheckpointError(f"{name}: its {TOKENIZER} cannot be loaded: {error}; export the model again") from error
    return PlainTokenizer(backend, int(pad), unknown, special, segments)


def _session(name: str, path: Path, provider: tuple[str, dict[str, str]], device: Any) -> Any:
    runtime = _runtime()
    options = runtime.SessionOptions()
    threads = os.environ.get("OMP_NUM_THREADS", "")  # which torch heeds too
    options.intra_op_num_threads = int(threads) if threads.isdecimal() else 0  # 0: as many as there are cores
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(str(path), options, providers=[provider])
    except Exception as error:  # ONNX Runtime has a kind of its own for each way a file is broken
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(f"{name}: its {GRAPH} cannot be loaded: {reason}; export the model again") from error
    if provider[0] not in session.get_providers():  # it falls back to the CPU, and says so to nobody
        raise _unusable(device)
    return session


def _check_outputs(name: str, session: Any, task: Task, labels: LabelSet | None) -> None:
    """Checks that a graph is one for the task and its labels."""
    there = {each.name: each.shape for each in session.get_outputs()}
    if missing := [output for output in task.outputs if output not in there]:
        raise CheckpointError(f"{name}: its {GRAPH} gives {', '.join(there)}, not {', '.join(missing)}")
    if labels is not None and (width := there[task.outputs[0]][-1]) != len(labels):
        raise CheckpointError(f"{name}: its {GRAPH} has {width} labels, and its {CONFIG} names {len(labels)}")
