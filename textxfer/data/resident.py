"""Examples that lie on a GPU, cut out and padded there: a batch costs the host an index for each of its examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textxfer.records import Batch, Encoded

if TYPE_CHECKING:
    import numpy as np
    import torch


class Resident:
    """The tokens of a split on a device, and their states at the frozen boundary where those are there too.

    Args:
        encoded: N examples.
        device: Where they go.
        pad_token_id: What fills `input_ids`.
        states: One row a token of `encoded` (all tokens, D), on that device; None where there are none.
    """

    def __init__(
        self, encoded: Encoded, device: torch.device, *, pad_token_id: int, states: torch.Tensor | None = None
    ) -> None:
        import torch

        def put(array: np.ndarray | None) -> Any:
            return None if array is None else torch.from_numpy(array).to(device)

        self.device, self.pad_token_id, self.states = device, pad_token_id, states
        self._ids, self._types = put(encoded.input_ids), put(encoded.token_type_ids)
        self._starts, self._lengths = put(encoded.offsets[:-1]), put(encoded.lengths)
        self._targets = put(encoded.targets)

    @staticmethod
    def size(encoded: Encoded) -> int:
        """Gives the bytes that the tokens of these examples take."""
        arrays = (encoded.input_ids, encoded.token_type_ids, encoded.targets, encoded.offsets, encoded.offsets)
        return sum(array.nbytes for array in arrays if array is not None)

    def batch(self, places: torch.Tensor, width: int, indices: np.ndarray) -> Batch:
        """Cuts examples out and pads them on the right; nothing waits for the device.

        Args:
            places: Their places 0..N-1 (B,), on the device.
            width: T, the tokens of the longest of them or more.
            indices: The same places on the host. A recorded step is replayed with other `places`: its loss must not
                look at these.

        Returns:
            The tensors that `data.batching.collate` gives, and `states` where those are here; padding has token 0's.
        """
        import torch

        columns = torch.arange(width, device=self.device)
        mask = columns < self._lengths[places][:, None]
        at = torch.where(mask, self._starts[places][:, None] + columns, 0)
        ids = torch.where(mask, self._ids[at], self.pad_token_id).long()
        types = torch.where(mask, self._types[at], 0).long() if self._types is not None else None
        targets = self._targets[places] if self._targets is not None else None
        states = None
        if self.states is not None:
            states = self.states.index_select(0, at.flatten()).view(*at.shape, -1)
        return Batch(ids, mask.long(), types, targets, indices, states, places)
