"""A page taken apart: its elements, texts and sections, with the standard library alone."""

from __future__ import annotations

import re
from html.parser import HTMLParser

EMPTY = {"meta", "link", "input", "br", "wbr", "path", "use", "rect"}


class Page(HTMLParser):
    """What a browser would find in a page.

    Attributes:
        html: The page as it is.
        elements: (tag, attributes) in order.
        sections: The text of each section, by its id.
        text: All text outside style and script.
        wrong: Tags that were closed out of order or not at all.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.sections: dict[str, str] = {}
        self.text = ""
        self.wrong: list[str] = []
        self.open: list[tuple[str, str | None]] = []
        self.feed(html)
        self.close()
        self.wrong += [f"<{tag}> stays open" for tag, _ in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if tag == "section":
            self.sections[str(attributes["id"])] = ""
        if tag not in EMPTY:
            self.open.append((tag, attributes.get("id") if tag == "section" else None))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in EMPTY:
            return
        if not self.open or self.open[-1][0] != tag:
            self.wrong.append(f"</{tag}> closes {self.open[-1:]}")
            return
        for _, section in self.open:
            if section is not None and tag in ("td", "th", "summary", "option"):
                self.sections[section] += " "
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1][0] in ("style", "script"):
            return
        self.text += data
        for _, section in self.open:
            if section is not None:
                self.sections[section] += data

    def words(self, section: str) -> str:
        """Gives a section's text with single spaces, without the marks that isolate names."""
        return re.sub(r"\s+", " ", re.sub("[\u2068\u2069]", "", self.sections[section])).strip()

    def all(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        """Gives the attributes of every such element; `class_` is one of its classes."""
        wanted = attributes.pop("class_", None)
        return [
            found
            for name, found in self.elements
            if name == tag
            and all(found.get(key) == value for key, value in attributes.items())
            and (wanted is None or wanted in (found.get("class") or "").split())
        ]
