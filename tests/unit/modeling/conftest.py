"""Fixtures for models: a family's tiny checkpoint under a head, and a batch for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.trained import BAD, GOOD
from textxfer.labels import LabelSet
from textxfer.modeling.build import build
from textxfer.modeling.checkpoint import open_checkpoint

CLASSIFICATION = "AutoModelForSequenceClassification"
ANSWERS = "AutoModelForQuestionAnswering"
LABELS = LabelSet(("bad", "good"))


@pytest.fixture(scope="session")
def model_of(checkpoints: Callable[[str], Path]) -> Callable[..., Any]:
    """Builds a fresh model of a family."""

    def make(family: str, auto_class: str = CLASSIFICATION, **options: Any) -> Any:
        labels = LABELS if auto_class == CLASSIFICATION else None
        return build(open_checkpoint(str(checkpoints(family))), auto_class, labels, **options).model

    return make


@pytest.fixture(scope="session")
def inputs_of(checkpoints: Callable[[str], Path]) -> Callable[[str], dict[str, Any]]:
    """Gives eight padded texts as a family's tensors."""

    def make(family: str) -> dict[str, Any]:
        tokenizer = open_checkpoint(str(checkpoints(family))).tokenizer
        return dict(tokenizer(list(GOOD + BAD), padding=True, return_tensors="pt"))

    return make
