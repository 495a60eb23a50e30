"""`TextNetwork`: a language model, and batches whose hidden tokens are drawn anew in each step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from textxfer.adaptation.objective import Objective
from textxfer.data.batching import collate
from textxfer.data.corruption import corrupt
from textxfer.evaluation.forward import forward
from textxfer.modeling.freezing import Frozen
from textxfer.records import Batch, Encoded, Scores
from textxfer.tasks import Task
from textxfer.training.network import Network
from textxfer.training.stopping import StopSignal

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

FIXED = 2**32 - 1
"""Seed of what is hidden of held-back texts, whatever the run's seed: perplexities can be compared."""
LARGEST = 700.0
"""The exponential of more is no float."""


class TextNetwork(Network):
    """What an adaptation computes of a language model.

    Args:
        model: Stock, with its language-model head, on its device.
        frozen: What is not trained of it.
        encoded: Examples with `words`: "train", and "validation" for those that are held back.
        pad_token_id: Of the tokenizer.
        objective: Hides tokens.
        seed: Of what is hidden in training, with the step and the example.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        frozen: Frozen,
        encoded: Mapping[str, Encoded],
        pad_token_id: int,
        objective: Objective,
        seed: int,
    ) -> None:
        held_back = encoded["validation"]
        fixed = corrupt(held_back, np.arange(len(held_back)), objective.rule, (FIXED,))
        super().__init__(model, frozen, {**encoded, "validation": fixed}, pad_token_id)
        self.objective, self.seed = objective, seed
        self.module = objective.module(model)

    def batch(self, split: str, indices: Any, device: Any, step: int | None = None) -> Batch:
        """Gives examples with tokens hidden, those of "train" as (seed, step, example) says."""
        encoded, places = self.encoded[split], indices
        if step is not None:
            encoded = corrupt(encoded, indices, self.objective.rule, (self.seed, step))
            places = np.arange(len(indices))
        batch = collate(encoded, places, pad_token_id=self.pad_token_id, device=device)
        assert batch.targets is not None
        return replace(batch, indices=indices, others=self.objective.others(batch.targets))

    def measure(self, accelerator: Accelerator, stop: StopSignal) -> Scores:
        """Gives the perplexity of the held-back texts: e to the mean loss of a hidden token, and that loss."""
        outputs = forward(
            accelerator.unwrap_model(self.module),
            cast(Task, self.objective),
            self.encoded["validation"],
            pad_token_id=self.pad_token_id,
            accelerator=accelerator,
            autocast=accelerator.autocast,
            between=stop.check_alone,
            batch_of=lambda indices: self.batch("validation", indices, accelerator.device),
        )
        loss = float(outputs.reduced["losses"].sum() / max(outputs.reduced["counts"].sum(), 1))
        perplexity = math.exp(min(loss, LARGEST))
        return Scores({"perplexity": perplexity}, len(self.encoded["validation"]), {}, loss=loss)
