"""Examples that lie on a device are cut out and padded as on the host."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from textxfer.data.batching import collate
from textxfer.data.resident import Resident
from textxfer.records import Encoded


def examples(*, types: bool = True) -> Encoded:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 12, 20)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    ids = rng.integers(5, 100, offsets[-1]).astype(np.int32)
    segments = rng.integers(0, 2, offsets[-1]).astype(np.int8) if types else None
    return Encoded(ids, offsets, np.arange(20), token_type_ids=segments, targets=rng.integers(0, 3, 20))


@pytest.mark.parametrize("types", [True, False])
@pytest.mark.parametrize("extra", [0, 3])
def test_a_batch_is_what_collate_gives(types: bool, extra: int) -> None:
    encoded = examples(types=types)
    indices = np.array([3, 19, 0, 7])
    wanted = collate(encoded, indices, pad_token_id=1)
    width = wanted.input_ids.shape[1]
    resident = Resident(encoded, torch.device("cpu"), pad_token_id=1)
    found = resident.batch(torch.from_numpy(indices), width + extra, indices)
    for name, tensor in wanted.inputs().items():
        assert found.inputs()[name].dtype == tensor.dtype
        assert found.inputs()[name][:, :width].equal(tensor)
    assert (found.input_ids[:, width:] == 1).all()
    assert (found.attention_mask[:, width:] == 0).all()
    assert found.targets is not None
    assert found.targets.equal(wanted.targets)
    assert found.indices is indices
    values = torch.arange(20) * 10
    assert found.of(values).equal(wanted.of(values))
    assert found.of(values).tolist() == [30, 190, 0, 70]


def test_states_go_with_their_tokens() -> None:
    encoded = replace(examples(), targets=None)
    states = torch.randn(len(encoded.input_ids), 4)
    indices = np.array([5, 2])
    resident = Resident(encoded, torch.device("cpu"), pad_token_id=0, states=states)
    batch = resident.batch(torch.from_numpy(indices), int(encoded.lengths[indices].max()), indices)
    assert batch.states is not None
    assert batch.targets is None
    for row, place in enumerate(indices):
        own = states[encoded.offsets[place] : encoded.offsets[place + 1]]
        assert batch.states[row, : len(own)].equal(own)


def test_size_counts_all_arrays() -> None:
    encoded = examples()
    tokens = len(encoded.input_ids)
    assert Resident.size(encoded) == tokens * 5 + 20 * 8 + 2 * 21 * 8
