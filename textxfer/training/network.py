"""`Network`: the part of a model that a run computes, and the batches it gets.

Where the lowest layers are frozen, that part is what is above them, and a batch carries the states at the boundary,
which were computed once. Where a head looks at the first token only, the last layer computes that token only. Either
way the weights are the model's own, and the outputs are those of the whole model.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from textxfer.data.batching import collate, sorted_batches
from textxfer.data.resident import Resident
from textxfer.modeling.anatomy import pooled_only, view
from textxfer.modeling.device import free_memory, is_out_of_memory
from textxfer.modeling.freezing import Frozen
from textxfer.modeling.prefix import Prefix, Suffix, find_prefix
from textxfer.modeling.prefix_cache import CannotStore, PrefixCache, Stored, bytes_needed
from textxfer.records import Batch, Encoded

if TYPE_CHECKING:
    from accelerate import Accelerator

TOKENS_AT_A_TIME = {"cpu": 2048, "cuda": 32768}
"""Padded tokens of a batch whose states are computed."""


@dataclass(frozen=True)
class CacheOptions:
    """How states at the frozen boundary are kept.

    Attributes:
        memory: Most bytes of memory; None: half of what is free.
        keep: Folder for later runs; None: states are gone when the run ends.
        spill: Folder for what does not fit in memory, while the run lasts.
    """

    memory: int | None = None
    keep: Path | None = None
    spill: Path = Path()


class Network:
    """What a run computes of a model.

    Args:
        model: The stock model, on its device.
        frozen: What is not trained of it.
        encoded: Examples by split.
        pad_token_id: Of the tokenizer.
        teaches: Whether the module is told in training which label is right, so that it need not compute the others.
        shared: States by their keys, of an earlier run of other seed that may be those of this one; the run leaves its
            own there. None: nobody comes after it.

    Attributes:
        module: Called with a batch's inputs; shares the model's weights.
        seconds: Time that computing states took.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        frozen: Frozen,
        encoded: Mapping[str, Encoded],
        pad_token_id: int = 0,
        *,
        teaches: bool = False,
        shared: dict[str, Stored] | None = None,
    ) -> None:
        self.shared = shared
        self.model, self.frozen, self.pad_token_id, self.teaches = model, frozen, pad_token_id, teaches
        self.encoded = dict(encoded)
        self.seconds = 0.0
        self._whole = dict(encoded)
        self._stored: dict[str, Stored] = {}
        self._resident: dict[str, Resident | None] = {}
        self.module = self.part()

    def freeze(self, frozen: Frozen) -> None:
        """Takes another boundary, and a module without wrapping; states stay where the same modules are frozen.

        Args:
            frozen: What is not trained from now on.
        """
        if frozen.modules != self.frozen.modules:
            self.encoded = dict(self._whole)
            self._stored.clear()
            self._resident.clear()
        self.frozen = frozen
        self.module = self.part()

    def part(self) -> torch.nn.Module:
        """Gives a new view of what is computed: what is above the states that are stored, or all."""
        prefix = find_prefix(self.model, self.frozen) if self._stored else None
        if prefix is not None:
            return Suffix(pooled_only(self.model), prefix)
        # A view of its own: what wraps it for precision or processes must not touch the model that is saved.
        return view(pooled_only(self.model))

    def batch(self, split: str, indices: Any, device: Any, step: int | None = None) -> Batch:
        """Gives examples of a split as the module takes them, with their states where those are stored.

        Args:
            split: Its name.
            indices: Which examples.
            device: Where the tensors go.
            step: Of training; None for a look. It matters to networks that teach, or draw inputs anew in each step.
        """
        encoded, stored = self.encoded[split], self._stored.get(split)
        resident = self.resident(split, device)
        if resident is not None:
            places = torch.from_numpy(indices).to(device, non_blocking=True)
            return resident.batch(places, int(encoded.lengths[indices].max()), indices)
        batch = collate(encoded, indices, pad_token_id=self.pad_token_id, device=device)
        if self.teaches and step is not None:
            assert batch.targets is not None
            batch = replace(batch, others={"references": batch.targets})
        return batch if stored is None else replace(batch, states=stored.states(batch))

    def resident(self, split: str, device: Any) -> Resident | None:
        """Gives a split's examples as they lie on a GPU; None where they do not, or their states do not.

        Nor do they where the right answers are among the inputs.
        """
        if torch.device(device).type != "cuda" or self.teaches or self.encoded[split].target_offsets is not None:
            return None
        if split not in self._resident:
            self._resident[split] = self._put(split, torch.device(device))
        return self._resident[split]

    def why_elsewhere(self, split: str) -> str:
        """Says why a split's examples do not lie on a GPU, where they do not."""
        if self.teaches:
            return "a model that writes is told in each step which label's words to score"
        if self.encoded[split].target_offsets is not None:
            return "the answers that the model is to write are of different lengths"
        return "the training examples, or their stored states, do not lie on the GPU"

    def _put(self, split: str, device: torch.device) -> Resident | None:
        encoded, stored = self.encoded[split], self._stored.get(split)
        states = stored.values if stored is not None else None
        here = states is None or states.device.type == "cuda"
        if not here or Resident.size(encoded) > torch.cuda.mem_get_info(device)[0] // 8:
            return None
        return Resident(encoded, device, pad_token_id=self.pad_token_id, states=states)

    def store(
        self,
        splits: tuple[str, ...],
        options: CacheOptions,
        accelerator: Accelerator,
        between: Callable[[], None] = lambda: None,
    ) -> str | None:
        """Computes the states at the frozen boundary for all examples of some splits, if there is a boundary.

        Args:
            splits: Names.
            options: Where states are kept.
            accelerator: Of the run; states have its precision.
            between: Called before each batch; may raise to stop.

        Returns:
            What the user should know, or None where nothing is frozen, or all is stored already.
        """
        if self._stored:
            return None
        prefix = find_prefix(self.model, self.frozen)
        if prefix is None:
            return self._why_not()
        began = time.monotonic()
        try:
            note = self._store(prefix, splits, options, accelerator, between)
        except CannotStore as problem:
            self._stored.clear()
            return f"frozen layers are computed anew in each epoch: {problem}"
        finally:
            self.seconds += time.monotonic() - began
        self._resident.clear()
        for split, stored in self._stored.items():
            self.encoded[split] = stored.encoded
        self.module = self.part()
        return note

    def _store(
        self,
        prefix: Prefix,
        splits: tuple[str, ...],
        options: CacheOptions,
        accelerator: Accelerator,
        between: Callable[[], None],
    ) -> str:
        device = accelerator.device
        dtype = torch.bfloat16 if accelerator.mixed_precision == "bf16" else torch.float32
        needed = sum(bytes_needed(self.encoded[split], prefix, dtype) for split in splits)
        cache = PrefixCache(
            prefix, dtype, keep=options.keep, folder=options.spill, precision=accelerator.mixed_precision
        )
        shared = self.shared if options.keep is None else None
        keys = {split: cache.key(self.encoded[split]) for split in splits} if shared is not None else {}
        if shared is not None:
            if all(key in shared for key in keys.values()):
                self._stored = {split: shared[key] for split, key in keys.items()}
                return f"{self._frozen_layers()} was computed for an earlier seed ({needed / 2**20:.1f} MiB)"
            shared.clear()
        place = _place(needed, options.memory, accelerator)
        cache = replace(cache, memory=0 if place is None else needed, device=place or "cpu")

        def batches(encoded: Encoded) -> Iterator[Batch]:
            for indices in sorted_batches(encoded.lengths, TOKENS_AT_A_TIME.get(device.type, 2048)):
                between()
                yield collate(encoded, indices, pad_token_id=self.pad_token_id, device=device)

        problem = None
        try:
            with accelerator.autocast():
                for split in splits:
                    self._stored[split] = cache.store(self.encoded[split], batches)
        except CannotStore as error:
            problem = error
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            problem = CannotStore("memory ran out while it was computed")
        if any(_everybody(accelerator, problem is not None)):
            raise problem or CannotStore("another process had no room for it")
        where = "in a file" if place is None else "in memory"
        where = f"in {options.keep}" if options.keep is not None else where
        if shared is not None:
            shared.update((key, self._stored[split]) for split, key in keys.items())
        return f"{self._frozen_layers()} is computed once and kept {where} ({needed / 2**20:.1f} MiB)"

    def _frozen_layers(self) -> str:
        layers = self.frozen.layers
        return f"the output of {layers} frozen layer{'' if layers == 1 else 's'}"

    def _why_not(self) -> str | None:
        if self.frozen.layers == 0:
            return None
        if not self.frozen.embeddings:
            return "frozen layers are computed anew in each epoch: the embeddings below them are trained"
        kind = str(getattr(self.model.config, "model_type", "?"))
        return f"frozen layers are computed anew in each epoch: {kind} models cannot be cut at a layer yet"


def _place(needed: int, limit: int | None, accelerator: Accelerator) -> torch.device | None:
    """Gives where states are held: the device of the run, else the memory of its machine, else None for a file."""
    most = limit if limit is not None else needed
    device = accelerator.device
    if device.type == "cuda" and needed <= min(most, torch.cuda.mem_get_info(device)[0] // 2):
        return device
    beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if needed <= min(most, free_memory() // 2 // beside):
        return torch.device("cpu")
    return None


def _everybody(accelerator: Accelerator, mine: bool) -> list[bool]:
    """Gives what each process says, so that all go the same way."""
    if accelerator.num_processes == 1:
        return [mine]
    from accelerate.utils import gather_object

    said: list[bool] = gather_object([mine])
    return said
