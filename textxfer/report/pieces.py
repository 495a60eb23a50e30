"""What a page is made of: sections of cards, figures, tables, sentences and code. The template draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias

from markupsafe import Markup

Kind = Literal["text", "label", "id", "count", "score", "long"]
"""How cells look: `text` is our own, `label` and `id` are names, `long` is a text of any length, `score` a fraction."""


@dataclass(frozen=True)
class Card:
    """One score.

    Attributes:
        title: Its name in words.
        value: The score.
        meaning: What it says, in a sentence.
        low: Lower end of its interval, where there is one.
        high: Upper end.
        notes: More about it, a sentence each.
    """

    title: str
    value: float
    meaning: str
    low: float | None = None
    high: float | None = None
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Cards:
    """Scores side by side."""

    kind: ClassVar[str] = "cards"
    cards: Sequence[Card]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: Its head.
        kind: How its cells look.
    """

    title: str
    kind: Kind = "text"


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        caption: What it holds, for those who hear it and as the title where it is folded.
        columns: Their heads and kinds.
        rows: Cells by row; None is shown as a dash.
        folded: Whether it opens on demand.
        sortable: Whether its heads sort.
    """

    kind: ClassVar[str] = "table"
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    folded: bool = False
    sortable: bool = False


@dataclass(frozen=True)
class Figure:
    """A drawing with its words.

    Attributes:
        title: What is drawn.
        svg: The drawing.
        legend: (style, words) of what is drawn in several ways.
        reading: How to read it.
        table: The same as numbers, where no table beside it says them.
        wide: Whether it takes the whole width and scrolls where that is not enough.
    """

    title: str
    svg: Markup
    reading: str
    table: Table | None
    legend: Sequence[tuple[str, str]] = ()
    wide: bool = False


@dataclass(frozen=True)
class Figures:
    """Drawings side by side."""

    kind: ClassVar[str] = "figures"
    figures: Sequence[Figure]


@dataclass(frozen=True)
class Sentences:
    """Lines of prose."""

    kind: ClassVar[str] = "sentences"
    lines: Sequence[str]


@dataclass(frozen=True)
class Code:
    """Text to be read or copied as it is."""

    kind: ClassVar[str] = "code"
    caption: str
    text: str
    folded: bool = False


@dataclass(frozen=True)
class Explorer:
    """A table of rows with a search, a choice and a switch for what is wrong.

    Attributes:
        table: The rows.
        choice: What the choice is of: "Label".
        choices: What can be chosen.
        tags: By row, what it belongs to of the choices.
        wrong: By row, whether it is wrong.
    """

    kind: ClassVar[str] = "explorer"
    table: Table
    choice: str
    choices: Sequence[str]
    tags: Sequence[Sequence[str]]
    wrong: Sequence[bool]

    @property
    def places(self) -> list[list[int]]:
        """By row, the places of its tags in the choices."""
        place = {choice: number for number, choice in enumerate(self.choices)}
        return [[place[tag] for tag in tags] for tags in self.tags]


Block: TypeAlias = Cards | Table | Figures | Sentences | Code | Explorer


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        id: Its anchor.
        title: Its heading.
        blocks: What it shows.
        lead: Its finding in a sentence or two.
        reading: How to read it.
    """

    id: str
    title: str
    blocks: Sequence[Block]
    lead: str = ""
    reading: str = ""


@dataclass(frozen=True)
class Head:
    """The top of the page.

    Attributes:
        name: Of the run.
        verdict: Sentences that say how good the model is.
        facts: What was run on what, by name.
        notes: What could not be read.
    """

    name: str
    verdict: Sequence[str]
    facts: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
