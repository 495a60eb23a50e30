"""Plain data to YAML that `recipe.reading` reads as the same data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from textxfer.recipe.reading import RESOLVERS


class _Dumper(yaml.SafeDumper):
    """Puts quotes around texts that YAML 1.1 or a recipe would read as something else ("5e-5", "08", "yes")."""

    def represent_text(self, text: str) -> yaml.Node:
        """Gives a text's node; one with line ends or the like is escaped, since PyYAML folds some of them away."""
        return self.represent_scalar("tag:yaml.org,2002:str", text, style='"' if _ODD.search(text) else None)


_ODD = re.compile(r"[\x00-\x1f\x7f-\xa0\u2028\u2029\ufeff]")
_Dumper.add_representer(str, _Dumper.represent_text)

for _tag, _pattern, _first in RESOLVERS:
    _Dumper.add_implicit_resolver(_tag, _pattern, _first)


def to_yaml(data: Mapping[str, Any]) -> str:
    """Gives a recipe as YAML, its keys in their order."""
    text: str = yaml.dump(dict(data), Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text
