"""One vector a text, or one a text and layer, for any number of texts in one pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast

from textxfer.data.batching import collate
from textxfer.evaluation.forward import forward
from textxfer.records import Batch, Encoded
from textxfer.tasks import Task

if TYPE_CHECKING:
    import numpy as np
    import torch

    from textxfer.modeling.features import Pooling


def features(
    model: torch.nn.Module,
    encoded: Encoded,
    *,
    pad_token_id: int,
    pooling: Pooling = "mean",
    layers: Sequence[int] | Literal["all"] | None = None,
    dtype: Literal["float32", "float16"] = "float32",
    batch_tokens: int | None = None,
    autocast: Callable[[], Any] | None = None,
    between: Callable[[float], None] | None = None,
) -> np.ndarray:
    """Gives the pooled hidden states of N examples, in their order, from one pass of the encoder.

    Args:
        model: A stock model on its device, with a head or without; it is left in eval mode.
        encoded: N examples, one at least.
        pad_token_id: Of the tokenizer.
        pooling: "mean" of the tokens, "cls" (the first) or "last".
        layers: Which hidden states: 0 is the embeddings', `num_hidden_layers` the last layer's; None: the last one
            alone; "all": each.
        dtype: Of the result.
        batch_tokens: Padded tokens of a batch; halved when memory runs out. Default: by device.
        autocast: Makes the context for each forward pass; default: the weights' own precision.
        between: Called before each batch with the share that is done, 0 to 1; may raise to stop.

    Returns:
        (N, D), or (N, layers, D) where layers were named.

    Raises:
        ValueError: There is no such pooling or layer.
    """
    from textxfer.modeling.features import Pooled
    from textxfer.modeling.inference import computes_in_bf16, for_inference

    bare, device, done = replace(encoded, targets=None), next(model.parameters()).device, 0

    def batch_of(indices: np.ndarray) -> Batch:
        nonlocal done
        if between is not None:
            between(min(done / len(bare), 1.0))  # a batch that was halved counts twice
        done += len(indices)
        return collate(bare, indices, pad_token_id=pad_token_id, device=device)

    ready = for_inference(model, bf16=computes_in_bf16(device.type, autocast))
    pooled = Pooled(ready, pooling, layers)
    options: dict[str, Any] = {"pad_token_id": pad_token_id, "batch_tokens": batch_tokens, "autocast": autocast}
    return vectors(pooled, bare, batch_of, dtype=dtype, **options)


def vectors(
    module: torch.nn.Module,
    encoded: Encoded,
    batch_of: Callable[[np.ndarray], Batch],
    *,
    dtype: Literal["float32", "float16"] = "float32",
    **options: Any,
) -> np.ndarray:
    """Gives what a module that makes vectors makes of N examples, in their order.

    Args:
        module: Called with a batch's inputs; see `modeling.features`. It is left in eval mode.
        encoded: N examples, one at least.
        batch_of: Makes the batch of some examples.
        dtype: Of the result.
        **options: Of `evaluation.forward.forward`.
    """
    bare = replace(encoded, targets=None)
    keep = cast(Task, _Keep(dtype))

    def without_targets(indices: np.ndarray) -> Batch:
        return replace(batch_of(indices), targets=None)

    return forward(module, keep, bare, batch_of=without_targets, **options).reduced["features"]


@dataclass(frozen=True)
class _Keep:
    """The one method of a task that `forward` needs of it where there are no targets."""

    dtype: str

    def reduce(self, output: Any, batch: Batch, encoded: Encoded) -> Mapping[str, torch.Tensor]:
        """Keeps the vectors."""
        import torch

        return {"features": output.to(getattr(torch, self.dtype))}
