"""A model's reduced outputs for any number of examples: batched by length, in the examples' own order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textxfer.data.batching import collate, sorted_batches
from textxfer.records import Encoded
from textxfer.tasks import Task

if TYPE_CHECKING:
    import numpy as np
    import torch
    from accelerate import Accelerator

TOKENS_ON_CPU = 4096
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
) -> Outputs:
    """Runs a model over all examples, keeping small things only: nothing piles up on the device.

    Args:
        model: In whatever mode; it is left in eval mode.
        task: Says what to keep.
        encoded: N examples.
        pad_token_id: Of the tokenizer.
        batch_tokens: Padded tokens of a batch; halved when memory runs out. Default: by device.
        autocast: Makes the context for each forward pass; default: the weights' own precision.
        accelerator: Shares the batches out over its processes; all of them get all outputs.
        between: Called before each batch; may raise to stop.
    """
    from accelerate.utils.memory import should_reduce_batch_size

    device = next(model.parameters()).device
    tokens = batch_tokens or (TOKENS_ON_CPU if device.type == "cpu" else TOKENS_ON_GPU)
    model.eval()
    while True:
        try:
            return _forward(model, task, encoded, pad_token_id, tokens, autocast, accelerator, between)
        except RuntimeError as error:
            if not should_reduce_batch_size(error) or tokens <= int(encoded.lengths.max()):
                raise
            tokens //= 2


def _forward(
    model: torch.nn.Module,
    task: Task,
    encoded: Encoded,
    pad_token_id: int,
    tokens: int,
    autocast: Callable[[], Any] | None,
    accelerator: Accelerator | None,
    between: Callable[[], None] | None,
) -> Outputs:
    from contextlib import nullcontext

    import torch

    device = next(model.parameters()).device
    rank, world = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
    places: list[Any] = []
    pieces: list[dict[str, Any]] = []
    loss = 0.0
    for number, indices in enumerate(sorted_batches(encoded.lengths, tokens)):
        if number % world != rank:
            continue
        if between is not None:
            between()
        batch = collate(encoded, indices, pad_token_id=pad_token_id, device=device)
        with torch.inference_mode(), autocast() if autocast else nullcontext():
            output = model(**batch.inputs())
        kept = task.reduce(output, batch, encoded)
        if batch.targets is not None:
            loss += float(task.loss(output, batch))
        places.append(indices)
        pieces.append({name: tensor.cpu().numpy() for name, tensor in kept.items()})
    shares = [(places, pieces, loss)]
    if accelerator is not None and world > 1:
        from accelerate.utils import gather_object

        shares = gather_object(shares)
    return _in_order(shares, len(encoded), has_loss=encoded.targets is not None)


def _in_order(shares: list[Any], count: int, has_loss: bool) -> Outputs:
    import numpy as np

    places = np.concatenate([indices for share in shares for indices in share[0]])
    pieces = [piece for share in shares for piece in share[1]]
    reduced = {}
    for name in pieces[0]:
        stacked = np.concatenate([piece[name] for piece in pieces])
        assert len(stacked) == count
        ordered = np.empty_like(stacked)
        ordered[places] = stacked
        reduced[name] = ordered
    return Outputs(reduced, sum(share[2] for share in shares) / count if has_loss else None)
