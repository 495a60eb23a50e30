"""Pooled vectors of a backbone: as plain transformers gives them, for every family, however they are batched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import tiny
from tests.trained import BAD, GOOD
from textxfer.data.encode import encode_texts
from textxfer.evaluation.features import features
from textxfer.labels import LabelSet
from textxfer.modeling.build import build
from textxfer.modeling.checkpoint import open_checkpoint

TEXTS = [*GOOD, "so", *BAD]


@pytest.fixture(scope="session")
def ready(checkpoints: Callable[[str], Path]) -> Callable[[str], Any]:
    made: dict[str, Any] = {}

    def get(family: str) -> Any:
        if family not in made:
            checkpoint = open_checkpoint(str(checkpoints(family)))
            model = build(checkpoint, "AutoModelForSequenceClassification", LabelSet(("a", "b"))).model
            encoded = encode_texts(checkpoint.tokenizer, TEXTS, max_length=32)
            made[family] = (model, encoded, checkpoint.tokenizer.pad_token_id, checkpoints(family))
        return made[family]

    return get


def plainly(folder: Path, encoded: Any, pooling: str) -> np.ndarray:
    """The same by plain transformers, one text at a time: (N, L + 1, D)."""
    import torch
    import transformers

    model = transformers.AutoModel.from_pretrained(folder).eval()
    model = model.get_encoder() if model.config.is_encoder_decoder else model
    found = []
    for start, end in zip(encoded.offsets[:-1], encoded.offsets[1:], strict=True):
        ids = torch.from_numpy(encoded.input_ids[start:end].astype(np.int64))[None]
        with torch.no_grad():
            states = torch.stack(model(input_ids=ids, output_hidden_states=True).hidden_states)[:, 0]
        found.append({"mean": states.mean(1), "cls": states[:, 0], "last": states[:, -1]}[pooling].numpy())
    return np.stack(found)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_vectors_are_those_of_plain_transformers(family: str, pooling: Any, ready: Callable[[str], Any]) -> None:
    model, encoded, pad, folder = ready(family)
    expected = plainly(folder, encoded, pooling)
    every = features(model, encoded, pad_token_id=pad, pooling=pooling, layers="all")
    assert every.shape == (9, 3, 16)
    np.testing.assert_allclose(every, expected, atol=3e-5)
    np.testing.assert_allclose(features(model, encoded, pad_token_id=pad, pooling=pooling), expected[:, -1], atol=3e-5)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_in_bf16_they_are_as_near_to_fp32_as_autocast_is(family: str, ready: Callable[[str], Any]) -> None:
    """Weights that are rounded once give what weights give that are rounded for each batch."""
    import torch

    model, encoded, pad, folder = ready(family)
    exact = plainly(folder, encoded, "mean")

    def in_bf16() -> Any:
        return torch.autocast("cpu", dtype=torch.bfloat16)

    found = features(model, encoded, pad_token_id=pad, layers="all", autocast=in_bf16)
    with in_bf16():
        within = features(model, encoded, pad_token_id=pad, layers="all")
    np.testing.assert_array_equal(found, within)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("textxfer.modeling.inference.for_inference", lambda model, **_: model)
        stock = features(model, encoded, pad_token_id=pad, layers="all", autocast=in_bf16)
    assert np.abs(found - exact).max() <= 2 * np.abs(stock - exact).max() + 2e-3
    assert np.abs(found - exact).max() > 0


def test_batches_layers_and_precision(ready: Callable[[str], Any]) -> None:
    model, encoded, pad, _ = ready("bert")
    every = features(model, encoded, pad_token_id=pad, layers="all")
    alone = features(model, encoded, pad_token_id=pad, layers=[2, 0], batch_tokens=1)
    np.testing.assert_allclose(alone, every[:, [2, 0]], atol=2e-6)
    half = features(model, encoded, pad_token_id=pad, dtype="float16")
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, every[:, -1], atol=2e-3)


def test_progress_and_stopping(ready: Callable[[str], Any]) -> None:
    model, encoded, pad, _ = ready("bert")
    shares: list[float] = []
    features(model, encoded, pad_token_id=pad, batch_tokens=1, between=shares.append)
    np.testing.assert_allclose(shares, np.arange(9) / 9)


@pytest.mark.parametrize(
    ("options", "message"), [({"pooling": "max"}, "not 'max'"), ({"layers": [3]}, "no layer 3; layers are 0")]
)
def test_what_there_is_not(options: dict[str, Any], message: str, ready: Callable[[str], Any]) -> None:
    model, encoded, pad, _ = ready("bert")
    with pytest.raises(ValueError, match=message):
        features(model, encoded, pad_token_id=pad, **options)
