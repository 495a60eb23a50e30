"""Checkpoints and rows that are the same everywhere: no trained tokenizer, no random number of torch's."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

TEXT = "the film was a delight and story told badly with no end room view soup came cold library opens at"
WORDS = sorted(set(TEXT.split()))
SIGNS = list("abcdefghijklmnopqrstuvwxyz0123456789.,?")
SIZES: dict[str, dict[str, Any]] = {
    "bert": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
             "max_position_embeddings": 64},
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_inner": 32, "n_positions": 64},
    "t5": {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0},
}  # fmt: skip


def tokenizer(family: str) -> Any:
    """Gives a tokenizer with a vocabulary written down here."""
    import transformers

    if family == "bert":
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        pieces = dict.fromkeys([*special, *WORDS, *SIGNS, *(f"##{sign}" for sign in SIGNS)])
        return transformers.BertTokenizer(vocab={piece: number for number, piece in enumerate(pieces)})
    if family == "gpt2":
        letters = dict.fromkeys([*SIGNS, "Ġ", "<|endoftext|>"])
        return transformers.GPT2Tokenizer(vocab={letter: number for number, letter in enumerate(letters)}, merges=[])
    scores = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -5.0)]
    scores += [(f"▁{word}", -2.0 - number / 100) for number, word in enumerate(WORDS)]
    return transformers.T5Tokenizer(vocab=[*scores, *((sign, -6.0) for sign in SIGNS)], extra_ids=0)


def checkpoint(folder: Path, family: str) -> Path:
    """Saves a checkpoint without a head, its weights from numpy, and gives its folder."""
    import numpy as np
    import torch
    import transformers

    made = tokenizer(family)
    made.model_max_length = 64
    names = [name for name in ("pad", "eos", "bos") if getattr(made, f"{name}_token_id") is not None]
    special = {f"{name}_token_id": getattr(made, f"{name}_token_id") for name in names}
    config = transformers.AutoConfig.for_model(family, vocab_size=len(made), **SIZES[family], **special)
    model = transformers.AutoModel.from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            random = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
            around = 1.0 if parameter.ndim == 1 and name.endswith("weight") else 0.0
            values = around + 0.1 * random.standard_normal(tuple(parameter.shape))
            parameter.copy_(torch.from_numpy(values))
    model.save_pretrained(folder)
    made.save_pretrained(folder)
    return folder


def rows() -> list[dict[str, Any]]:
    """Gives 32 texts with two labels."""
    good, bad = "the film was a delight", "a story told badly with no end"
    return [
        {
            "text": f"{(good, bad)[number % 2]} {WORDS[number % len(WORDS)]} {number}",
            "label": ("good", "bad")[number % 2],
        }
        for number in range(32)
    ]


def questions() -> list[dict[str, Any]]:
    """Gives 16 questions, a quarter of them without an answer."""
    made = []
    for number in range(16):
        context = f"the library opens at {number} and the view was a delight"
        answer = (str(number), "the view", "a delight")[number % 3]
        found = {"text": [answer], "answer_start": [context.index(answer)]}
        answers = found if number % 4 else {"text": [], "answer_start": []}
        made.append({"id": str(number), "question": "the end?", "context": context, "answers": answers})
    return made
