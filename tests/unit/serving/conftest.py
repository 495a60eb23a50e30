"""Pipelines on small models, and models that textxfer never saw."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import textxfer

FAMILIES = ("bert", "roberta", "gpt2", "t5")
TEXTS = [
    "the film was a delight",
    "",
    "the soup came cold " * 9,
    "rude",
    "   ",
    "\n",
    "the view [SEP] </s> <|endoftext|> x",
]


@pytest.fixture(scope="session")
def classify(trained: Any) -> Any:
    return textxfer.pipeline(trained("bert"))


@pytest.fixture(scope="session")
def tags(trained: Any) -> Any:
    return textxfer.pipeline(trained("bert", "topic"))


@pytest.fixture(scope="session")
def answer(trained: Any) -> Any:
    return textxfer.pipeline(trained("bert", "question_answering"))


@pytest.fixture
def stock(checkpoints: Callable[[str], Path], tmp_path: Path) -> Callable[..., Path]:
    """Saves a model that textxfer never saw."""

    def save(family: str, auto_class: str, **options: Any) -> Path:
        import torch
        import transformers

        torch.manual_seed(1)
        folder = tmp_path / f"{family}-{auto_class}"
        model = getattr(transformers, auto_class).from_pretrained(checkpoints(family), **options)
        tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoints(family))
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        model.config.pad_token_id = tokenizer.pad_token_id
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(torch.randn_like(weight) * 0.1)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return save


def close(first: Any, second: Any) -> bool:
    """Says whether two lists of results are equal, scores to 1e-5."""
    if isinstance(first, list):
        return len(first) == len(second) and all(close(a, b) for a, b in zip(first, second, strict=True))
    score = abs(first["score"] - second["score"]) < 1e-5
    return score and all(first[key] == second[key] for key in first if key != "score")


@pytest.fixture(scope="session")
def varied(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Gives a trained model whose weights were shaken, so that it says something else of each text, made once."""
    import numpy as np
    from safetensors.numpy import load_file, save_file

    made: dict[tuple[str, str], Path] = {}

    def get(family: str = "bert", task: str = "sentiment") -> Path:
        if (family, task) not in made:
            folder = tmp_path_factory.mktemp("varied") / f"{family}-{task}"
            shutil.copytree(trained(family, task) / "model", folder)
            rng, file = np.random.default_rng(0), folder / "model.safetensors"
            weights = load_file(file)
            shaken = {
                name: weight + 0.2 * rng.standard_normal(weight.shape, np.float32) for name, weight in weights.items()
            }
            save_file(shaken, file, metadata={"format": "pt"})
            made[family, task] = folder
        return made[family, task]

    return get


@pytest.fixture(scope="session")
def exported(varied: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Gives the folder of a varied model that was exported to ONNX, made once; nobody writes into it."""
    from textxfer.serving.export import ExportResult, export_onnx

    made: dict[tuple[str, str], ExportResult] = {}

    def get(family: str = "bert", task: str = "sentiment") -> Path:
        if (family, task) not in made:
            folder = tmp_path_factory.mktemp("exported") / f"{family}-{task}"
            made[family, task] = export_onnx(varied(family, task), folder)
        return made[family, task].folder

    return get
