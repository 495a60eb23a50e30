"""Rows that show what a finding says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from textxfer.data.columns import row_texts
from textxfer.records import Splits

MOST_EXAMPLES = 50
MOST_CHARACTERS = 200
"""Of an example's text."""


@dataclass(frozen=True)
class Example:
    """A row that shows what a finding says.

    Attributes:
        split: Its split.
        row: Its place there, from 1.
        id: Its id.
        text: Its text or texts, cut to 200 characters.
        about: What is to be seen, or "".
    """

    split: str
    row: int
    id: str
    text: str
    about: str = ""


class ShownRows:
    """The texts of all rows, and examples made of them.

    Attributes:
        texts: By split: the text of each row; of rows with two texts, both.
    """

    def __init__(self, splits: Splits) -> None:
        self.splits = splits
        self.texts = {name: row_texts(split.rows) for name, split in splits.present(reserved=True)}

    def all(self) -> Iterator[tuple[str, int, str]]:
        """Gives (split, place, text) of all rows."""
        for name, texts in self.texts.items():
            for row, text in enumerate(texts):
                yield name, row, text

    def examples(self, places: Iterable[tuple[str, int]], about: Sequence[str] = ()) -> tuple[Example, ...]:
        """Shows the first rows of these, each with what is said of it."""
        made = []
        for number, (name, row) in zip(range(MOST_EXAMPLES), places, strict=False):
            said = about[number] if number < len(about) else ""
            row_id = str(getattr(self.splits, name).rows[int(row)]["id"])
            made.append(Example(name, int(row) + 1, row_id, self.texts[name][row][:MOST_CHARACTERS], said))
        return tuple(made)

    def per_split(self, places: Sequence[tuple[str, int]]) -> str:
        """Says how many rows of each split these are, as in "train 12, test 3"."""
        counts = Counter(name for name, _ in places)
        return ", ".join(f"{name} {count:,}" for name, count in counts.items())
