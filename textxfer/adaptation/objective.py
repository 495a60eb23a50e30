"""What a language model learns from bare texts: masked words, hidden spans or next tokens, as its family did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from textxfer.data.corruption import NextTokens, Rule, Spans, WholeWords
from textxfer.modeling.anatomy import language_model
from textxfer.modeling.checkpoint import Checkpoint
from textxfer.modeling.language_model import PredictedOnly, first_token, sentinels, shifted, token_losses
from textxfer.records import UNPREDICTED, Batch, Encoded

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Objective:
    """What is asked, and how answers are judged; `evaluation.forward` takes it for a task.

    Attributes:
        name: "masked_lm", "span_corruption" or "causal_lm".
        rule: Hides tokens.
        added: Tokens that the rule adds to a text.
        others: Gives more inputs of the forward pass from the targets.
        losses: Gives the summed loss of each example (B,) from an output and targets.
        module: Gives the view of a model that computes what is needed.
    """

    name: str
    rule: Rule
    added: int
    others: Callable[[torch.Tensor], Mapping[str, torch.Tensor]]
    losses: Callable[[Any, torch.Tensor], torch.Tensor]
    module: Callable[[Any], torch.nn.Module]

    def loss(self, output: Any, batch: Batch) -> torch.Tensor:
        """Gives the mean loss of an example's tokens, summed over examples."""
        assert batch.targets is not None
        counts = (batch.targets != UNPREDICTED).sum(dim=1).clamp(min=1)
        return (self.losses(output, batch.targets) / counts).sum()

    def reduce(self, output: Any, batch: Batch, encoded: Encoded) -> Mapping[str, torch.Tensor]:
        """Keeps each example's summed loss and number of tokens."""
        assert batch.targets is not None
        counts = (batch.targets != UNPREDICTED).sum(dim=1)
        return {"losses": self.losses(output, batch.targets), "counts": counts}


def objective_of(checkpoint: Checkpoint, mask_rate: float = 0.15) -> Objective:
    """Gives what a checkpoint's family was pretrained for.

    Args:
        checkpoint: One that `check_language_model` lets pass.
        mask_rate: Share of the tokens that are hidden.
    """
    makers = {
        "AutoModelForMaskedLM": _masked,
        "AutoModelForSeq2SeqLM": _spans,
        "AutoModelForCausalLM": _causal,
    }
    return makers[str(language_model(checkpoint.config))](checkpoint, mask_rate)


def _masked(checkpoint: Checkpoint, rate: float) -> Objective:
    import numpy as np

    tokenizer = checkpoint.tokenizer
    ordinary = np.setdiff1d(np.arange(len(tokenizer)), tokenizer.all_special_ids)
    rule = WholeWords(tokenizer.mask_token_id, ordinary, rate)
    return Objective("masked_lm", rule, 0, _predicted, _of_predicted, PredictedOnly)


def _spans(checkpoint: Checkpoint, rate: float) -> Objective:
    tokenizer = checkpoint.tokenizer
    start = checkpoint.config.decoder_start_token_id
    start = tokenizer.pad_token_id if start is None else start
    rule = Spans(sentinels(tokenizer), tokenizer.eos_token_id, rate)
    others = partial(_shifted, start_id=start, pad_id=tokenizer.pad_token_id)
    return Objective("span_corruption", rule, 0, others, _of_tokens, _as_it_is)


def _causal(checkpoint: Checkpoint, rate: float) -> Objective:
    start = first_token(checkpoint.tokenizer)
    assert start is not None, "it was checked before"
    return Objective("causal_lm", NextTokens(start), 1, _nothing, _of_next, _as_it_is)


def _as_it_is(model: Any) -> Any:
    from textxfer.modeling.anatomy import view

    return view(model)


def _nothing(targets: torch.Tensor) -> Mapping[str, torch.Tensor]:
    return {}


def _predicted(targets: torch.Tensor) -> Mapping[str, torch.Tensor]:
    return {"predicted": targets != UNPREDICTED}


def _shifted(targets: torch.Tensor, start_id: int, pad_id: int) -> Mapping[str, torch.Tensor]:
    return {"decoder_input_ids": shifted(targets, start_id, pad_id)}


def _of_predicted(output: Any, targets: torch.Tensor) -> torch.Tensor:
    """Gives each example's loss where logits (1, M, vocabulary) are those of the predicted tokens alone."""
    import torch
    from torch.nn import functional

    chosen = targets != UNPREDICTED
    each = functional.cross_entropy(output.logits[0].float(), targets[chosen], reduction="none")
    sums = torch.zeros(len(targets), device=each.device)
    return sums.index_add(0, chosen.nonzero()[:, 0], each)


def _of_tokens(output: Any, targets: torch.Tensor) -> torch.Tensor:
    return token_losses(output.logits, targets)


def _of_next(output: Any, targets: torch.Tensor) -> torch.Tensor:
    from torch.nn import functional

    logits = output.logits[:, :-1].float().transpose(1, 2)
    each = functional.cross_entropy(logits, targets[:, 1:], ignore_index=UNPREDICTED, reduction="none")
    return each.sum(dim=1)
