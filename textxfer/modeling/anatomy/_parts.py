"""The parts of a network, bottom to top."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Parts:
    """What a backbone is made of; everything else in a model is its head.

    Attributes:
        embeddings: What turns tokens into vectors, and tables that all layers share.
        layers: Encoder layers, or decoder layers where there is no encoder; 0 is nearest the embeddings.
        top: What is frozen only with the whole backbone: the final norm, an encoder-decoder's decoder.
        last: The module whose output is the whole backbone's, before its final norm, where it is not the last layer.
    """

    embeddings: Sequence[nn.Module]
    layers: Sequence[nn.Module]
    top: Sequence[nn.Module] = ()
    last: nn.Module | None = None


Seen = TypeVar("Seen", bound="nn.Module")


HOOKS = (
    "_forward_hooks",
    "_forward_hooks_always_called",
    "_forward_hooks_with_kwargs",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
)


def view(module: Seen, **children: nn.Module) -> Seen:
    """Gives a module that shares all weights with another, some of its children replaced.

    Hooks that either gets from now on are its own: `transformers` collects hidden states by some.
    """
    seen = copy.copy(module)
    seen._modules = {**module._modules, **children}
    for name in HOOKS:
        setattr(seen, name, copy.copy(getattr(module, name)))
    return seen
