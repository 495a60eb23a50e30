"""A small judge of JSON Schemas: the keywords that ours uses, and an error for any other."""

from __future__ import annotations

import re
from typing import Any

KINDS = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}
WORDS = {"$schema", "$defs", "title", "description", "default", "then"}


def accepts(schema: dict[str, Any], value: Any, root: dict[str, Any] | None = None) -> bool:
    """Says whether a value fits."""
    root = root or schema
    return all(_fits(key, limit, value, schema, root) for key, limit in schema.items() if key not in WORDS)


def _fits(key: str, limit: Any, value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    match key:
        case "$ref":
            return accepts(root["$defs"][limit.removeprefix("#/$defs/")], value, root)
        case "anyOf":
            return any(accepts(part, value, root) for part in limit)
        case "not":
            return not accepts(limit, value, root)
        case "if":
            return not accepts(limit, value, root) or accepts(schema["then"], value, root)
        case "type":
            return any(_is(kind, value) for kind in ([limit] if isinstance(limit, str) else limit))
        case "enum":
            return value in limit
        case "const":
            return bool(value == limit)
        case "pattern":
            return not isinstance(value, str) or re.search(limit, value) is not None
        case "minLength":
            return not isinstance(value, str) or len(value) >= limit
        case "minItems":
            return not isinstance(value, list) or len(value) >= limit
        case "items":
            return not isinstance(value, list) or all(accepts(limit, item, root) for item in value)
        case "required":
            return not isinstance(value, dict) or all(name in value for name in limit)
        case "properties":
            known = set(limit) & set(value) if isinstance(value, dict) else set()
            return all(accepts(limit[name], value[name], root) for name in known)
        case "additionalProperties":
            others = set(value) - set(schema.get("properties", ())) if isinstance(value, dict) else set()
            return not others if limit is False else all(accepts(limit, value[name], root) for name in others)
        case "minimum":
            return not is_number or value >= limit
        case "exclusiveMinimum":
            return not is_number or value > limit
        case "maximum":
            return not is_number or value <= limit
        case "exclusiveMaximum":
            return not is_number or value < limit
    raise AssertionError(f"the judge does not know the keyword {key!r}")


def _is(kind: str, value: Any) -> bool:
    return isinstance(value, KINDS[kind]) and (not isinstance(value, bool) or kind == "boolean")  # type: ignore[arg-type]
