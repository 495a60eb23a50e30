"""A checkpoint under the head that it was pretrained with, so that pretraining can go on."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from textxfer.errors import CheckpointError
from textxfer.modeling.anatomy import language_model, view
from textxfer.modeling.build import Built, build
from textxfer.modeling.checkpoint import Checkpoint
from textxfer.modeling.quiet import quiet_transformers
from textxfer.records import UNPREDICTED

MOST_SENTINELS = 1000


def check_language_model(checkpoint: Checkpoint) -> None:
    """Makes sure that a checkpoint's pretraining can go on; no weight is loaded.

    Raises:
        CheckpointError: The family has no language-model head, or the tokenizer lacks the tokens for it.
    """
    kind, tokenizer = language_model(checkpoint.config), checkpoint.tokenizer
    if kind is None:
        family = checkpoint.config.model_type
        raise CheckpointError(
            f"{checkpoint.id}: models of the family {family!r} have no language-model head; they cannot be adapted"
        )
    if kind == "AutoModelForMaskedLM" and tokenizer.mask_token_id is None:
        raise CheckpointError(f"{checkpoint.id}: its tokenizer has no mask token, so that words cannot be masked")
    if kind == "AutoModelForSeq2SeqLM" and not sentinels(tokenizer):
        raise CheckpointError(f"{checkpoint.id}: its tokenizer has no <extra_id_0>, so that spans cannot be hidden")
    if kind == "AutoModelForCausalLM" and first_token(tokenizer) is None:
        raise CheckpointError(f"{checkpoint.id}: its tokenizer has no token that could stand before a text")


def sentinels(tokenizer: Any) -> list[int]:
    """Gives the ids of the tokens that stand for hidden spans, in their order; none where the tokenizer has none."""
    found: list[int] = []
    for number in range(MOST_SENTINELS):
        token = tokenizer.convert_tokens_to_ids(f"<extra_id_{number}>")
        if token is None or token == tokenizer.unk_token_id:
            break
        found.append(token)
    return found


def first_token(tokenizer: Any) -> int | None:
    """Gives the id of the token that stands before a text whose first token is to be foretold, or None."""
    return tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id


def build_language_model(checkpoint: Checkpoint, seed: int = 0) -> Built:
    """Loads a checkpoint's weights, fp32, under the language-model head of its family.

    What the checkpoint has beside it (BERT's pooler) is kept, untrained, so that saving loses nothing.

    Args:
        checkpoint: One that `check_language_model` lets pass.
        seed: Of a new head.

    Raises:
        CheckpointError: The weights cannot be loaded.
    """
    auto_class = language_model(checkpoint.config)
    assert auto_class is not None, "it was checked before"
    built = build(checkpoint, auto_class, seed=seed)
    _keep_others(checkpoint, built.model)
    return built


def _keep_others(checkpoint: Checkpoint, model: Any) -> None:
    """Adds to the backbone the modules that the checkpoint has and the language model leaves out."""
    import transformers

    prefix = str(model.base_model_prefix)
    backbone = getattr(model, prefix, None)
    if backbone is None:  # the model is its own backbone
        return
    with quiet_transformers():
        whole, info = transformers.AutoModel.from_pretrained(
            checkpoint.location,
            revision=checkpoint.revision or "main",
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    missing = tuple(info["missing_keys"])
    for name, child in whole.named_children():
        new = any(key.startswith(f"{name}.") for key in missing)
        if getattr(backbone, name, None) is None and list(child.parameters()) and not new:
            setattr(backbone, name, child.requires_grad_(False))


def shifted(targets: torch.Tensor, start_id: int, pad_id: int) -> torch.Tensor:
    """Gives what a decoder reads to predict target tokens (B, any): the targets, one place later."""
    inputs = targets.roll(1, dims=1)
    inputs[:, 0] = start_id
    return inputs.masked_fill(inputs == UNPREDICTED, pad_id)


def token_losses(logits: torch.Tensor, targets: torch.Tensor, label_smoothing: float = 0.0) -> torch.Tensor:
    """Gives the cross-entropy of target tokens, summed over each example (B,): less the log of their probability.

    Args:
        logits: (B, L, vocabulary).
        targets: Token ids (B, L), -100 where nothing is to be predicted.
        label_smoothing: Share of the target that is spread over the vocabulary.
    """
    each = functional.cross_entropy(
        logits.float().flatten(0, 1),
        targets.flatten(),
        ignore_index=UNPREDICTED,
        reduction="none",
        label_smoothing=label_smoothing,
    )
    return each.view(targets.shape).sum(dim=1)


class PredictedOnly(nn.Module):
    """A masked language model whose head looks only at the tokens that are to be predicted.

    The head costs as much as several layers: its last product is with the whole vocabulary.

    Args:
        model: Stock, with its backbone under its own name; the weights are shared.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        prefix = str(model.base_model_prefix)
        self.chosen = _Chosen(getattr(model, prefix))
        self.view = view(model, **{prefix: self.chosen})

    def forward(self, predicted: torch.Tensor, **inputs: torch.Tensor) -> Any:
        """Gives the stock output, with logits (1, M, vocabulary) of the M chosen tokens.

        Args:
            predicted: Which tokens are chosen (B, T).
            **inputs: Of the stock forward pass.
        """
        self.chosen.predicted = predicted
        try:
            return self.view(**inputs)
        finally:
            self.chosen.predicted = None


class _Chosen(nn.Module):
    """A backbone that gives the states of chosen tokens only."""

    predicted: torch.Tensor | None = None

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *args: Any, **inputs: Any) -> Any:
        assert self.predicted is not None
        output = self.inner(*args, **inputs)
        output.last_hidden_state = output.last_hidden_state[self.predicted][None]
        return output
