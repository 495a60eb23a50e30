"""What a head promises, and how one is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from textxfer import registry
from textxfer.errors import RecipeError

if TYPE_CHECKING:
    import torch


class Head(Protocol):
    """A head: a torch module. Letters in shapes: B texts, T tokens, D values of a state, C labels.

    Attributes:
        token: The one token whose state it looks at, "first" or "last"; None where it looks at more.
        last: The linear layer whose output is the logits, which can be fitted to start with and takes a temperature;
            None where there is none.
    """

    token: Literal["first", "last"] | None
    last: torch.nn.Linear | None

    def __call__(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Gives the logits (B, C), the same whatever padding there is.

        Args:
            hidden: States of the tokens after the backbone (B, T, D), padded on the right; of one token alone (T = 1)
                where the head looks at no other.
            mask: 1 on tokens, 0 on padding; as wide as the text is.
        """
        ...

    def named_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        """Gives its weights by name."""
        ...


@dataclass(frozen=True)
class StockHead:
    """Stands on the shelf for a head that belongs to a stock model of transformers, so that none is made."""


@dataclass(frozen=True)
class HeadChoice:
    """Which head a model has.

    Attributes:
        name: On the shelf.
        options: What it is made with: plain data, as JSON has it.
    """

    name: str
    options: Mapping[str, Any]

    def make(self, hidden_size: int, num_labels: int) -> Any:
        """Makes the head, with new weights from the random numbers of torch.

        Args:
            hidden_size: D.
            num_labels: C.

        Raises:
            RecipeError: There is no such head, or it does not take these options.
        """
        member = registry.load("heads", self.name)
        try:
            return member(hidden_size, num_labels, **self.options)
        except (TypeError, ValueError, KeyError) as error:
            told = ", ".join(f"{key} {value}" for key, value in self.options.items())
            raise RecipeError(f"the head `{self.name}` cannot be made of {told or 'no options'}: {error}") from error


def is_stock(name: str) -> bool:
    """Says whether a head belongs to a stock model; an unknown one does not."""
    try:
        return isinstance(registry.load("heads", name), StockHead)
    except RecipeError:
        return False
