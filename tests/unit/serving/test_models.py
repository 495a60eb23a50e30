"""Which models `textxfer.pipeline` takes, and how it runs them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import textxfer
from tests.trained import questions
from tests.unit.serving.conftest import TEXTS, close
from textxfer.errors import CheckpointError

# --- models


@pytest.mark.parametrize("task", ["sentiment", "question_answering"])
def test_run_folder_and_model_folder_are_the_same(task: str, trained: Any) -> None:
    rows: Any = TEXTS if task == "sentiment" else questions()
    run = trained("bert", task)
    assert close(textxfer.pipeline(run)(rows), textxfer.pipeline(str(run / "model"))(rows))


@pytest.mark.parametrize(
    ("count", "kind"),
    [
        (1, None),
        (1, "multi_label_classification"),
        *(
            (count, kind)
            for count in (2, 3)
            for kind in (None, "multi_label_classification", "single_label_classification")
        ),
    ],
)
@pytest.mark.parametrize("family", ["bert", "gpt2", "t5"])
def test_models_of_plain_transformers(family: str, count: int, kind: str | None, stock: Any) -> None:
    import transformers

    folder = stock(family, "AutoModelForSequenceClassification", num_labels=count, problem_type=kind)
    texts = ["the film was a delight", "the soup came cold"]
    ours = textxfer.pipeline(folder)(texts, top_k=None)
    assert close(ours, transformers.pipeline("text-classification", model=str(folder))(texts, top_k=None))


def test_answer_model_of_plain_transformers(stock: Any) -> None:
    answer = textxfer.pipeline(stock("roberta", "AutoModelForQuestionAnswering"))
    row = questions()[0]
    found = answer(question=row["question"], context=row["context"])
    assert found["answer"] == row["context"][found["start"] : found["end"]] != ""


def test_head_that_gives_a_number_is_refused(stock: Any) -> None:
    folder = stock("bert", "AutoModelForSequenceClassification", num_labels=1, problem_type="regression")
    with pytest.raises(CheckpointError) as error:
        textxfer.pipeline(folder)
    assert str(error.value) == f"{folder}: its head gives a number (regression), and textxfer gives labels"


@pytest.mark.parametrize(
    ("auto_class", "architecture"), [("AutoModel", "BertModel"), ("AutoModelForMaskedLM", "BertForMaskedLM")]
)
def test_models_without_a_head_are_refused(auto_class: str, architecture: str, stock: Any) -> None:
    folder = stock("bert", auto_class)
    with pytest.raises(CheckpointError) as error:
        textxfer.pipeline(folder)
    assert str(error.value) == (
        f"{folder}: has no classification or question answering head; it is a {architecture}; fine-tune it first"
    )


def with_config(folder: Path, place: Path, **changes: Any) -> Path:
    shutil.copytree(folder, place)
    config = json.loads((place / "config.json").read_text()) | changes
    (place / "config.json").write_text(json.dumps(config))
    return place


def test_config_that_promises_a_head_which_the_weights_lack(bert: Path, tmp_path: Path) -> None:
    folder = with_config(bert, tmp_path / "x", architectures=["BertForSequenceClassification"])
    with pytest.raises(CheckpointError) as error:
        textxfer.pipeline(folder)
    expected = f"{folder}: is not trained for a task: its weights lack classifier.bias, classifier.weight"
    assert str(error.value) == expected


def test_config_without_architectures(trained: Any, tmp_path: Path, bert: Path) -> None:
    folder = with_config(bert, tmp_path / "x", architectures=None)
    with pytest.raises(CheckpointError, match=r"its config\.json names no architecture; fine-tune it first"):
        textxfer.pipeline(folder)


@pytest.mark.parametrize(
    ("noted", "message"),
    [
        (
            {"task": "stance", "max_length": 8},
            "was trained for a task that is not here (a plugin's? import it first): ",
        ),
        ({"max_length": 8}, "was trained for a task that is not here"),
        (
            {"task": "sentiment", "thresholds": [0.5]},
            "`textxfer` in its config.json is not understood, perhaps of a newer ",
        ),
    ],
)
def test_settings_that_this_version_does_not_know(noted: Any, message: str, trained: Any, tmp_path: Path) -> None:
    folder = with_config(trained("bert") / "model", tmp_path / "x", textxfer=noted)
    with pytest.raises(CheckpointError) as error:
        textxfer.pipeline(folder)
    assert str(error.value).startswith(f"{folder}: {message}")


def test_nothing_there_and_nothing_finished(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no such folder"):
        textxfer.pipeline(tmp_path / "none")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").touch()
    with pytest.raises(CheckpointError, match="is a run that has not finished; it has no model yet"):
        textxfer.pipeline(tmp_path / "run")


# --- options


def test_precision(trained: Any, classify: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from textxfer.serving import torch_backend

    with pytest.raises(ValueError, match="precision must be 'fp32' or 'auto', not 'bf16'"):
        textxfer.pipeline(trained("bert"), precision="bf16")  # type: ignore[arg-type]
    monkeypatch.setattr(torch_backend, "has_fast_bf16", lambda kind: True)
    exact, rough = classify(TEXTS), textxfer.pipeline(trained("bert"), precision="auto", device="cpu")(TEXTS)
    differences = [abs(one["score"] - other["score"]) for one, other in zip(exact, rough, strict=True)]
    assert 0 < max(differences) < 0.02
    monkeypatch.setattr(torch_backend, "has_fast_bf16", lambda kind: False)
    assert textxfer.pipeline(trained("bert"), precision="auto", device="cpu")(TEXTS) == exact


def test_device_and_batch_size_are_used(trained: Any) -> None:
    classify = textxfer.pipeline(trained("bert"), device="cpu", batch_tokens=40)
    sizes: list[tuple[int, int]] = []
    model = classify._engine.backend.model  # type: ignore[union-attr]
    model.register_forward_pre_hook(
        lambda _, __, inputs: sizes.append(tuple(inputs["input_ids"].shape)), with_kwargs=True
    )
    classify(["rude"] * 20)
    assert len(sizes) > 1
    assert all(rows * tokens <= 40 for rows, tokens in sizes)
    assert next(model.parameters()).device.type == "cpu"


def test_threads_take_turns_and_get_their_own_results(trained: Any) -> None:
    classify = textxfer.pipeline(trained("bert"))
    texts = [f"{text} {'so ' * number}" for number in range(4) for text in TEXTS]
    expected = [classify(text) for text in texts]
    inside: list[int] = []
    most: list[int] = []

    def enter(*_: Any) -> None:
        inside.append(1)
        time.sleep(0.002)
        most.append(len(inside))

    model = classify._engine.backend.model  # type: ignore[union-attr]
    model.register_forward_pre_hook(enter)
    model.register_forward_hook(lambda *_: inside.pop() and None)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(classify, texts))
    assert all(close(one, other) for one, other in zip(results, expected, strict=True))
    assert max(most) == 1


def test_nothing_heavy_is_imported_before_a_model_is_loaded() -> None:
    code = (
        "import sys, textxfer; textxfer.pipeline; "
        "heavy = {'torch', 'transformers', 'datasets', 'sklearn', 'accelerate'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


QUIET = """
import sys, textxfer
classify = textxfer.pipeline(sys.argv[1])
classify(["a text"] * 3)
unused = {"sklearn", "evaluate", "transformers.pipelines", "pandas.io.formats.style"} & set(sys.modules)
sys.exit(f"imported for nothing: {unused}" if unused else 0)
"""


def test_loading_and_predicting_print_nothing(trained: Any) -> None:
    command = [sys.executable, "-c", QUIET, str(trained("gpt2"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
