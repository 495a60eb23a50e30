"""A model that says something else than at the end of its run does not go out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from textxfer.errors import PushError
from textxfer.publishing.files import finished_run, is_ours, uploads
from textxfer.publishing.verify import VERIFICATION, verify

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("family", "task"), [("bert", "topic"), ("gpt2", "sentiment"), ("t5", "question_answering")])
def test_a_model_as_the_run_made_it_passes(family: str, task: str, trained: Any) -> None:
    assert verify(trained(family, task)) < 1e-5


@pytest.mark.parametrize("part", ["start", "end"])
def test_answers_are_compared_at_both_ends(part: str, trained: Any, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    run = Path(shutil.copytree(trained("bert", "question_answering"), tmp_path / "run"))
    weights = load_file(run / "model" / "model.safetensors")
    weights["qa_outputs.bias"] += torch.tensor([0.001, 0] if part == "start" else [0, 0.001])
    save_file(weights, run / "model" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(PushError, match=r"other logits than at the end of the run \(0\.001 apart on row 1"):
        verify(run)


def test_a_tokenizer_of_another_is_noticed(trained: Any, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained("bert", "question_answering"), tmp_path / "run"))
    tokenizer = json.loads((run / "model" / "tokenizer.json").read_text())
    words = tokenizer["model"]["vocab"]
    words["library"], words["the"] = words["the"], words["library"]
    (run / "model" / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(PushError, match="other logits"):
        verify(run)


def test_weights_that_cannot_be_read(trained: Any, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained("bert"), tmp_path / "run"))
    (run / "model" / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(PushError, match="transformers cannot load it"):
        verify(run)


@pytest.mark.parametrize("content", ["{", "[]", '{"labels": [], "max_length": 8, "rows": [["a"]], "logits": []}'])
def test_a_damaged_record_is_no_proof(content: str, trained: Any, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained("bert"), tmp_path / "run"))
    (run / VERIFICATION).write_text(content)
    with pytest.raises(PushError, match=r"verification\.json: cannot be used"):
        verify(run)
    (run / VERIFICATION).unlink()
    with pytest.raises(PushError, match="there is no such file"):
        verify(run)


def test_a_finished_run_is_found_by_its_folder_its_model_or_its_seeds(trained: Any, tmp_path: Path) -> None:
    run = trained("bert")
    assert finished_run(run) == finished_run(run / "model") == run
    shutil.copytree(run, tmp_path / "many" / "seed-3")
    (tmp_path / "many" / "seeds.json").write_text('{"best_seed": 3}')
    assert finished_run(tmp_path / "many") == tmp_path / "many" / "seed-3"
    for wrong, why in ((tmp_path / "none", "no such folder"), (tmp_path, "is no run")):
        with pytest.raises(PushError, match=why):
            finished_run(wrong)


def test_the_files_that_go_are_the_same_each_time(trained: Any) -> None:
    run = trained("bert")

    def content(repo: str) -> dict[str, bytes]:
        return {
            file.name: file.content if isinstance(file.content, bytes) else file.content.read_bytes()
            for file in uploads(run, repo)
        }

    assert content("me/a") == content("me/a")
    assert {name for name, file in content("me/a").items() if content("me/b")[name] != file} == {"README.md"}
    assert all(map(is_ours, content("me/a")))
    assert not any(map(is_ours, ("training_args.bin", "notes.md", "pytorch_model.bin", "onnx/model.onnx", ".env")))
