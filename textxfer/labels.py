"""`LabelSet`: the names of the labels, in the order of their ids."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")


@dataclass(frozen=True)
class LabelSet:
    """The labels of a task; a label's id is its place.

    Attributes:
        names: One name per label id.
        counts: Rows of the training split with this label, per label id; empty where unknown.
    """

    names: tuple[str, ...]
    counts: tuple[int, ...] = field(default=(), compare=False)

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def id2label(self) -> dict[int, str]:
        """Names by id, as transformers' config.json has them."""
        return dict(enumerate(self.names))

    @cached_property
    def label2id(self) -> dict[str, int]:
        """Ids by name."""
        return {name: number for number, name in enumerate(self.names)}

    def reordered(self, names: Sequence[str]) -> LabelSet:
        """Gives the same labels and counts in another order of names."""
        assert sorted(names) == sorted(self.names)
        counts = tuple(self.counts[self.label2id[name]] for name in names) if self.counts else ()
        return LabelSet(tuple(names), counts)


def label_name(value: object) -> str | None:
    """Gives the name of a raw label: texts as they are, 1 and 1.0 as "1", true as "true"; None where missing."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if value != value:  # NaN: how pandas says missing
            return None
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value)


def is_number(name: str) -> bool:
    """Says whether a label's name is a decimal number."""
    return NUMBER.fullmatch(name) is not None


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Sorts label names: numbers ascending where all are numbers, else by code point."""
    unique = sorted(set(names))
    if all(map(is_number, unique)):
        unique.sort(key=float)
    return tuple(unique)


def twins(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    """Finds pairs of labels that look like one: "Pos" and "pos " (case, spaces, Unicode form), "1" and "1.0"."""
    seen: dict[str, str] = {}
    found = []
    for name in counts:
        key = unicodedata.normalize("NFKC", name).strip().casefold()
        key = repr(float(key)) if NUMBER.fullmatch(key) else key
        if key in seen:
            found.append((seen[key], name))
        seen.setdefault(key, name)
    return found
