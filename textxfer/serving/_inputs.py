"""What a pipeline may be called with: every form of it as rows, and long streams of rows in pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from textxfer.errors import DataError

Row = dict[str, str]

TEXT_FORM = "a str or {'text': ..., 'text_pair': ...}"
PAIR_FORM = "{'text': ..., 'text_pair': ...} (the model labels pairs of texts)"
QUESTION_FORM = "{'question': ..., 'context': ...}"
MOST_ROWS = 1024
MOST_CHARACTERS = 1 << 18


def text_rows(texts: Any, pairs: bool | None = None) -> Iterator[Row]:
    """Gives a row for each text or pair, as they come.

    Args:
        texts: One or many.
        pairs: Whether the model labels pairs, and so takes no single texts.

    Raises:
        DataError: The input is no text and not many of them; or, at its place, one of them is none.
    """
    if pairs:
        for place, pair in enumerate(_items(texts, PAIR_FORM)):
            yield _checked(pair, place, PAIR_FORM, ("text", "text_pair"))
        return
    first: Row | None = None
    for place, text in enumerate(_items(texts, TEXT_FORM)):
        row = {"text": text} if isinstance(text, str) else text
        row = _checked(row, place, TEXT_FORM, ("text",), ("text_pair",))
        first = first or row
        if len(row) != len(first):
            raise DataError("some inputs have a text_pair and some have none; call once for each kind")
        yield row


def question_rows(questions: Any) -> Iterator[Row]:
    """Gives a row for each question with its context, as they come; see `text_rows`."""
    items = _items([questions] if isinstance(questions, str) else questions, QUESTION_FORM)
    for place, item in enumerate(items):
        yield _checked(item, place, QUESTION_FORM, ("question", "context"))


def pieces(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Cuts a stream into lists of rows; whatever stops the stream is raised after the rows before it."""
    piece: list[Row] = []
    characters = 0
    problem = None
    while True:
        try:
            row = next(rows)
        except StopIteration:
            break
        except Exception as error:
            problem = error
            break
        piece.append(row)
        characters += sum(map(len, row.values()))
        if len(piece) >= MOST_ROWS or characters >= MOST_CHARACTERS:
            yield piece
            piece, characters = [], 0
    if piece:
        yield piece
    if problem is not None:
        raise problem


def _items(inputs: Any, form: str) -> Iterable[Any]:
    if isinstance(inputs, bytes) or not isinstance(inputs, Iterable):
        raise DataError(f"input must be {form}, or many of them, not {inputs!r:.80}")
    if hasattr(inputs, "to_dict") and hasattr(inputs, "columns"):  # a pandas DataFrame, which iterates over their names
        rows: list[Any] = inputs.to_dict("records")
        return rows
    return inputs


def _checked(item: Any, place: int, form: str, needed: tuple[str, ...], optional: tuple[str, ...] = ()) -> Row:
    """Gives an input's texts, by name; names that are not known stay out."""
    if not isinstance(item, Mapping) or not all(isinstance(item.get(name), str) for name in needed):
        raise DataError(f"input {place} must be {form}, not {item!r:.80}")
    row = {name: item[name] for name in (*needed, *optional) if item.get(name) is not None}
    for name, text in row.items():
        if not isinstance(text, str):
            raise DataError(f"input {place} must be {form}, not {item!r:.80}")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            message = f"input {place}: `{name}` is not valid Unicode from character {error.start} on; decode it anew"
            raise DataError(message) from None
    return row
