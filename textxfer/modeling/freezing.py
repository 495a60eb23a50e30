"""What is trained and what is not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from textxfer.errors import RecipeError
from textxfer.modeling.anatomy import Parts, locate

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class PartSize:
    """How many parameters a part has.

    Attributes:
        part: "embeddings", "layers 0-3", "head" ...
        trainable: Parameters that are trained.
        total: All parameters.
    """

    part: str
    trainable: int
    total: int


@dataclass(frozen=True)
class Frozen:
    """The modules that keep their weights, and the size of every part.

    Attributes:
        modules: Frozen modules; they stay in eval mode, so that they are a fixed feature extractor.
        table: Sizes, bottom to top.
        layers: Number of frozen layers.
        embeddings: Whether the embeddings are frozen.
    """

    modules: tuple[nn.Module, ...]
    table: tuple[PartSize, ...]
    layers: int
    embeddings: bool

    @property
    def trainable(self) -> int:
        """Parameters that are trained."""
        return sum(size.trainable for size in self.table)

    @property
    def total(self) -> int:
        """All parameters."""
        return sum(size.total for size in self.table)


def freeze(model: nn.Module, layers: int | Literal["all"] = 0, embeddings: bool | None = None) -> Frozen:
    """Freezes the lowest layers of a model.

    Args:
        model: With a head.
        layers: How many layers, from the bottom; `all` also freezes the final norm and a decoder (a linear probe).
        embeddings: Whether the embeddings are frozen; default: as soon as a layer is.

    Raises:
        RecipeError: There are fewer layers.
    """
    parts = locate(model)
    depth = len(parts.layers)
    count = depth if layers == "all" else layers
    if count > depth:
        raise RecipeError(f"freeze.layers: is {count}, but the checkpoint has {depth} layers (0 to {depth}, or `all`)")
    with_embeddings = count > 0 if embeddings is None else embeddings
    chosen: list[nn.Module] = list(parts.layers[:count])
    chosen += parts.embeddings if with_embeddings else []
    chosen += parts.top if layers == "all" else []
    for parameter in _parameters(chosen):
        parameter.requires_grad_(False)
    return Frozen(tuple(chosen), tuple(_table(model, parts, count)), count, with_embeddings)


def freeze_in_turn(model: nn.Module, freezes: Sequence[tuple[int | Literal["all"], bool | None]]) -> list[Frozen]:
    """Gives what each of several ways to freeze a stock model keeps; what any of them trains is left trainable.

    Args:
        model: With a head; what is not trainable before is not trained under any.
        freezes: Layers and embeddings, as `freeze` takes them.

    Raises:
        RecipeError: There are fewer layers.
    """
    free = [parameter for parameter in model.parameters() if parameter.requires_grad]
    trained: set[int] = set()
    found = []
    for layers, embeddings in freezes:
        for parameter in free:
            parameter.requires_grad_(True)
        found.append(freeze(model, layers, embeddings))
        trained |= {id(parameter) for parameter in free if parameter.requires_grad}
    for parameter in free:
        parameter.requires_grad_(id(parameter) in trained)
    return found


def fewest_layers(freezes: Sequence[tuple[int | Literal["all"], bool | None]]) -> int | Literal["all"]:
    """Gives the smallest number of layers that any of several ways to freeze a model freezes."""
    numbers = [layers for layers, _ in freezes if layers != "all"]
    return min(numbers) if numbers else "all"


def hold(frozen: Frozen, trained: Iterable[nn.Parameter]) -> None:
    """Freezes what one of several ways to freeze a model keeps, and no more.

    Args:
        frozen: One of those that `freeze_in_turn` gave.
        trained: All that any of them trains.
    """
    for parameter in trained:
        parameter.requires_grad_(True)
    for parameter in _parameters(frozen.modules):
        parameter.requires_grad_(False)


def train_mode(model: nn.Module, frozen: Sequence[nn.Module]) -> None:
    """Puts a model into training mode, its frozen modules excepted: no dropout there."""
    model.train()
    for module in frozen:
        module.eval()


def _table(model: nn.Module, parts: Parts, count: int) -> Iterable[PartSize]:
    depth = len(parts.layers)
    groups: list[tuple[str, Sequence[nn.Module]]] = [("embeddings", parts.embeddings)]
    for first, end in ((0, count), (count, depth)):
        if first < end:
            name = f"layer {first}" if end - first == 1 else f"layers {first}-{end - 1}"
            groups.append((name, parts.layers[first:end]))
    if parts.top:
        groups.append(("top of the backbone", parts.top))
    seen: set[int] = set()
    for name, modules in [*groups, ("head", [model])]:
        own = [parameter for parameter in _parameters(modules) if id(parameter) not in seen]
        seen.update(id(parameter) for parameter in own)
        if own:
            trainable = sum(parameter.numel() for parameter in own if parameter.requires_grad)
            yield PartSize(name, trainable, sum(parameter.numel() for parameter in own))


def _parameters(modules: Iterable[nn.Module]) -> Iterable[nn.Parameter]:
    return {id(parameter): parameter for module in modules for parameter in module.parameters()}.values()
