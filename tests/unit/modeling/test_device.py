"""What is asked of the device and of its memory."""

from __future__ import annotations

import platform
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from torch import nn

from textxfer.modeling.device import MAPPED_ANEW, free_memory, reuse_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="there is no glibc to ask")
@pytest.mark.parametrize(
    ("rows", "trained", "asked"),
    [(MAPPED_ANEW // 4 + 1, True, True), (MAPPED_ANEW // 4, True, False), (MAPPED_ANEW // 4 + 1, False, False)],
)
def test_freed_memory_is_kept_only_for_gradients_that_are_mapped_anew(rows: int, trained: bool, asked: bool) -> None:
    model = nn.Embedding(rows, 1)
    model.weight.requires_grad_(trained)
    assert reuse_freed_memory(model) is asked


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({"memory.max": "5000\n", "memory.current": "2000\n"}, 3000),
        ({"memory.max": "1000\n", "memory.current": "2000\n"}, 0),
        ({"memory/memory.limit_in_bytes": "7000", "memory/memory.usage_in_bytes": "3000"}, 4000),
        ({"memory.max": "max\n", "memory.current": "2000\n"}, 10**12),
        ({}, 10**12),
    ],
    ids=["second version", "beyond it", "first version", "no limit", "no groups"],
)
def test_a_container_has_no_more_memory_than_it_may_take(
    files: dict[str, str], free: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=10**12))
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert free_memory(tmp_path) == free
