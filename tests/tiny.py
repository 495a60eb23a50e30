"""Tiny checkpoints with random weights, as stock folders: two layers, hidden size 16, a tokenizer of a few words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

CORPUS = [
    "the film was a delight and the cast was fine",
    "a dull story told badly, with no end in sight",
    "the soup came cold and the waiter was rude",
    "we loved the room, the view and the breakfast",
    "who wrote the book about the old library?",
    "the library opens at nine and closes at six on weekdays",
    "stars fall, markets rise, the match ended in a draw",
]
FAMILIES = ("bert", "roberta", "distilbert", "mpnet", "electra", "deberta-v2", "modernbert", "gpt2", "t5")
WITHOUT_QUESTION_ANSWERING: tuple[str, ...] = ()

_SIZES: dict[str, dict[str, Any]] = {
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_inner": 32, "n_positions": 64},
    "t5": {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0},
    "electra": {"embedding_size": 12},
    "modernbert": {"global_attn_every_n_layers": 2},
}
_ENCODER = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def make_tokenizer(family: str) -> Any:
    """Trains a small tokenizer of the family's own kind, the same one in every process."""
    import transformers

    kinds = {
        "roberta": transformers.RobertaTokenizer,
        "gpt2": transformers.GPT2Tokenizer,
        "t5": transformers.T5Tokenizer,
        "mpnet": transformers.MPNetTokenizer,
        "modernbert": transformers.RobertaTokenizer,
        "deberta-v2": transformers.DebertaV2Tokenizer,
    }
    kind = kinds.get(family, transformers.BertTokenizer)
    trained = kind().train_new_from_iterator(CORPUS, vocab_size=300)
    vocabulary = _settled(json.loads(trained.backend_tokenizer.to_str()))
    return trained if vocabulary is None else kind(vocab=vocabulary)


def _settled(tokenizer: dict[str, Any]) -> dict[str, int] | list[tuple[str, float]] | None:
    """Gives the vocabulary that a trainer would, had it not broken ties by chance; byte pairs have no such ties."""
    vocabulary = tokenizer["model"]["vocab"]
    added = [token["content"] for token in tokenizer["added_tokens"]]
    if tokenizer["model"]["type"] == "WordPiece":
        letters = sorted({letter for text in CORPUS for letter in text if letter != " "})
        words = sorted({word for text in CORPUS for word in re.findall(r"\w\w+", text)})
        pieces = added + letters + [f"##{letter}" for letter in letters if letter.isalpha()] + words
        return {piece: number for number, piece in enumerate(pieces)}
    if tokenizer["model"]["type"] == "Unigram":
        pieces = [(piece, round(score, 3)) for piece, score in vocabulary if piece not in added]
        return [(piece, 0.0) for piece in added] + sorted(pieces, key=lambda piece: (-piece[1], piece[0]))
    return None


def make_checkpoint(folder: Path, family: str = "bert", seed: int = 0, **changes: Any) -> Path:
    """Saves a tiny checkpoint without a head and gives its folder."""
    import torch
    import transformers

    tokenizer = make_tokenizer(family)
    tokenizer.model_max_length = 64
    positions = (
        {} if family in ("gpt2", "t5") else {"max_position_embeddings": 66 if family in ("roberta", "mpnet") else 64}
    )
    sizes = _SIZES.get(family, {}) if family in ("distilbert", "gpt2", "t5") else _ENCODER | _SIZES.get(family, {})
    special = {
        f"{name}_token_id": getattr(tokenizer, f"{name}_token_id")
        for name in ("pad", "bos", "eos", "cls", "sep")
        if getattr(tokenizer, f"{name}_token_id") is not None
    }
    torch.manual_seed(seed)
    config = transformers.AutoConfig.for_model(
        family, vocab_size=len(tokenizer), **(positions | sizes | special | changes)
    )
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
