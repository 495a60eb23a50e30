"""The output of a frozen prefix, computed once per example and kept: in memory while it fits, else in a file.

States are stored ragged, one row per token, without padding (Liu et al. 2021, AutoFreeze, cache what is below the
frozen boundary; here that changes nothing, since frozen layers have no dropout, but that a bf16 run rounds states to
bf16). A file that is kept for later runs bears the hash of all that its states depend on, and a manifest with its own
size and checksum, written last: a file that is incomplete, stale or damaged is never used.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from textxfer.modeling.checkpoint import first_line
from textxfer.modeling.prefix import Prefix
from textxfer.records import Encoded

if TYPE_CHECKING:
    from textxfer.records import Batch

Batches = Callable[[Encoded], Iterator["Batch"]]


@dataclass(frozen=True)
class Stored:
    """Examples, and the states at the frozen boundary of each of their tokens.

    Attributes:
        encoded: The examples; cut to one token each where the head looks at one.
        values: States, one row a token of `encoded` (all tokens, D).
    """

    encoded: Encoded
    values: torch.Tensor

    def states(self, batch: Batch) -> torch.Tensor:
        """Gives the states of a batch of `encoded` (B, T, D), on the batch's device; padding has those of token 0."""
        width = batch.input_ids.shape[1]
        columns = np.arange(width)
        starts, lengths = self.encoded.offsets[batch.indices], self.encoded.lengths[batch.indices]
        places = np.where(columns < lengths[:, None], starts[:, None] + columns, 0)
        index = torch.from_numpy(places.reshape(-1)).to(self.values.device)
        rows = self.values.index_select(0, index)
        if batch.input_ids.is_cuda and not rows.is_cuda:
            rows = rows.pin_memory()
        return rows.view(len(batch), width, -1).to(batch.input_ids.device, non_blocking=True)


class CannotStore(Exception):
    """States cannot be kept: no room, or a place that cannot be written. The run can go on without."""


@dataclass(frozen=True)
class PrefixCache:
    """Makes `Stored`.

    Attributes:
        prefix: Whose states.
        dtype: Of the states.
        folder: Where a file goes for states that do not fit; it has no name, so that nothing is left of it.
        memory: Most bytes to hold in memory, for the states of one call.
        keep: Where states are kept for later runs, instead, to be read from there, or from a GPU on which they fit;
            None: nowhere.
        device: Where states in memory are.
        precision: Of the forward pass ("no", "bf16", "fp16"); states of another are other states.
    """

    prefix: Prefix
    dtype: torch.dtype
    folder: Path
    memory: int = 0
    keep: Path | None = None
    device: torch.device | str = "cpu"
    precision: str = "no"

    def store(self, encoded: Encoded, batches: Batches) -> Stored:
        """Computes the states of all examples, or takes the ones that an earlier run kept.

        Args:
            encoded: N examples.
            batches: Gives batches that cover all examples, under the precision of the run.

        Raises:
            CannotStore: There is no room in memory or on disk.
        """
        kept = one_token(encoded, self.prefix.token)
        width = int(getattr(self.prefix.model.config, "hidden_size"))  # noqa: B009
        shape = (int(kept.offsets[-1]), width)
        size = shape[0] * width * self.dtype.itemsize
        if self.keep is not None:
            values = self._kept(encoded, kept, batches, shape, size)
            on_gpu = torch.device(self.device).type == "cuda" and size <= self.memory
            return Stored(kept, values.to(self.device) if on_gpu else values)
        if size <= self.memory:
            values = torch.empty(shape, dtype=self.dtype, device=self.device)
        else:
            path = self.folder / f".states-{os.getpid()}-{os.urandom(4).hex()}"
            values = _file_tensor(path, shape, self.dtype, size)
            with contextlib.suppress(OSError):  # the tensor holds the file open; its room is freed with the run
                path.unlink()
        self._fill(values, encoded, kept, batches)
        return Stored(kept, values)

    def _fill(self, values: torch.Tensor, encoded: Encoded, kept: Encoded, batches: Batches) -> None:
        prefix = self.prefix.ready(bf16=self.precision == "bf16")
        for batch in batches(encoded):
            states = prefix.states(batch)
            lengths = torch.from_numpy(encoded.lengths[batch.indices]).to(states.device)
            if self.prefix.token is not None:
                column = lengths - 1 if self.prefix.token == "last" else torch.zeros_like(lengths)
                rows = states[torch.arange(len(batch), device=states.device), column]
            else:
                rows = states[torch.arange(states.shape[1], device=states.device) < lengths[:, None]]
            starts, counts = kept.offsets[batch.indices], kept.lengths[batch.indices]
            places = np.repeat(starts - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
            values.index_copy_(0, torch.from_numpy(places).to(values.device), rows.to(values.device, values.dtype))

    def _kept(
        self, encoded: Encoded, kept: Encoded, batches: Batches, shape: tuple[int, int], size: int
    ) -> torch.Tensor:
        assert self.keep is not None
        key = self.key(encoded)
        path, manifest = self.keep / f"{key}.states", self.keep / f"{key}.json"
        if _is_whole(path, manifest, size):
            with contextlib.suppress(OSError, RuntimeError):
                return _map(path, shape, self.dtype)
        _clear_up(self.keep, key)
        temporary = self.keep / f"{key}.{_ending(os.getpid())}"
        values = _file_tensor(temporary, shape, self.dtype, size)
        try:
            self._fill(values, encoded, kept, batches)
            about = {"size": size, "sha256": _hash_of(temporary), "shape": shape, "dtype": str(self.dtype)}
            temporary.replace(path)
            draft = manifest.with_suffix(f".json.{_ending(os.getpid())}")
            draft.write_text(json.dumps(about))
            draft.replace(manifest)
        except OSError as error:
            raise CannotStore(f"{self.keep}: {error.strerror or error}") from error
        finally:
            temporary.unlink(missing_ok=True)
        return values

    def key(self, encoded: Encoded) -> str:
        """Gives the hash of all that the states of some examples depend on."""
        import transformers

        settings: Any = self.prefix.model.config
        cut = (self.prefix.layers, self.prefix.whole, self.prefix.token)
        way = (self.dtype, self.precision, settings._attn_implementation, torch.__version__, transformers.__version__)
        digest = hashlib.sha256(repr((cut, way)).encode())
        digest.update(settings.to_json_string().encode())
        for name, parameter in self.prefix.model.named_parameters():
            if not parameter.requires_grad:
                digest.update(name.encode())
                digest.update(parameter.detach().cpu().numpy().tobytes())
        for array in (encoded.input_ids, encoded.offsets, encoded.token_type_ids):
            digest.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:40]


def one_token(encoded: Encoded, token: str | None) -> Encoded:
    """Gives the examples cut to their first or last token; None leaves them whole."""
    if token is None:
        return encoded
    places = encoded.offsets[:-1] if token == "first" else encoded.offsets[1:] - 1
    types = encoded.token_type_ids[places] if encoded.token_type_ids is not None else None
    offsets = np.arange(len(encoded) + 1)
    return replace(encoded, input_ids=encoded.input_ids[places], offsets=offsets, token_type_ids=types)


def bytes_needed(encoded: Encoded, prefix: Prefix, dtype: torch.dtype) -> int:
    """Gives the bytes that the states of these examples take."""
    tokens = len(encoded) if prefix.token is not None else int(encoded.offsets[-1])
    return tokens * int(prefix.model.config.hidden_size) * dtype.itemsize  # type: ignore[union-attr, arg-type]


def _file_tensor(path: Path, shape: tuple[int, int], dtype: torch.dtype, size: int) -> torch.Tensor:
    """Makes a file of the right size and gives its bytes as a tensor; fails here rather than when it is filled."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(path.parent).free < 2 * size:  # the run itself needs room too
            raise CannotStore(f"{path.parent}: has no room for {size / 2**30:.2f} GiB of states")
        with path.open("wb") as file:
            if hasattr(os, "posix_fallocate") and size:
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
        return _map(path, shape, dtype)
    except (OSError, RuntimeError) as error:  # torch's own, where the file system cannot map files
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        raise CannotStore(f"{path.parent}: {getattr(error, 'strerror', None) or first_line(error)}") from error


def _map(path: Path, shape: tuple[int, int], dtype: torch.dtype) -> torch.Tensor:
    count = shape[0] * shape[1]
    return torch.from_file(str(path), shared=True, size=count, dtype=dtype).view(shape)


def _is_whole(path: Path, manifest: Path, size: int) -> bool:
    try:
        about: dict[str, Any] = json.loads(manifest.read_text())
        return path.stat().st_size == size == about["size"] and _hash_of(path) == about["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _clear_up(folder: Path, key: str) -> None:
    """Removes what runs on this machine left that were killed before their states were whole."""
    import psutil

    for left in folder.glob(f"{key}.*{glob.escape(_ending(''))}*"):
        number = left.name.rpartition("-")[2]
        if number.isdecimal() and not psutil.pid_exists(int(number)):
            with contextlib.suppress(OSError):
                left.unlink()


def _ending(process: int | str) -> str:
    """Gives the ending of a file that a process is writing; other machines may share the folder."""
    return f"tmp-{platform.node()}-{process}"


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
