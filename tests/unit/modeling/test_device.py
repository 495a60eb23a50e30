"""What is asked of the device and of its memory."""

from __future__ import annotations

import platform

import pytest
from torch import nn

from textxfer.modeling.device import MAPPED_ANEW, reuse_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="there is no glibc to ask")
@pytest.mark.parametrize(
    ("rows", "trained", "asked"),
    [(MAPPED_ANEW // 4 + 1, True, True), (MAPPED_ANEW // 4, True, False), (MAPPED_ANEW // 4 + 1, False, False)],
)
def test_freed_memory_is_kept_only_for_gradients_that_are_mapped_anew(rows: int, trained: bool, asked: bool) -> None:
    model = nn.Embedding(rows, 1)
    model.weight.requires_grad_(trained)
    assert reuse_freed_memory(model) is asked
