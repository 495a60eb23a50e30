"""Checkpoints of a known shape with random weights, for machines without a Hub: what they compute costs the same."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

SHAPES: dict[str, dict[str, int]] = {
    "bert-base": {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
    },
    "minilm-l6": {
        "hidden_size": 384,
        "num_hidden_layers": 6,
        "num_attention_heads": 12,
        "intermediate_size": 1536,
    },
}


def make(folder: str, shape: str, tokenizer: str) -> dict[str, Any]:
    """Writes a BERT of a shape with random weights, and the tokenizer of another checkpoint. Runs in a child."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    torch.manual_seed(0)
    words = AutoTokenizer.from_pretrained(tokenizer)
    BertModel(BertConfig(vocab_size=len(words), **SHAPES[shape])).save_pretrained(folder)
    for file in Path(tokenizer).glob("*token*"):
        shutil.copy(file, folder)
    return {"folder": folder}
