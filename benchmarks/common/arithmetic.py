"""How much arithmetic a training run needs, and how long it would take at the machine's best."""

from __future__ import annotations

from typing import Any


def describe(checkpoint: str, texts: list[str], max_length: int) -> dict[str, Any]:
    """Gives the shape of a checkpoint, the tokens of texts and the seconds it takes to make them. Runs in a child."""
    import time

    from transformers import AutoConfig, AutoTokenizer

    config = AutoConfig.from_pretrained(checkpoint)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    tokenizer(texts[:32], truncation=True, max_length=max_length)
    began = time.perf_counter()
    ids = tokenizer(texts, truncation=True, max_length=max_length)["input_ids"]
    seconds = time.perf_counter() - began
    inner = getattr(config, "intermediate_size", None) or getattr(config, "hidden_dim", None) or 4 * config.hidden_size
    return {
        "layers": config.num_hidden_layers,
        "hidden": config.hidden_size,
        "inner": inner,
        "tokens": sum(map(len, ids)),
        "token_pairs": sum(len(row) ** 2 for row in ids),
        "longest": max(map(len, ids)),
        "tokenise_seconds": seconds,
    }


def training_gflop(shape: dict[str, Any], frozen: int, epochs: int) -> float:
    """Gives the GFLOP of a run that computes the frozen layers once and pads nothing.

    A layer's forward pass costs 8 d^2 + 4 d f for each token (projections; feed-forward of inner width f) and 4 d for
    each pair of tokens (attention); a trained layer costs three times that (forward, and two gradients).
    """
    hidden, inner = shape["hidden"], shape["inner"]
    layer = shape["tokens"] * (8 * hidden**2 + 4 * hidden * inner) + shape["token_pairs"] * 4 * hidden
    return layer * (frozen + 3 * epochs * (shape["layers"] - frozen)) / 1e9
