"""Models of every family under a head: built, saved by plain transformers, and compared."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.trained import BAD, GOOD
from textxfer.labels import LabelSet
from textxfer.modeling.anatomy import backbone_parameters
from textxfer.modeling.build import Built, build
from textxfer.modeling.checkpoint import open_checkpoint

CLASSIFICATION = "AutoModelForSequenceClassification"
ANSWERS = "AutoModelForQuestionAnswering"
LABELS = LabelSet(("bad", "good"))
OTHERS = LabelSet(("calm", "loud"))


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


def opened(folder: Path, auto_class: str = CLASSIFICATION, labels: LabelSet | None = LABELS, **options: Any) -> Built:
    return build(open_checkpoint(str(folder)), auto_class, labels if auto_class == CLASSIFICATION else None, **options)


@pytest.fixture
def saved(checkpoints: Callable[[str], Path], tmp_path: Path) -> Callable[..., Path]:
    """Saves a tiny checkpoint under a stock head of plain transformers, with other weights than the tiny checkpoint."""

    def save(family: str, auto_class: str, **options: Any) -> Path:
        import torch
        import transformers

        torch.manual_seed(7)
        model = getattr(transformers, auto_class).from_pretrained(checkpoints(family), **options)
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(torch.randn_like(weight) * 0.02)
        folder = tmp_path / f"{family}-{auto_class}"
        model.save_pretrained(folder)
        shutil.copy(checkpoints(family) / "tokenizer.json", folder)
        shutil.copy(checkpoints(family) / "tokenizer_config.json", folder)
        return folder

    return save


def stored(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def same_backbone(model: Any, folder: Path) -> list[str]:
    """Gives the backbone parameters that are equal to those in a folder, whatever prefix either has."""
    import torch

    prefix = f"{model.base_model_prefix}."
    old = {name.removeprefix(prefix): weight for name, weight in stored(folder).items()}
    own = {name: weight for name, weight in model.named_parameters() if name in backbone_parameters(model)}
    wrong = [
        name
        for name, weight in own.items()
        if name.removeprefix(prefix) not in old or not torch.equal(weight, old[name.removeprefix(prefix)])
    ]
    assert wrong == []
    return list(own)


def named_labels(folder: Path) -> Path:
    """Writes the names of LABELS into a config."""
    file = folder / "config.json"
    config = json.loads(file.read_text()) | {"id2label": {"0": "bad", "1": "good"}, "label2id": {"bad": 0, "good": 1}}
    file.write_text(json.dumps(config))
    return folder
