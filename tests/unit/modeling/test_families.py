"""Every family: a recipe trains it, and what it saves is a stock folder that others load."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import textxfer
from tests import tiny
from tests.trained import questions
from textxfer.modeling.build import build
from textxfer.modeling.checkpoint import open_checkpoint

TEXTS = [
    "the film was a delight",
    "the soup came cold, the waiter was rude",
    "we loved the view",
    "x",
    "the room and the view and the breakfast " * 20,
]
STOCK = """
import json, sys
import torch, transformers

folders, texts, question, context = json.load(open(sys.argv[1]))
results = {}
for family, (classifier, answerer) in folders.items():
    classify = transformers.pipeline("text-classification", model=classifier)
    best = [classify(text, truncation=True)[0] for text in texts]
    all_labels = classify(texts, truncation=True, top_k=None)
    tokenizer = transformers.AutoTokenizer.from_pretrained(answerer)
    model = transformers.AutoModelForQuestionAnswering.from_pretrained(answerer)
    with torch.no_grad():
        output = model(**tokenizer(question, context, truncation="only_second", return_tensors="pt"))
    length = int(tokenizer(question, context, truncation="only_second", return_tensors="pt")["input_ids"].shape[1])
    logits = [output.start_logits[0].tolist(), output.end_logits[0].tolist()]
    results[family] = {"best": best, "all": all_labels, "logits": logits, "length": length}
assert not any(name.partition(".")[0] == "textxfer" for name in sys.modules)
json.dump(results, open(sys.argv[2], "w"))
"""


@pytest.fixture(scope="module")
def stock(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What plain transformers says of each family's models, in a process without textxfer."""
    folder = tmp_path_factory.mktemp("stock")
    models = {
        family: [str(trained(family, task) / "model") for task in ("sentiment", "question_answering")]
        for family in tiny.FAMILIES
    }
    row = questions()[0]
    (folder / "given.json").write_text(json.dumps([models, TEXTS, row["question"], row["context"]]))
    (folder / "stock.py").write_text(STOCK)
    command = [sys.executable, "stock.py", "given.json", "results.json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return results


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_stock_pipeline_gives_the_same_labels_and_scores(family: str, trained: Any, stock: dict[str, Any]) -> None:
    classify = textxfer.pipeline(trained(family) / "model")
    ours = [classify(text)[0] for text in TEXTS]
    theirs = stock[family]["best"]
    assert [each["label"] for each in ours] == [each["label"] for each in theirs]
    assert [each["score"] for each in ours] == pytest.approx([each["score"] for each in theirs], abs=1e-5)
    assert len({round(each["score"], 6) for each in ours}) > 1, "a model that says the same of all texts proves nothing"
    for mine, other in zip(classify(TEXTS, top_k=None), stock[family]["all"], strict=True):
        assert [each["label"] for each in mine] == [each["label"] for each in other]
        assert [each["score"] for each in mine] == pytest.approx([each["score"] for each in other], abs=1e-5)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_stock_classes_give_the_same_answer_logits(family: str, trained: Any, stock: dict[str, Any]) -> None:
    import torch

    checkpoint = open_checkpoint(str(trained(family, "question_answering")))
    model = build(checkpoint, "AutoModelForQuestionAnswering").model.eval()
    row = questions()[0]
    inputs = checkpoint.tokenizer(
        row["question"], row["context"], truncation="only_second", max_length=32, return_tensors="pt"
    )
    assert inputs["input_ids"].shape[1] == stock[family]["length"] == 32
    with torch.no_grad():
        output = model(**inputs)
    ours = [output.start_logits[0].tolist(), output.end_logits[0].tolist()]
    for mine, theirs in zip(ours, stock[family]["logits"], strict=True):
        assert mine == pytest.approx(theirs, abs=1e-5)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_answers_are_spans_of_the_context(family: str, trained: Any) -> None:
    answer = textxfer.pipeline(trained(family, "question_answering"))
    rows = questions()
    for row, given in zip(rows, answer(rows), strict=True):
        assert row["context"][given["start"] : given["end"]] == given["answer"]
        assert 0 <= given["score"] <= 1


@pytest.mark.parametrize("task", ["sentiment", "question_answering"])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_saved_folder_is_stock(family: str, task: str, trained: Any) -> None:
    run: Path = trained(family, task)
    model = run / "model"
    names = {file.name for file in model.iterdir()}
    assert names == {"README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    for file in model.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == stat.S_IMODE((run / "metrics.json").stat().st_mode), file.name
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    assert tokenizer["padding"] is None
    assert tokenizer["truncation"] is None
    settings = json.loads((model / "tokenizer_config.json").read_text())
    assert settings["model_max_length"] == 32
    assert settings["pad_token"]
    assert settings.get("padding_side", "right") == "right"
    config = json.loads((model / "config.json").read_text())
    assert config["pad_token_id"] is not None
    assert config["dtype"] == "float32"
    assert config["textxfer"]["task"] == task
    assert config["textxfer"]["max_length"] == 32
    assert str(run.parent) not in json.dumps([config, settings])
    if task == "sentiment":
        assert config["id2label"] == {"0": "bad", "1": "good"}
        assert config["label2id"] == {"bad": 0, "good": 1}
        assert config["problem_type"] == "single_label_classification"


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_tokenizer_and_model_agree_on_padding(family: str, trained: Any) -> None:
    import transformers

    model = trained(family) / "model"
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    config = transformers.AutoConfig.from_pretrained(model)
    assert tokenizer.pad_token_id == config.pad_token_id
    short, long = tokenizer(["a delight", "a delight, the view and the breakfast"], padding=True)["input_ids"]
    assert len(short) == len(long)
    assert short[-1] == tokenizer.pad_token_id
    assert short[0] != tokenizer.pad_token_id


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_full_fine_tuning_changes_every_weight(family: str, checkpoints: Any, trained: Any) -> None:
    import torch

    before = build(open_checkpoint(str(checkpoints(family))), "AutoModelForQuestionAnswering").model
    after = build(open_checkpoint(str(trained(family, "question_answering"))), "AutoModelForQuestionAnswering").model
    weights = dict(before.named_parameters())
    assert [name for name, weight in after.named_parameters() if torch.equal(weight, weights[name])] == []
