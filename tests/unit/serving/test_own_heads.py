"""Models whose head is one of textxfer's are served, exported and judged like stock ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import textxfer
from tests.trained import reviews, train
from tests.unit.serving.conftest import close
from textxfer.serving._known_model import known_model
from textxfer.serving.benchmark import benchmark
from textxfer.serving.export import export_onnx

TEXTS = ["the film was a delight", "", "the soup came cold " * 9, "rude", "   "]
POOLINGS = ("cls", "mean", "max", "last")


@pytest.mark.parametrize(
    ("family", "pooling"), [("bert", pooling) for pooling in POOLINGS] + [("gpt2", "last"), ("t5", "mean")]
)
def test_an_exported_model_says_the_same(family: str, pooling: str, with_head: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    run = with_head(family, "sentiment", pooling)
    result = export_onnx(run, tmp_path / "onnx")
    assert 0 < result.difference < 1e-4
    assert result.agreement == 1.0
    one, other = textxfer.pipeline(run), textxfer.pipeline(tmp_path / "onnx", backend="onnx")
    for texts in (TEXTS, TEXTS[:1]):
        assert close(one(texts, top_k=None), other(texts, top_k=None))


def test_a_normalized_mean_is_saved_served_and_exported(bert: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    run = train(bert, "sentiment", tmp_path / "run", head={"name": "mean", "normalize": True, "start": "random"})
    assert json.loads((run / "model" / "head.json").read_text())["options"]["normalize"] is True
    result = export_onnx(run, tmp_path / "onnx")
    assert result.difference < 1e-4
    one, other = textxfer.pipeline(run), textxfer.pipeline(tmp_path / "onnx", backend="onnx")
    assert close(one(TEXTS, top_k=None), other(TEXTS, top_k=None))


@pytest.mark.slow
def test_eight_bits_and_the_benchmark(with_head: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    run = with_head()
    result = export_onnx(run, tmp_path / "int8", int8=True)
    assert result.agreement > 0.5
    assert textxfer.pipeline(tmp_path / "int8", backend="onnx")("the film was a delight")
    assert {way.name for way in benchmark(run).ways} >= {"torch fp32", "onnx", "onnx int8"}


def test_bf16_says_nearly_the_same(with_head: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from textxfer.serving import torch_backend

    monkeypatch.setattr(torch_backend, "has_fast_bf16", lambda device: True)
    exact = textxfer.pipeline(with_head(), device="cpu")(TEXTS, top_k=None)
    rounded = textxfer.pipeline(with_head(), device="cpu", precision="auto")(TEXTS, top_k=None)
    for one, other in zip(exact, rounded, strict=True):
        shares = [{each["label"]: each["score"] for each in row} for row in (one, other)]
        assert shares[0] == pytest.approx(shares[1], abs=0.05)


def test_it_is_judged_and_predicts_files(with_head: Any, tmp_path: Path) -> None:
    run = with_head()
    scores = textxfer.pipeline(run).evaluate(reviews()).scores
    assert scores["accuracy"] > 0.5
    (tmp_path / "texts.txt").write_text("the film was a delight\nthe soup came cold\n")
    textxfer.predict_file(run, tmp_path / "texts.txt", tmp_path / "out.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert len(lines) == 2


def test_the_head_is_part_of_its_fingerprint(with_head: Any, tmp_path: Path) -> None:
    import shutil

    from safetensors.numpy import load_file, save_file

    folder = Path(shutil.copytree(with_head() / "model", tmp_path / "model"))
    options: dict[str, Any] = {"device": None, "precision": "fp32", "batch_tokens": None}
    before = known_model(str(folder), "torch", **options)
    assert before.task.name == "sentiment"
    weights = load_file(folder / "head.safetensors")
    save_file({name: weight + np.float32(1) for name, weight in weights.items()}, folder / "head.safetensors")
    assert known_model(str(folder), "torch", **options).fingerprint != before.fingerprint
