"""The state of an unfinished run on disk, complete or not there at all.

A state is a folder `step-<N>` of safetensors and JSON (no pickle). It is written under another name, its manifest with
the size and SHA-256 of every file last, flushed to disk and then renamed; only then are older ones deleted. Reading
takes the newest whose manifest holds. Frozen weights are not in it: they come from the checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textxfer.errors import OutputError
from textxfer.training.progress import Progress

if TYPE_CHECKING:
    import torch

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class State:
    """What a run needs to go on.

    Attributes:
        progress: How far it is.
        weights: Trained parameters by name.
        optimizer: AdamW's moments, as `<parameter>/<moment>`.
        best: Trained parameters of the best evaluation by name; empty before the first.
        identity: What must be the same for the run to be the same: hashes of recipe, data and checkpoint.
        scaler: State of fp16's gradient scaler, or {}.
    """

    progress: Progress
    weights: Mapping[str, torch.Tensor]
    optimizer: Mapping[str, torch.Tensor]
    best: Mapping[str, torch.Tensor]
    identity: Mapping[str, str]
    scaler: Mapping[str, Any]


def capture(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    best: Mapping[str, torch.Tensor],
    identity: Mapping[str, str],
    scaler: Any = None,
) -> State:
    """Gives the state of a run between two steps."""
    weights = {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}
    moments = {
        f"{name}/{moment}": tensor
        for name, parameter in model.named_parameters()
        for moment, tensor in optimizer.state.get(parameter, {}).items()
    }
    return State(progress, weights, moments, best, identity, scaler.state_dict() if scaler is not None else {})


def restore(state: State, model: torch.nn.Module, optimizer: torch.optim.Optimizer, scaler: Any = None) -> None:
    """Puts a state back into a model and its optimizer."""
    import torch

    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, tensor in state.weights.items():
            parameters[name].copy_(tensor)
    for key, tensor in state.optimizer.items():
        name, _, moment = key.rpartition("/")
        parameter = parameters[name]
        optimizer.state[parameter][moment] = tensor.to(parameter.device)
    if scaler is not None and state.scaler:
        scaler.load_state_dict(dict(state.scaler))


def write_state(folder: Path, state: State) -> None:
    """Saves a state, and deletes older ones once it is safe.

    Raises:
        OutputError: It cannot be written; what was saved before is still there.
    """
    from safetensors.torch import save_file

    place = folder / f"step-{state.progress.step}"
    temporary = folder / f"tmp-{state.progress.step}-{os.getpid()}"
    tensors = {"weights": state.weights, "optimizer": state.optimizer, "best": state.best}
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        for name, named in tensors.items():
            save_file({key: tensor.contiguous() for key, tensor in named.items()}, temporary / f"{name}.safetensors")
        about = {"progress": state.progress.as_dict(), "identity": dict(state.identity), "scaler": dict(state.scaler)}
        _write_flushed(temporary / "state.json", json.dumps(about))
        files = {file.name: {"size": file.stat().st_size, "sha256": _hash(file)} for file in temporary.iterdir()}
        _write_flushed(temporary / MANIFEST, json.dumps(files))
        _flush_folder(temporary)
        shutil.rmtree(place, ignore_errors=True)
        temporary.rename(place)
        _flush_folder(folder)
    except Exception as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if not isinstance(error, OSError) and "SafetensorError" not in type(error).__name__:
            raise
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{folder}: the state of the run cannot be saved: {reason}") from error
    for older in folder.iterdir():
        if older != place:
            shutil.rmtree(older, ignore_errors=True)


def read_state(folder: Path) -> State | None:
    """Gives the newest whole state in a folder, or None."""
    from safetensors.torch import load_file

    steps = [(int(match[1]), path) for path in folder.glob("step-*") if (match := re.fullmatch(r"step-(\d+)", path.name))]
    for _, path in sorted(steps, reverse=True):
        if not _is_whole(path):
            continue
        about = json.loads((path / "state.json").read_text())
        weights, optimizer, best = (load_file(path / f"{name}.safetensors") for name in ("weights", "optimizer", "best"))
        progress = Progress.from_dict(about["progress"])
        return State(progress, weights, optimizer, best, about["identity"], about["scaler"])
    return None


def _is_whole(path: Path) -> bool:
    try:
        files = json.loads((path / MANIFEST).read_text())
        return bool(files) and all(
            (path / name).stat().st_size == entry["size"] and _hash(path / name) == entry["sha256"]
            for name, entry in files.items()
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_flushed(path: Path, text: str) -> None:
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Asks the disk to keep a folder and its files through a power cut, where the system can."""
    for path in [*(child for child in folder.iterdir() if child.is_file()), folder]:
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except OSError:  # folders cannot be opened on Windows
            continue
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
