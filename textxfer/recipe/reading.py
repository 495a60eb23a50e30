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

MOST_BYTES = 1 << 18
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
_NUMBER = r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$"
RESOLVERS = (
    (_BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    (_INT, re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789")),
    (_FLOAT, re.compile(_NUMBER), list("-+.0123456789")),
    (_NULL, re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
)
"""The texts without quotes that are no texts: tag, form, first characters."""

for _tag, _pattern, _first in RESOLVERS:
    _Resolver.add_implicit_resolver(_tag, _pattern, _first)


class _TooMuch(Exception):
    """The text says more than a recipe could."""


def read_text(text: str, file: str) -> Document:
    """Reads a recipe's text.

    Args:
        text: YAML.
        file: Its name, for messages.

    Returns:
        The data, their places, and the problems found on the way; no data where the text is not YAML at all.
    """
    document = Document()
    document.marks[()] = Mark(file)
    lines = text.splitlines()
    try:
        node = yaml.compose(text, _Resolver)
        if node is None:
            message = "is empty; `textxfer init DATA` writes a recipe to start from"
            document.problems.append(Problem((), message, Mark(file)))
        elif not isinstance(node, yaml.MappingNode):
            document.problems.append(Problem((), "must be made of `key: value` lines", Mark(file)))
        else:
            document.data = _Walk(lines, file, document).value(node, ())
    except yaml.MarkedYAMLError as error:
        document.problems.append(_syntax_problem(error, lines, file))
    except _TooMuch as error:
        document.problems.append(Problem((), str(error), Mark(file)))
    except (yaml.YAMLError, RecursionError) as error:
        document.problems.append(Problem((), f"is not YAML: {str(error).splitlines()[0]}", Mark(file)))
    return document


def read_value(text: str) -> Any:
    """Reads one value as a recipe would, for `key=value` on the command line.

    Raises:
        RecipeError: It is not YAML.
    """
    document = Document()
    try:
        node = yaml.compose(text, _Resolver)
        value = None if node is None else _Walk(text.splitlines(), "", document).value(node, ())
    except yaml.MarkedYAMLError as error:
        raise RecipeError(f"`{text[:60]}` is not YAML: {_in_words(error)[0]}") from error
    except (_TooMuch, yaml.YAMLError, RecursionError) as error:
        raise RecipeError(f"`{text[:60]}` is not YAML: {str(error).splitlines()[0]}") from error
    if document.problems:
        raise RecipeError(*(f"`{text[:60]}`: {problem.message}" for problem in document.problems))
    return value


class _Walk:
    """Turns nodes into plain data and notes where keys and list items stand."""

    def __init__(self, lines: list[str], file: str, document: Document) -> None:
        self.lines = lines
        self.file = file
        self.document = document
        self.values = 0

    def value(self, node: yaml.Node, path: Path) -> Any:
        self.values += 1
        if self.values > MOST_VALUES or len(path) > MOST_DEPTH:
            raise _TooMuch(f"has more than {MOST_VALUES} values (aliases counted) or {MOST_DEPTH} levels")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._item(item, (*path, f"[{place}]")) for place, item in enumerate(node.value)]
        return dict(self._items(node, path))

    def _item(self, node: yaml.Node, path: Path) -> Any:
        self.document.marks[path] = self._mark(node)
        return self.value(node, path)

    def _items(self, node: yaml.Node, path: Path) -> Iterator[tuple[str, Any]]:
        seen: dict[str, Mark] = {}
        for key_node, value_node in node.value:
            mark = self._mark(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                self.document.problems.append(Problem(path, "a list or a section stands where a key should", mark))
                continue
            key = str(key_node.value)
            here = (*path, key)
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
        if node.tag == _BOOL and text.lower() in ("true", "false"):
            return text.lower() == "true"
        try:
            if node.tag == _INT and len(text) < 20:
                return int(text)
            if node.tag in (_INT, _FLOAT):
                return float(text)
        except ValueError:
            pass
        self.document.problems.append(Problem(path, f"cannot be read by its tag {node.tag}", self._mark(node)))
        return None

    def _mark(self, node: yaml.Node) -> Mark:
        return _mark(node.start_mark, self.lines, self.file)


def _mark(at: Any, lines: list[str], file: str) -> Mark:
    return Mark(file, at.line + 1, at.column + 1, lines[at.line] if at.line < len(lines) else "")


_WORDS = {
    "mapping values are not allowed here": "a second `:` stands here; put the text in quotes, or check the indent",
    "found another document": "a second document begins here; a recipe is one, without `---` inside",
    "could not find expected ':'": "a `:` is missing here or on the line above",
    "found undefined alias": "`*` begins a reference to nothing; put quotes around a text that begins with it",
    "<block end>": "the indent does not fit the lines above",
    "that cannot start any token": "a text that begins with this character needs quotes around it",
}
_UNCLOSED = {
    "a flow mapping": "a `{` opens here that is not closed",
    "a flow sequence": "a `[` opens here that is not closed",
    "a flow node": "a `[` or `{` is not closed",
    "a quoted scalar": "a quote opens here that is not closed",
}


def _in_words(error: yaml.MarkedYAMLError) -> tuple[str, Any]:
    """Gives what is wrong in a user's words, and where."""
    problem, context = error.problem or "is not YAML", error.context or ""
    if "\\t" in problem:
        return "a tab stands here; YAML is indented with spaces", error.problem_mark
    if "stream end" in problem or "end of stream" in problem or "expected ',' or" in problem:
        for part, words in _UNCLOSED.items():
            if part in context:
                return words, error.context_mark
    words = next((words for part, words in _WORDS.items() if part in problem), problem)
    return words, error.problem_mark or error.context_mark


def _syntax_problem(error: yaml.MarkedYAMLError, lines: list[str], file: str) -> Problem:
    message, at = _in_words(error)
    return Problem((), message, _mark(at, lines, file) if at else Mark(file))
