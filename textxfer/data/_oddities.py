"""What looks wrong in a single text: signs of a wrong encoding, invisible characters, markup; and its script."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter

# What UTF-8's second and later bytes look like when they are read as Windows-1252 or Latin-1.
_LATER = "[\u0080-\u00bf" + "".join(bytes([byte]).decode("cp1252", "ignore") for byte in range(0x80, 0xA0)) + "]"
_WRONGLY_READ = re.compile(
    f"[\u00c2\u00c3]{_LATER}|\u00e2\u20ac{_LATER}|\u00f0\u0178{_LATER}|\u00ef\u00bb\u00bf"
    f"|(?:[\u00c4-\u00df]{_LATER}){{2}}|(?:[\u00e0-\u00ef]{_LATER}{{2}}){{2}}"
)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]")
_DIRECTION = re.compile("[\u202a-\u202e\u2066-\u2069]")
_MARKUP = re.compile(
    r"&(?:[a-zA-Z]{2,8}|#\d{2,6}|#[xX][0-9a-fA-F]{2,5});|(?<![\w&])#\d{2,4};"
    r"|</?(?:a|b|br|div|em|font|h[1-6]|i|img|li|p|script|span|strong|style|table|td|tr|ul)(?:\s[^<>]{0,300})?/?>",
    re.IGNORECASE,
)

ODDITIES = {
    "lost_characters": "U+FFFD, which stands where a file was read in a wrong encoding and a character was lost",
    "wrong_encoding": "characters such as 'Ã©' for 'é', from a text that was once read in a wrong encoding",
    "control_characters": "control characters, such as NUL",
    "direction_marks": "invisible marks that turn the direction of writing, such as U+202E",
    "markup": "HTML, such as '&amp;' or '<br>'",
}
"""What each oddity is in words, the worst first."""

_SCRIPTS = {"Cjk": "Chinese or Japanese", "Hiragana": "Chinese or Japanese", "Katakana": "Chinese or Japanese"}


def oddities(text: str) -> list[str]:
    """Gives the oddities of a text, as `ODDITIES` names them."""
    found = []
    if not text.isascii():
        if "\ufffd" in text:
            found.append("lost_characters")
        if _WRONGLY_READ.search(text):
            found.append("wrong_encoding")
        if _DIRECTION.search(text):
            found.append("direction_marks")
    if not text.isprintable() and _CONTROL.search(text):
        found.append("control_characters")
    if (";" in text or "<" in text) and _MARKUP.search(text):
        found.append("markup")
    return found


def script_of(text: str) -> str | None:
    """Gives the script that most of a text's different letters are of, as in "Latin"; None where there are none."""
    if text.isascii():
        return "Latin" if any(map(str.isalpha, text)) else None
    counts = Counter(script for character in set(text) if (script := _script(character)) is not None)
    return max(counts, key=lambda script: (counts[script], script)) if counts else None


@functools.lru_cache(maxsize=2**16)
def _script(character: str) -> str | None:
    """Gives the script of a letter by the first word of its Unicode name."""
    base = unicodedata.normalize("NFKC", character)[0]
    if not base.isalpha() or unicodedata.category(base) == "Lm":  # modifiers are of no script
        return None
    first = unicodedata.name(base, "").partition(" ")[0].title()
    return _SCRIPTS.get(first, first) or None
