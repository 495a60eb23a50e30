"""One optimizer step in plain PyTorch and transformers, without a line of textxfer: what our own step must equal."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional


def classification_loss(
    model: Any, tokenizer: Any, texts: Sequence[str], labels: Sequence[int], weights: Sequence[float] | None = None
) -> torch.Tensor:
    """Gives the mean cross-entropy of a batch, each text's multiplied by its weight."""
    inputs = tokenizer(list(texts), padding=True, truncation=True, max_length=32, return_tensors="pt")
    each = functional.cross_entropy(model(**inputs).logits, torch.tensor(labels), reduction="none")
    return each.mean() if weights is None else (each * torch.tensor(weights)).mean()


def span_loss(model: Any, tokenizer: Any, rows: Sequence[dict[str, Any]]) -> torch.Tensor:
    """Gives the mean cross-entropy of first and last answer token, for rows that fit into one window each."""
    inputs = tokenizer(
        [row["question"] for row in rows],
        [row["context"] for row in rows],
        padding=True,
        return_tensors="pt",
        return_offsets_mapping=True,
    )
    offsets = inputs.pop("offset_mapping")
    targets = []
    for number, row in enumerate(rows):
        if not row["answers"]["text"]:
            targets.append((0, 0))
            continue
        first = row["answers"]["answer_start"][0]
        last = first + len(row["answers"]["text"][0]) - 1
        inside = [place for place, owner in enumerate(inputs.sequence_ids(number)) if owner == 1]
        spans = {place: offsets[number][place].tolist() for place in inside}
        starts = [place for place, (start, end) in spans.items() if start <= first < end]
        ends = [place for place, (start, end) in spans.items() if start <= last < end]
        targets.append((starts[0], ends[-1]))
    output = model(**inputs)
    padding = inputs["attention_mask"] == 0
    losses = []
    for logits, places in zip((output.start_logits, output.end_logits), zip(*targets, strict=True), strict=True):
        losses.append(functional.cross_entropy(logits.masked_fill(padding, float("-inf")), torch.tensor(places)))
    return sum(losses) / 2


def plain_step(model: Any, loss: Any, rate: float, weight_decay: float, max_norm: float | None) -> dict[str, Any]:
    """Takes a step on a copy of the model.

    Args:
        model: Stays as it is.
        loss: Of a model, a scalar.
        rate: Learning rate.
        weight_decay: Of matrices.
        max_norm: Gradients are clipped to it.

    Returns:
        `loss`, `norm`, clipped `gradients` and new `weights` by name.
    """
    model = copy.deepcopy(model).train()
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    groups = [
        {"params": [parameter for parameter in trained.values() if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trained.values() if parameter.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=rate, foreach=False)
    value = loss(model)
    value.backward()
    norm = torch.nn.utils.clip_grad_norm_(trained.values(), max_norm or float("inf"))
    gradients = {name: parameter.grad.clone() for name, parameter in trained.items() if parameter.grad is not None}
    optimizer.step()
    weights = {name: parameter.detach().clone() for name, parameter in trained.items()}
    return {"loss": value.item(), "norm": norm.item(), "gradients": gradients, "weights": weights}
