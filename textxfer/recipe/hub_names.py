"""Names on the Hugging Face Hub: of a repository, a branch or tag, a language."""

from __future__ import annotations

import re

MOST_CHARACTERS = 96
_PART = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?")
_REFERENCE = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._/-]*[A-Za-z0-9_])?")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*|multilingual|code")


def repo_name(name: str) -> str:
    """Gives a repository's name back if it can be one: `user/name`.

    Raises:
        ValueError: It cannot.
    """
    if name.count("/") != 1:
        raise ValueError(f"`{name}` is not of the form user/name")
    if not all(map(_PART.fullmatch, name.split("/"))) or "--" in name or ".." in name or name.endswith(".git"):
        raise ValueError(
            f"`{name}` cannot be a repository's name: use letters, digits, `-`, `_` and `.`, no `--`, no `..`, and a "
            "letter or digit at both ends"
        )
    if len(name) > MOST_CHARACTERS:
        raise ValueError(f"`{name}` is longer than {MOST_CHARACTERS} characters")
    return name


def reference_name(name: str) -> str:
    """Gives the name of a branch or tag back if it can be one.

    Raises:
        ValueError: It cannot.
    """
    if not _REFERENCE.fullmatch(name) or ".." in name or "//" in name or name.endswith(".lock"):
        raise ValueError(f"`{name}` cannot name a branch or tag: use letters, digits, `.`, `_`, `-` and `/`, no `..`")
    return name


def language_code(code: str) -> str:
    """Gives a language's code back if it can be one: `en`, `pt-BR`.

    Raises:
        ValueError: It cannot.
    """
    if not _LANGUAGE.fullmatch(code):
        raise ValueError(f"`{code}` is no code of a language such as `en`, `de` or `pt-BR`, nor `multilingual`")
    return code
