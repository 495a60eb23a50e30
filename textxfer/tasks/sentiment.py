"""Sentiment: one label a text, two or more of them, which may have an order."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from textxfer.recipe.sections import Names
from textxfer.section import Section
from textxfer.tasks._classification import Classification


class Config(Section):
    """How a text feels: negative or positive, or one star to five."""

    name: Literal["sentiment"] = "sentiment"
    """The task."""
    labels: Names | None = None
    """Names and order of the labels. Default: found in the training rows."""
    ordered: bool = False
    """Whether the labels have an order, from low to high; then scores also say how far off predictions are."""
    max_length: Annotated[int, Field(ge=8)] = 256
    """Longest text in tokens; never above the checkpoint's limit."""


class Sentiment(Classification):
    """Sentiment of a text; see `Classification` for its arguments."""

    name: ClassVar[str] = "sentiment"
