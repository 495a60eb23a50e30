"""Topic: one label a text or several, of any number of labels; also pairs of texts."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from textxfer.recipe.sections import Names
from textxfer.section import Section
from textxfer.tasks._classification import Classification


class Config(Section):
    """What a text, or a pair of texts, is about."""

    name: Literal["topic"] = "topic"
    """The task."""
    labels: Names | None = None
    """Names and order of the labels. Default: found in the training rows."""
    multi_label: bool = False
    """Whether a text may have any number of labels; see `dataset.label_delimiter`."""
    max_length: Annotated[int, Field(ge=8)] = 256
    """Longest text in tokens; never above the checkpoint's limit."""


class Topic(Classification):
    """Topic of a text or a pair; see `Classification` for its arguments."""

    name: ClassVar[str] = "topic"
