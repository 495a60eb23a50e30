"""A model's reduced outputs for any number of examples: batched by length, in the examples' own order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textxfer.data.batching import collate, sorted_batches
from textxfer.modeling.device import clear_memory, is_out_of_memory
from textxfer.records import Batch, Encoded
from textxfer.tasks import Task

if TYPE_CHECKING:
    import numpy as np
    import torch
    from accelerate import Accelerator

TOKENS_ON_CPU = 2048
TOKENS_ON_GPU = 65536


@dataclass(frozen=True)
class Outputs:
    """What is kept of the outputs for N examples.

    Attributes:
        reduced: Arrays with N rows, as `task.reduce` names them.
        loss: Mean over examples, where they have targets.
    """

    reduced: dict[str, np.ndarray]
    loss: float | None


def forward(
    model: torch.nn.Module,
    task: Task,
    encoded: Encoded,
    *,
    pad_token_id: int,
    batch_tokens: int | None = None,
    autocast: Callable[[], Any] | None = None,
    accelerator: Accelerator | None = None,
    between: Callable[[], None] | None = None,
    batch_of: Callable[[np.ndarray], Batch] | None = None,
    fast: bool = True,
) -> Outputs:
    """Runs a model over all examples, keeping small things only: nothing piles up on the device.

    Args:
        model: In whatever mode; it is left in eval mode.
        task: Says what to keep.
        encoded: N examples, one at least.
        pad_token_id: Of the tokenizer.
        batch_tokens: Padded tokens of a batch; halved when memory runs out. Default: by device.
        autocast: Makes the context for each forward pass; default: the weights' own precision.
        accelerator: Shares the batches out over its processes; all of them get all outputs.
        between: Called before each batch; may raise to stop.
        batch_of: Makes the batch of some examples; default: `collate`.
        fast: Whether attention on a CPU is computed as in `modeling.cpu_attention`.
    """
    from contextlib import nullcontext

    import torch

    from textxfer.modeling.cpu_attention import fast_attention

    device = next(model.parameters()).device
    tokens = batch_tokens or (TOKENS_ON_CPU if device.type == "cpu" else TOKENS_ON_GPU)
    rank, world = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
    attention = fast_attention if fast and device.type == "cpu" else nullcontext
    model.eval()

    def run(indices: np.ndarray) -> Piece:
        if between is not None:
            between()
        batch = batch_of(indices) if batch_of else collate(encoded, indices, pad_token_id=pad_token_id, device=device)
        with torch.inference_mode():
            with autocast() if autocast else nullcontext(), attention():
                output = model(**batch.inputs())
            kept = task.reduce(output, batch, encoded)
            loss = float(task.loss(output, batch)) if batch.targets is not None else 0.0
        return Piece(indices, {name: _in_numpy(array) for name, array in kept.items()}, loss)

    mine = list(sorted_batches(encoded.lengths, tokens))[rank::world]
    pieces = list(_halving(run, mine, encoded.lengths))
    if accelerator is not None and world > 1:
        from accelerate.utils import gather_object

        pieces = gather_object(pieces)
    return Outputs(
        in_order(pieces, len(encoded)),
        sum(piece.loss for piece in pieces) / len(encoded) if encoded.targets is not None else None,
    )


def _in_numpy(array: Any) -> np.ndarray:
    kept: np.ndarray = array.cpu().numpy() if hasattr(array, "cpu") else array
    return kept


@dataclass(frozen=True)
class Piece:
    """What is kept of one batch.

    Attributes:
        indices: Its examples' places.
        reduced: Arrays with as many rows, as `task.reduce` names them.
        loss: Summed over the examples.
    """

    indices: np.ndarray
    reduced: dict[str, np.ndarray]
    loss: float


def _halving(run: Callable[[np.ndarray], Piece], batches: list[np.ndarray], lengths: np.ndarray) -> Iterator[Piece]:
    """Runs batches; when memory runs out, that one is cut in half, and those to come are no larger than its half."""
    waiting = deque(batches)
    while waiting:
        indices = waiting.popleft()
        piece = None
        try:
            piece = run(indices)
        except RuntimeError as error:
            if len(indices) == 1 or not is_out_of_memory(error):
                raise
        if piece is not None:
            yield piece
            continue
        # Out of the except clause, so that nothing holds on to the tensors that did not fit.
        clear_memory()
        tokens = len(indices) * int(lengths[indices].max()) // 2
        waiting = deque(part[cut] for part in (indices, *waiting) for cut in sorted_batches(lengths[part], tokens))


def in_order(pieces: Sequence[Piece], count: int) -> dict[str, np.ndarray]:
    """Gives what was kept of all batches, in the order of the examples.

    Args:
        pieces: One at least.
        count: Examples there are.
    """
    import numpy as np

    places = np.concatenate([piece.indices for piece in pieces])
    reduced = {}
    for name in pieces[0].reduced:
        stacked = np.concatenate([piece.reduced[name] for piece in pieces])
        assert len(stacked) == count
        reduced[name] = np.empty_like(stacked)
        reduced[name][places] = stacked
    return reduced
