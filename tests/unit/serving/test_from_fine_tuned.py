"""Runs that start from a model which an earlier run trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import textxfer
from tests.trained import questions, train
from tests.unit.serving.conftest import TEXTS, close


def test_same_labels_in_any_order_start_from_the_same_predictions(trained: Any, tmp_path: Path) -> None:
    before = trained("bert")
    again = train(
        before / "model",
        "sentiment",
        tmp_path,
        settings={"labels": ["good", "bad"]},
        train={"epochs": 1, "batch_size": 8, "learning_rate": 1e-12, "weight_decay": 0.0, "precision": "fp32"},
    )
    assert textxfer.pipeline(again).labels == ("bad", "good")
    assert close(textxfer.pipeline(again)(TEXTS, top_k=None), textxfer.pipeline(before)(TEXTS, top_k=None))


def test_longer_texts_than_the_run_before(trained: Any, tmp_path: Path) -> None:
    again = train(trained("bert"), "sentiment", tmp_path, settings={"max_length": 60})
    settings = json.loads((again / "model" / "config.json").read_text())["textxfer"]
    assert settings["max_length"] == 60
    assert json.loads((again / "model" / "tokenizer_config.json").read_text())["model_max_length"] == 60


@pytest.mark.parametrize("second", ["sentiment", "topic", "question_answering"])
@pytest.mark.parametrize("first", ["sentiment", "topic", "question_answering"])
def test_any_task_starts_from_any_other(first: str, second: str, trained: Any, tmp_path: Path) -> None:
    again = train(trained("bert", first), second, tmp_path)
    pipeline = textxfer.pipeline(again)
    if second == "question_answering":
        assert len(pipeline(questions())) == 20
    elif second == "topic":
        assert pipeline.labels == ("food", "room", "view")  # type: ignore[union-attr]
        assert len(pipeline({"text": "x", "text_pair": "y"}, top_k=None)) == 3  # type: ignore[call-arg]
    else:
        assert pipeline.labels == ("bad", "good")  # type: ignore[union-attr]
    config = json.loads((again / "model" / "config.json").read_text())
    assert config["textxfer"]["task"] == second
    assert set(config["textxfer"]) <= {
        "task", "max_length", "multi_label", "stride", "max_answer_length", "unanswerable", "pairs",
    }  # fmt: skip
