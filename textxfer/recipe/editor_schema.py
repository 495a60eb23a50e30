"""The recipe described for others: a JSON Schema for editors, and the pages of `recipes/REFERENCE.md` for people.

Both are made from the sections' fields, their defaults and the texts under them, so they cannot disagree with what is
checked. They describe the tasks, heads and metrics that come with textxfer, not those of plugins.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from textxfer import registry
from textxfer.recipe.schema import NEEDED, SHORTHANDS, Recipe
from textxfer.recipe.sections import PATTERNS
from textxfer.section import NATIVE, Section

COMMANDS = (
    "python -m textxfer schema > recipes/recipe.schema.json",
    "python -m textxfer schema --reference > recipes/REFERENCE.md",
)
"""They write both files anew."""
SHELVES = {"task": "tasks", "head": "heads"}
"""Sections whose fields are those of the member of a shelf that they name."""

Schema = dict[str, Any]


def json_schema() -> Schema:
    """Gives the JSON Schema of a recipe file, with shorthands and all built-in tasks and heads."""
    sections, inner = _sections()
    properties = {name: _bare(name) if name in sections else part for name, part in _fields(Recipe).items()}
    metrics = {"enum": list(registry.built_in("metrics"))}
    evaluate = sections["evaluate"]["properties"]
    evaluate["metrics"]["anyOf"][0]["items"] = {"anyOf": [metrics, {"type": "string"}]}
    evaluate["select_by"]["anyOf"].insert(0, metrics)
    for section, key in SHORTHANDS.items():
        whole = {"$ref": f"#/$defs/{section}"} if section in sections else {"type": "object"}
        known = sections[section]["properties"][key] if section in sections else {}
        kind = {"enum": known["enum"]} if "enum" in known else {"type": "string"}
        short = kind | {"description": f"Short for {{{key}: ...}}."}
        properties[section] = {"anyOf": [short, whole]}
    own: Schema = {}
    shelved: Schema = {}
    for section, family in SHELVES.items():
        parts = {
            f"{section}_{name}": part | ({} if name == NATIVE else {"required": ["name"]})
            for name, part in _shelf(family).items()
        }
        own[section] = {"anyOf": [{"enum": list(_shelf(family))}, *({"$ref": f"#/$defs/{name}"} for name in parts)]}
        shelved |= parts
    # A plugin may bring a task or a head of its own, and a recipe that is extended may name it.
    elsewhere = {"anyOf": [{"required": ["plugins"]}, {"required": ["extends"]}]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "textxfer recipe",
        "description": _one_line(Recipe.__doc__),
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "anyOf": [{"required": ["extends"]}, {"required": list(NEEDED)}],
        "if": {"not": elsewhere},
        "then": {"properties": own},
        "$defs": sections | inner | shelved,
    }


def reference() -> str:
    """Gives `recipes/REFERENCE.md`: every section and field, its type, default and meaning."""
    sections, inner = _sections()
    parts = [_INTRODUCTION]
    whole = {name: part for name, part in _fields(Recipe).items() if name not in (*sections, *SHELVES)}
    parts += ["## The recipe itself", *_table(whole, required=())]
    for name in _fields(Recipe):
        if name in SHELVES:
            for member, part in _shelf(SHELVES[name]).items():
                parts += [f"## `{name}`: {member}", *_section_lines(part)]
        elif name in sections:
            parts += [f"## `{name}`", *_section_lines(sections[name]), *_within(name, sections[name], inner)]
    parts += ["## Metrics", "", "The names for `evaluate.metrics` and `evaluate.select_by`.", *_metric_table()]
    return "\n".join(parts)


_INTRODUCTION = f"""\
<!-- Generated; do not edit. Written anew by: {COMMANDS[1]} -->
# Recipe reference

Every section and field of a recipe, generated from the schema. A recipe needs `checkpoint`, `dataset` and `task`; all
else has a default. An unknown key is an error. `textxfer check RECIPE` says whether a recipe and its data fit, and
`textxfer run RECIPE train.epochs=1 freeze.layers=4` changes fields for one run.

`yes`, `no`, `on` and `off` are texts, `5e-5` is a number, a key that stands twice is an error. Editors complete and
check a recipe that opens with the line `# yaml-language-server: $schema=recipe.schema.json`.
"""


def _fields(kind: type[Section]) -> dict[str, Schema]:
    properties: dict[str, Schema] = _plain_schema(kind)["properties"]
    return properties


def _plain_schema(kind: type[Section]) -> Schema:
    """Gives pydantic's schema of a section, without the titles it makes up."""

    def untitled(part: Any) -> Any:
        if isinstance(part, list):
            return [untitled(item) for item in part]
        if not isinstance(part, dict):
            return part
        return {
            key: _one_line(value) if key == "description" and isinstance(value, str) else untitled(value)
            for key, value in part.items()
            if not (key == "title" and isinstance(value, str))
        }

    schema: Schema = untitled(kind.model_json_schema())
    return schema


def _sections() -> tuple[dict[str, Schema], dict[str, Schema]]:
    """Gives the schema of each section of a recipe that has one form, by name, and of those within them, by class."""
    found: dict[str, Schema] = {}
    inner: dict[str, Schema] = {}
    for name, field in Recipe.model_fields.items():
        kinds = [field.annotation, *typing.get_args(field.annotation)]
        kind = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Section)), None)
        if kind is not None and name not in SHELVES:
            found[name] = _plain_schema(kind)
            inner |= found[name].pop("$defs", {})
    return found, inner


def _shelf(family: str) -> dict[str, Schema]:
    return {name: _plain_schema(registry.config(family, name)) for name in registry.built_in(family)}


def _bare(section: str) -> Schema:
    return {"$ref": f"#/$defs/{section}"}


def _within(place: str, section: Schema, inner: Mapping[str, Schema]) -> Iterator[str]:
    """Gives the lines of the sections within a section, and of those within them."""
    for field, part in section["properties"].items():
        for kind in (part, *part.get("anyOf", ())):
            listed = kind.get("items", kind)
            if "$ref" in listed:
                name = f"{place}.{field}" + ("[]" if listed is not kind else "")
                target = inner[str(listed["$ref"]).rpartition("/")[2]]
                yield from [f"### `{name}`", *_section_lines(target), *_within(name, target, inner)]


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def _section_lines(section: Schema) -> list[str]:
    return ["", section["description"], *_table(section["properties"], section.get("required", ()))]


def _table(fields: Mapping[str, Schema], required: Iterable[str]) -> list[str]:
    required = set(required)
    lines = ["", "| field | what it takes | default | meaning |", "|---|---|---|---|"]
    for name, field in fields.items():
        default = "(needed)" if name in required else _value(field.get("default"))
        lines.append(_row(f"`{name}`", _in_words(field), default, field["description"]))
    return [*lines, ""]


def _metric_table() -> Iterator[str]:
    yield from ["", "| metric | judges | needs | meaning |", "|---|---|---|---|"]
    for name in registry.built_in("metrics"):
        metric = registry.load("metrics", name)
        yield _row(f"`{name}`", ", ".join(metric.judges), metric.needs or "", metric.summary)
    yield ""


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _value(default: Any) -> str:
    if default is None or default == [] or isinstance(default, dict):  # a section's own table has its defaults
        return ""
    text = str(default).lower() if isinstance(default, bool) else str(default)
    return f"`{text.replace('e-0', 'e-')}`"


def _in_words(field: Schema) -> str:
    """Says in words what a schema accepts."""
    if "anyOf" in field:
        return ", or ".join(_in_words(part) for part in field["anyOf"] if part.get("type") != "null")
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "$ref" in field:
        return "a section (see below)"
    if "const" in field:
        return f"`{field['const']}`"
    kind = field.get("type")
    if kind == "array" and "$ref" in field["items"]:
        return "a list of sections (see below)"
    if kind == "array":
        kind, *limits = _in_words(field["items"]).split(" from ", 1)
        return " from ".join([f"a list of {kind}s", *limits])
    if kind == "object":
        return f"lines of a name and a {_in_words(field['additionalProperties'])}"
    if isinstance(kind, list):
        return "name"
    if field.get("pattern") in PATTERNS:
        return PATTERNS[field["pattern"]]
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}[str(kind)]
    limits = [phrase.format(field[key]) for key, phrase in _LIMITS.items() if key in field]
    return f"{words} {', '.join(limits)}" if limits else words


_LIMITS = {
    "exclusiveMinimum": "above {}",
    "minimum": "from {}",
    "exclusiveMaximum": "below {}",
    "maximum": "to {}",
}
