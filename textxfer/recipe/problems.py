"""What is wrong with a recipe, in words: file, line, column, the line itself, what to do."""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from textxfer.recipe.sections import PATTERNS
from textxfer.registry import unknown
from textxfer.section import Section

Path = tuple[str, ...]

_TOKEN = re.compile(r"\bhf_\w{4,}")
"""A token of the Hub, which has no place in a recipe, and less in a log."""
COMMAND_LINE = "command line"
"""The "file" of what stands there."""


@dataclass(frozen=True)
class Mark:
    """Where something stands in a file.

    Attributes:
        file: The file as the user named it, or `COMMAND_LINE`.
        line: From 1; 0 where there are no lines.
        column: From 1.
        text: The whole line.
    """

    file: str
    line: int = 0
    column: int = 0
    text: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True)
class Problem:
    """One mistake.

    Attributes:
        path: The keys that lead to it, as in ("train", "epochs"); "[0]" is the first of a list.
        message: What is wrong and what to do.
        mark: Where it stands, if known.
    """

    path: Path
    message: str
    mark: Mark | None = None

    @property
    def order(self) -> tuple[Any, ...]:
        """Where it belongs in a list of problems: by place, those of the command line last."""
        mark = self.mark or Mark("")
        return mark.file == COMMAND_LINE, mark.file, mark.line, mark.column, self.path

    def __str__(self) -> str:
        dotted = ".".join(self.path).replace(".[", "[")
        parts = [str(self.mark) if self.mark else "", dotted, self.message]
        line = ": ".join(part for part in parts if part)
        if self.mark and self.mark.text.strip():
            line += f"\n    {self.mark.text.strip()}"
        return _TOKEN.sub("hf_...", line)


def from_validation(error: ValidationError, data: Mapping[str, Any], schema: type[Section]) -> list[Problem]:
    """Turns pydantic's errors into problems, one for each key.

    Args:
        error: What validating raised.
        data: What was validated.
        schema: The recipe class it was raised for; it knows the legal keys.
    """
    problems: list[Problem] = []
    expected: dict[Path, list[str]] = {}
    given: dict[Path, Any] = {}
    items = error.errors(include_url=False)
    places = [_place(item["loc"], data, schema) for item in items]
    around = {path[:length] for path, _ in places for length in range(len(path))}
    for item, (path, section) in zip(items, places, strict=True):
        kind = item["type"]
        if path in around:
            continue  # a value of several legal kinds: the one that it nearly is says what is wrong within
        if kind == "extra_forbidden":
            problems.append(Problem(path, unknown(path[-1], section.model_fields, what="key")))
        elif kind == "missing":
            problems.append(Problem(path, "is missing"))
        elif kind == "too_short" and item["ctx"]["actual_length"]:
            problems.append(
                Problem(path, "must be a list of {min_length} or more, not of {actual_length}".format(**item["ctx"]))
            )
        elif kind in _EXPECTED:
            expected.setdefault(path, []).append(_EXPECTED[kind](item.get("ctx", {})))
            given[path] = item["input"]
        elif kind == "value_error":
            problems.append(Problem(path, str(item["ctx"]["error"])))
        else:
            problems.append(Problem(path, item["msg"]))
    for path, phrases in expected.items():
        legal = " or ".join(dict.fromkeys(phrases))
        problems.append(Problem(path, f"must be {legal}, not {_shown(given[path])}"))
    return problems


def _place(
    location: tuple[int | str, ...], data: Mapping[str, Any], schema: type[Section]
) -> tuple[Path, type[Section]]:
    """Gives the keys that a location names (without pydantic's own words for union members), and the last section."""
    keys: list[str] = []
    value: Any = data
    section: type[Section] | None = schema
    last = schema
    for part in location:
        known = section is not None and part in section.model_fields
        in_mapping = isinstance(value, Mapping) and (part in value or known)
        in_list = isinstance(value, (list, tuple)) and isinstance(part, int)
        if not in_mapping and not in_list:
            continue
        keys.append(f"[{part}]" if in_list else str(part))
        value = value[part] if in_list else value.get(part)
        if section is not None and not in_list:  # those of a list are all of one kind
            last = section
            field = section.model_fields.get(str(part))
            section = _section_in(field.annotation) if field else None
    return tuple(keys), last


def _section_in(annotation: Any) -> type[Section] | None:
    """Gives the section that a field holds, if it holds one, or a list of such, perhaps beside None."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next(filter(None, map(_section_in, typing.get_args(annotation))), None)


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a section"
    if isinstance(value, (list, tuple)):
        return "a list" if value else "an empty list"
    return f"`{str(value)[:60]}`"


def _phrase(words: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda context: words.format(**context)


def _one_of(context: Mapping[str, Any]) -> str:
    return str(context["expected"]).replace("'", "`").replace(" or ", ", ")


_EXPECTED: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "int_type": _phrase("a whole number"),
    "int_from_float": _phrase("a whole number"),
    "float_type": _phrase("a number"),
    "finite_number": _phrase("a finite number"),
    "bool_type": _phrase("true or false"),
    "string_type": _phrase("a text"),
    "tuple_type": _phrase("a list"),
    "dict_type": _phrase("a section of `key: value` lines"),
    "model_type": _phrase("a section of `key: value` lines"),
    "literal_error": _one_of,
    "greater_than": _phrase("more than {gt:g}"),
    "greater_than_equal": _phrase("at least {ge:g}"),
    "less_than": _phrase("less than {lt:g}"),
    "less_than_equal": _phrase("at most {le:g}"),
    "too_short": _phrase("a list that is not empty"),
    "string_pattern_mismatch": lambda context: PATTERNS.get(context["pattern"], f"of the form {context['pattern']}"),
}
