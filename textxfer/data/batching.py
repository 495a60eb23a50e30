"""Which examples stand together, in which order, and the padded batches of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from textxfer.records import UNPREDICTED, Batch, Encoded

if TYPE_CHECKING:
    import numpy as np

BATCHES_TO_SORT = 50
"""Batches whose examples are sorted by length together."""


def epoch_batches(
    lengths: np.ndarray, batch_size: int, *, seed: int, epoch: int, batching: Literal["length", "random"] = "length"
) -> list[np.ndarray]:
    """Gives the batches of one epoch: a function of its arguments alone, so that a run can be resumed anywhere.

    `length` shuffles the examples, sorts stretches of 50 batches by length and shuffles the batches; every example is
    seen once, and the one short batch there may be stands where the shuffle puts it.

    Args:
        lengths: Tokens of each example (N,).
        batch_size: Examples of a batch.
        seed: The run's seed.
        epoch: From 0.
        batching: By like length, or blind to it.

    Returns:
        Arrays of places 0..N-1.
    """
    import numpy as np

    rng = np.random.default_rng((seed, epoch))
    order = rng.permutation(len(lengths))
    if batching == "random":
        return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    stretch = batch_size * BATCHES_TO_SORT
    batches: list[np.ndarray] = []
    for start in range(0, len(order), stretch):
        part = order[start : start + stretch]
        part = part[np.argsort(-lengths[part], kind="stable")]
        batches.extend(part[at : at + batch_size] for at in range(0, len(part), batch_size))
    return [batches[place] for place in rng.permutation(len(batches))]


def sorted_batches(lengths: np.ndarray, tokens: int) -> Iterator[np.ndarray]:
    """Gives batches for inference: longest examples first, at most `tokens` padded tokens each (but one example)."""
    import numpy as np

    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(tokens // max(int(lengths[order[start]]), 1), 1)
        yield order[start : start + size]
        start += size


def padded(encoded: Encoded, indices: np.ndarray, *, pad_token_id: int, pad_to: int = 1) -> Batch:
    """Cuts examples out of the flat arrays and pads them on the right to the longest of them.

    Args:
        encoded: Where they lie.
        indices: Their places (B,).
        pad_token_id: What fills `input_ids`.
        pad_to: Make T a multiple of this.

    Returns:
        Numpy arrays of shape (B, T).
    """
    import numpy as np

    starts, lengths = encoded.offsets[indices], encoded.lengths[indices]
    width = -(-int(lengths.max()) // pad_to) * pad_to
    columns = np.arange(width)
    mask = columns < lengths[:, None]
    places = np.where(mask, starts[:, None] + columns, 0)
    input_ids = np.where(mask, encoded.input_ids[places], pad_token_id).astype(np.int64)
    types = None
    if encoded.token_type_ids is not None:
        types = np.where(mask, encoded.token_type_ids[places], 0).astype(np.int64)
    targets = None
    if encoded.targets is not None:
        of_tokens = encoded.target_offsets is not None
        targets = _padded_targets(encoded, indices) if of_tokens else encoded.targets[indices]
    return Batch(input_ids, mask.astype(np.int64), types, targets, indices)


def collate(encoded: Encoded, indices: np.ndarray, *, pad_token_id: int, device: Any = "cpu", pad_to: int = 1) -> Batch:
    """Gives a padded batch as tensors; see `padded`. Where targets are tokens, a model that writes reads them, too.

    Args:
        encoded: Where the examples lie.
        indices: Their places (B,).
        pad_token_id: What fills `input_ids`.
        device: Where the tensors go.
        pad_to: Make T a multiple of this.
    """
    import torch

    def tensor(array: np.ndarray | None) -> torch.Tensor | None:
        if array is None:
            return None
        made = torch.from_numpy(array)
        if torch.device(device).type == "cuda":
            return made.pin_memory().to(device, non_blocking=True)
        return made.to(device)

    batch = padded(encoded, indices, pad_token_id=pad_token_id, pad_to=pad_to)
    ids, mask, types, targets = map(
        tensor, (batch.input_ids, batch.attention_mask, batch.token_type_ids, batch.targets)
    )
    others = {} if targets is None or encoded.target_offsets is None else {"references": targets}
    return Batch(ids, mask, types, targets, indices, others=others)


def _padded_targets(encoded: Encoded, indices: np.ndarray) -> np.ndarray:
    """Gives the target tokens of some examples, padded on the right with -100."""
    import numpy as np

    assert encoded.targets is not None
    assert encoded.target_offsets is not None
    starts = encoded.target_offsets[indices]
    lengths = encoded.target_offsets[indices + 1] - starts
    columns = np.arange(lengths.max())
    mask = columns < lengths[:, None]
    return np.where(mask, encoded.targets[np.where(mask, starts[:, None] + columns, 0)], UNPREDICTED)
