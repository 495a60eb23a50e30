"""A probe on what a head's last layer sees of training examples, which count in it as they do in training.

Letters in shapes: N examples, D values of a vector.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from textxfer.evaluation.features import vectors
from textxfer.labels import LabelSet
from textxfer.modeling.anatomy import last_linear, pooled_token
from textxfer.modeling.probe import Probe, fit_probe
from textxfer.records import Batch, Encoded
from textxfer.training.objective import example_weights, label_weights

if TYPE_CHECKING:
    from accelerate import Accelerator

    from textxfer.training.network import Network
    from textxfer.training.prepare import Prepared


def head_inputs(
    network: Network,
    encoded: Encoded,
    places: np.ndarray,
    accelerator: Accelerator,
    between: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """Gives what the head's last linear layer sees of some training examples, from stored states where there are."""
    from textxfer.modeling.features import HeadInputs
    from textxfer.modeling.inference import for_inference

    layer = last_linear(network.model)
    name = next(name for name, module in network.module.named_modules() if module is layer)
    ready = for_inference(network.module, bf16=accelerator.mixed_precision == "bf16")

    def batch_of(indices: np.ndarray) -> Batch:
        return replace(network.batch("train", places[indices], accelerator.device), indices=indices)

    return vectors(
        HeadInputs(ready, ready.get_submodule(name), pooled_token(network.model)),
        encoded,
        batch_of,
        pad_token_id=network.pad_token_id,
        autocast=accelerator.autocast,
        accelerator=accelerator,
        between=between,
    )


def probe_of(
    prepared: Prepared,
    features: np.ndarray,
    places: np.ndarray,
    labels: LabelSet,
    *,
    inverse_penalty: float | None = None,
    between: Callable[[], None] = lambda: None,
) -> Probe:
    """Gives a probe in which labels and examples count as the recipe says.

    Args:
        prepared: The run.
        features: What the last layer sees of them (N, D), finite.
        places: Theirs among the training examples (N,).
        labels: Whose counts their weights come from.
        inverse_penalty: See `fit_probe`.
        between: See `fit_probe`.
    """
    train, encoded = prepared.recipe.train, prepared.encoded["train"]
    of_labels = label_weights(labels, train.class_weights, prepared.rows.sets)
    of_examples = example_weights(prepared.rows.splits.train, encoded)
    assert encoded.targets is not None
    return fit_probe(
        features,
        encoded.targets[places],
        len(labels),
        label_weights=None if of_labels is None else np.array(of_labels),
        weights=None if of_examples is None else of_examples[places],
        inverse_penalty=inverse_penalty,
        seed=train.seed,
        between=between,
    )
