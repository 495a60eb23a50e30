"""How values of the files look on the page: numbers, and texts that could be anything."""

from __future__ import annotations

import math
import re
from typing import Any

from markupsafe import Markup

AT_ONCE = 240
"""Characters of a text that are shown without unfolding it."""
SHOWN_CHARACTERS = 800
"""Characters of a text that the page holds, where it holds many."""

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def score(value: Any, digits: int = 3) -> str:
    """Gives a fraction with three digits, a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.{digits}f}".replace("-", "−")


def count(value: Any) -> str:
    """Gives a number with commas: 12,345."""
    return "–" if value is None else f"{value:,}".replace("-", "−")


def percent(value: float) -> str:
    """Gives a fraction as whole per cent."""
    return f"{100 * value:.0f} %"


def visible(text: str) -> str:
    """Gives a text with a symbol in the place of each control character; no character moves."""
    return _CONTROL.sub(lambda found: _symbol(ord(found[0])), text)


def isolated(text: Any) -> Markup:
    """Gives a text that cannot turn around what stands beside it, whatever its direction."""
    return Markup("<bdi>{}</bdi>").format(visible(str(text)))


def breakable(text: Any) -> Markup:
    """Gives an isolated text that may go on in a new line after each slash."""
    return Markup("<bdi>{}</bdi>").format(Markup("/<wbr>").join(visible(str(text)).split("/")))


def sentence(text: str) -> str:
    """Gives a message as a sentence: with a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."


def shortened(text: str, most: int = SHOWN_CHARACTERS, length: int | None = None) -> str:
    """Gives a text of at most `most` characters; one that is cut says how long it was.

    Args:
        text: The text, or its beginning.
        most: Characters that are kept.
        length: Characters of the whole text, where `text` is its beginning.
    """
    length = len(text) if length is None else length
    return text if length <= most else f"{text[:most]}…({count(length)} characters)"


def unfolding(text: Any) -> Markup:
    """Gives a text; of a long one the beginning, which unfolds the rest. Markup stays as it is."""
    if isinstance(text, Markup):
        return text
    text = visible(str(text))
    if len(text) <= AT_ONCE + 80:
        return isolated(text)
    cut = text.rfind(" ", AT_ONCE - 40, AT_ONCE) + 1 or AT_ONCE
    return Markup("<details class=text><summary><bdi>{}</bdi></summary><bdi>{}</bdi></details>").format(
        text[:cut], text[cut:]
    )


def plural(number: int, what: str) -> str:
    """Gives a number of things: "1 row", "2 rows"."""
    return f"{count(number)} {what}{'' if number == 1 else 's'}"


def _symbol(code: int) -> str:
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else "\ufffd"
