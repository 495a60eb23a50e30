"""The state of an unfinished run on disk, complete or not there at all.

A state is a folder `state-<N>` of safetensors and JSON (no pickle), N counting up. It is written under another name,
its manifest with the size and SHA-256 of every file last, flushed to disk and then renamed; only then are older ones
deleted, all but one. Reading takes the newest whose manifest holds. Frozen weights are not in it: they come from the
checkpoint. What it belongs to stands in the run folder's environment.json.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textxfer.disk import flush_folder, is_of_the_disk, reason
from textxfer.errors import OutputError
from textxfer.training.progress import Progress

if TYPE_CHECKING:
    import torch

FORMAT = 1
MANIFEST = "manifest.json"
KEPT = 2
"""States that are kept: the newest, and one in case a disk damages it."""


@dataclass(frozen=True)
class State:
    """What a run needs to go on.

    Attributes:
        progress: How far it is.
        weights: Parameters that are trained in some phase, by name.
        optimizer: AdamW's moments, as `<parameter>/<moment>`.
        best: Trained parameters of the best evaluation by name; empty before the first.
        scaler: State of fp16's gradient scaler, or {}.
    """

    progress: Progress
    weights: Mapping[str, torch.Tensor]
    optimizer: Mapping[str, torch.Tensor]
    best: Mapping[str, torch.Tensor]
    scaler: Mapping[str, Any]


def capture(
    named: Mapping[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    best: Mapping[str, torch.Tensor],
    scaler: Any = None,
) -> State:
    """Gives the state of a run between two steps.

    Args:
        named: All parameters of the model, as they were while it was trained: LoRA's leave it at the end.
        optimizer: Of those that are trained.
        progress: How far the run is.
        best: See `State`.
        scaler: Of fp16.
    """
    trained = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    weights = {name: value.detach() for name, value in named.items() if id(value) in trained}
    moments = {
        f"{name}/{moment}": tensor
        for name, parameter in named.items()
        for moment, tensor in optimizer.state.get(parameter, {}).items()
    }
    return State(progress, weights, moments, best, scaler.state_dict() if scaler is not None else {})


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
    older = _states(folder)
    place = folder / f"state-{older[-1][0] + 1 if older else 1}"
    temporary = folder / f"tmp-{place.name}"
    try:
        folder.mkdir(exist_ok=True)
        _keep_only(folder, [path for _, path in older])
        temporary.mkdir()
        _write_parts(temporary, state)
        flush_folder(temporary)
        temporary.rename(place)
        flush_folder(folder)
    except Exception as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if not is_of_the_disk(error):
            raise
        raise OutputError(f"{folder}: the state of the run cannot be saved: {reason(error)}") from error
    _keep_only(folder, [path for _, path in [*older, (0, place)]][-KEPT:])


def read_state(folder: Path) -> State | None:
    """Gives the newest whole state in a folder, or None."""
    from safetensors.torch import load_file

    for _, path in reversed(_states(folder)):
        if not _is_whole(path):
            continue
        about = json.loads((path / "state.json").read_text())
        if about.get("format") != FORMAT:
            continue
        weights, optimizer, best = (
            load_file(path / f"{name}.safetensors") for name in ("weights", "optimizer", "best")
        )
        return State(Progress.from_dict(about["progress"]), weights, optimizer, best, about["scaler"])
    return None


def _states(folder: Path) -> list[tuple[int, Path]]:
    """Gives the states there are, whole or not, oldest first."""
    matches = [(re.fullmatch(r"state-(\d+)", path.name), path) for path in folder.glob("state-*")]
    return sorted((int(match[1]), path) for match, path in matches if match)


def _keep_only(folder: Path, kept: list[Path]) -> None:
    for path in folder.iterdir():
        if path not in kept:
            shutil.rmtree(path, ignore_errors=True)


def _write_parts(folder: Path, state: State) -> None:
    from safetensors.torch import save_file

    for name, tensors in {"weights": state.weights, "optimizer": state.optimizer, "best": state.best}.items():
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, folder / f"{name}.safetensors")
    about = {"format": FORMAT, "progress": state.progress.as_dict(), "scaler": dict(state.scaler)}
    (folder / "state.json").write_text(json.dumps(about))
    files = {file.name: {"size": file.stat().st_size, "sha256": _hash(file)} for file in folder.iterdir()}
    (folder / MANIFEST).write_text(json.dumps(files))


def _is_whole(path: Path) -> bool:
    try:
        files = json.loads((path / MANIFEST).read_text())
        return bool(files) and all(
            (path / name).stat().st_size == entry["size"] and _hash(path / name) == entry["sha256"]
            for name, entry in files.items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
