"""The tiny BERT's tokenizer, and batches of outputs without a model."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from textxfer.modeling.checkpoint import open_checkpoint
from textxfer.records import Batch


@pytest.fixture(scope="session")
def tokenizer(bert: Path) -> Any:
    return open_checkpoint(str(bert)).tokenizer


def output(**tensors: torch.Tensor) -> Any:
    """What a stock forward pass gives."""
    return SimpleNamespace(**tensors)


def batch_of(mask: Any, targets: Any) -> Batch:
    """A batch with this attention mask and these targets."""
    attention = torch.tensor(mask)
    return Batch(torch.zeros_like(attention), attention, None, torch.tensor(targets), np.arange(len(attention)))
