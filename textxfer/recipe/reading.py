"""YAML to plain data with the place of every key; closes YAML's traps.

`yes`, `no`, `on` and `off` are texts, `5e-5` is a number, a key that stands twice is an error, dates are texts, and
aliases cannot blow a small file up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from textxfer.errors import RecipeError
from textxfer.recipe.problems import Mark, Path, Problem

MOST_BYTES = 1 << 20
MOST_VALUES = 10_000
MOST_DEPTH = 50


@dataclass
class Document:
    """Plain data, and where each key stands.

    Attributes:
        data: The mapping that was read.
        marks: The place of each key, by the keys that lead to it; () is the whole.
        problems: What was wrong with the text itself.
    """

    data: dict[str, Any] = field(default_factory=dict)
    marks: dict[Path, Mark] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def mark(self, path: Path) -> Mark | None:
        """Gives the place of these keys, or of the nearest section around them."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.marks:
                return self.marks[path[:length]]
        return None


class _Resolver(yaml.SafeLoader):
    """YAML 1.2's core types, apart from octal and hexadecimal numbers."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


_INT, _FLOAT, _BOOL, _NULL, _STR = (f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "bool", "null", "str"))
_Resolver.add_implicit_resolver(_BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Resolver.add_implicit_resolver(_INT, re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789"))
_Resolver.add_implicit_resolver(
    _FLOAT, re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$"), list("-+.0123456789")
)
_Resolver.add_implicit_resolver(_NULL, re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])


def read_text(text: str, file: str) -> Document:
    """Reads a recipe's text.

    Args:
        text: YAML.
        file: Its name, for messages.

    Returns:
        The data, their places, and the problems found on the way.
    """
    document = Document()
    if len(text.encode()) > MOST_BYTES:
        document.problems.append(Problem((), f"is larger than {MOST_BYTES} bytes", Mark(file)))
        return document
    try:
        node = yaml.compose(text, _Resolver)
    except yaml.MarkedYAMLError as error:
        document.problems.append(_syntax_problem(error, text, file))
        return document
    except (yaml.YAMLError, RecursionError) as error:
        document.problems.append(Problem((), f"is not YAML: {str(error).splitlines()[0]}", Mark(file)))
        return document
    if node is None:
        document.problems.append(Problem((), "is empty; `textxfer init DATA` writes a recipe to start from", Mark(file)))
    elif not isinstance(node, yaml.MappingNode):
        document.problems.append(Problem((), "must be a list of `key: value` lines", Mark(file)))
    else:
        document.marks[()] = Mark(file)
        document.data = _Walk(text, file, document).value(node, ())
    return document


def read_value(text: str) -> Any:
    """Reads one value as a recipe would, for `key=value` on the command line.

    Raises:
        RecipeError: It is not YAML.
    """
    document = Document()
    try:
        node = yaml.compose(text, _Resolver)
    except (yaml.YAMLError, RecursionError) as error:
        raise RecipeError(f"`{text}` is not YAML: {str(error).splitlines()[0]}") from error
    value = None if node is None else _Walk(text, "command line", document).value(node, ())
    if document.problems:
        raise RecipeError(*(problem.message for problem in document.problems))
    return value


class _Walk:
    """Turns nodes into plain data and notes where keys stand."""

    def __init__(self, text: str, file: str, document: Document) -> None:
        self.lines = text.splitlines()
        self.file = file
        self.document = document
        self.values = 0

    def value(self, node: yaml.Node, path: Path) -> Any:
        self.values += 1
        if self.values > MOST_VALUES or len(path) > MOST_DEPTH:
            raise RecipeError(f"{self.file}: has more than {MOST_VALUES} values (aliases counted) or {MOST_DEPTH} levels")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, str(place))) for place, item in enumerate(node.value)]
        return dict(self._items(node, path))

    def _items(self, node: yaml.Node, path: Path) -> Iterator[tuple[str, Any]]:
        seen: dict[str, Mark] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
            here, mark = (*path, key), self._mark(key_node)
            if key in seen:
                message = f"stands twice; the first is on line {seen[key].line}"
                self.document.problems.append(Problem(here, message, mark))
                continue
            seen[key] = self.document.marks[here] = mark
            yield key, self.value(value_node, here)

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        text: str = node.value
        if node.tag == _STR:
            return text
        if node.tag == _NULL:
            return None
        if node.tag == _BOOL:
            return text.lower() == "true"
        if node.tag == _INT and len(text) < 20:
            return int(text)
        if node.tag in (_INT, _FLOAT):
            return float(text)
        self.document.problems.append(Problem(path, f"the tag {node.tag} is not allowed", self._mark(node)))
        return None

    def _mark(self, node: yaml.Node) -> Mark:
        at = node.start_mark
        text = self.lines[at.line] if at.line < len(self.lines) else ""
        return Mark(self.file, at.line + 1, at.column + 1, text)


def _syntax_problem(error: yaml.MarkedYAMLError, text: str, file: str) -> Problem:
    at = error.problem_mark or error.context_mark
    lines = text.splitlines()
    mark = Mark(file, at.line + 1, at.column + 1, lines[at.line] if at.line < len(lines) else "") if at else Mark(file)
    message = error.problem or "is not YAML"
    if "\\t" in message:
        message = "a tab stands here; YAML is indented with spaces"
    elif message == "mapping values are not allowed here":
        message = "a second `:` stands here; put the text in quotes, or check the indent"
    elif "could not find expected ':'" in message:
        message = "a `:` is missing here or on the line above"
    return Problem((), message, mark)
