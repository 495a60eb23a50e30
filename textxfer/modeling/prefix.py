"""A frozen model in two: the prefix, whose output never changes, and the suffix, which is trained.

The prefix is the embeddings and the lowest layers, as `freeze` froze them; its output for a text can be computed once.
The suffix is a view of the same model, with the same weights, that starts from such states: the stock forward pass runs
unchanged, with the embeddings replaced by the states and the lowest layers taken out.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from textxfer.modeling.anatomy import has_prefix, locate, pooled_only, pooled_token, without_prefix
from textxfer.modeling.cpu_attention import fast_attention
from textxfer.modeling.freezing import Frozen
from textxfer.modeling.inference import for_inference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textxfer.records import Batch


@dataclass(frozen=True)
class Prefix:
    """The frozen lower part of a model.

    Attributes:
        model: The whole model.
        last: The module whose output is the boundary.
        layers: Number of frozen layers.
        whole: Whether the whole backbone is frozen, an encoder-decoder's decoder with it.
        token: "first" or "last" where the suffix needs that token's state only; None where it needs all.
    """

    model: nn.Module
    last: nn.Module
    layers: int
    whole: bool
    token: str | None

    def ready(self, *, bf16: bool = False) -> Prefix:
        """Gives the same prefix as its states are soonest computed, with the weights that it has now.

        Args:
            bf16: Whether that happens under autocast to bf16.
        """
        name = next(name for name, module in self.model.named_modules() if module is self.last)
        model = for_inference(pooled_only(self.model) if self.token == "first" else self.model, bf16=bf16)
        return replace(self, model=model, last=model.get_submodule(name))

    def states(self, batch: Batch) -> torch.Tensor:
        """Gives the states at the boundary (B, T, D), of all tokens or of the first; the layers above do not run."""
        attention = fast_attention if batch.input_ids.device.type == "cpu" else nullcontext
        with _stopped_after(self.last) as caught, torch.inference_mode(), attention():
            self.model.eval()
            with suppress(_Reached):
                self.model(**batch.inputs())
        return caught[0]


class Suffix(nn.Module):
    """What is above a prefix; called like the whole model, with the states at the boundary.

    Args:
        model: The whole model; the suffix shares its weights.
        prefix: What is left out.
    """

    def __init__(self, model: nn.Module, prefix: Prefix) -> None:
        super().__init__()
        self.given = _Given()
        self.view = without_prefix(model, prefix.layers, self.given, prefix.whole)

    def forward(self, states: torch.Tensor, **inputs: torch.Tensor) -> Any:
        """Gives the whole model's output.

        Args:
            states: At the boundary (B, T, D).
            **inputs: As of the stock forward pass, for the same tokens.
        """
        self.given.states = states
        try:
            return self.view(**inputs)
        finally:
            self.given.states = None


def find_prefix(model: Any, frozen: Frozen) -> Prefix | None:
    """Gives the frozen prefix of a model, or None where there is none, or none that can be told apart.

    Args:
        model: With a head.
        frozen: What `freeze` froze of it.
    """
    if frozen.layers == 0 or not frozen.embeddings or not has_prefix(model.config):
        return None
    parts = locate(model)
    top = [parameter for module in parts.top for parameter in module.parameters()]
    whole = frozen.layers == len(parts.layers) and not any(parameter.requires_grad for parameter in top)
    last = parts.last if whole and parts.last is not None else parts.layers[frozen.layers - 1]
    # Above the last layer every token goes its own way, so the head's token is all that is needed.
    alone = whole or (frozen.layers == len(parts.layers) and parts.last is None)
    return Prefix(model, last, frozen.layers, whole, pooled_token(model) if alone else None)


class _Given(nn.Module):
    """Gives the states that were put into it, whatever it is called with."""

    states: torch.Tensor | None = None

    def forward(self, *_: Any, **__: Any) -> torch.Tensor:
        assert self.states is not None
        return self.states


class _Reached(Exception):
    """The boundary was reached; nothing above it needs to run."""


@contextmanager
def _stopped_after(module: nn.Module) -> Iterator[list[torch.Tensor]]:
    """Catches a module's output and stops the forward pass there."""
    caught: list[torch.Tensor] = []

    def catch(_: nn.Module, __: Any, output: Any) -> None:
        caught.append(output[0] if isinstance(output, tuple) else output)
        raise _Reached

    handle = module.register_forward_hook(catch)
    try:
        yield caught
    finally:
        handle.remove()
