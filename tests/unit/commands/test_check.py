"""`textxfer check`: finds what a run would stumble over, and describes the rows, without loading a model."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from textxfer.recipe.writing import to_yaml

Rows = list[dict[str, Any]]


@pytest.fixture
def write(
    recipe: Callable[..., dict[str, Any]], write_csv: Callable[..., Path], reviews: Rows, tmp_path: Path
) -> Callable[..., str]:
    """Writes forty rows in rows.csv and a recipe for them, and gives the recipe's name."""

    def make(rows: Rows | None = None, **sections: Any) -> str:
        write_csv(tmp_path / "rows.csv", rows or reviews)
        mapping = recipe(**{"dataset": {"path": "rows.csv"}, **sections})
        (tmp_path / "r.yaml").write_text(to_yaml(mapping))
        return "r.yaml"

    return make


def cells(out: str) -> dict[str, list[str]]:
    """Gives the cells of each line by the line's first word."""
    return {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.strip()}


def test_rows_labels_and_tokens_are_described(shell: Callable[..., Any], write: Callable[..., str]) -> None:
    code, out, err = shell("check", write())
    assert (code, err) == (0, "")
    table = cells(out)
    assert table["rows"] == ["32", "4", "4"]
    assert table["good"] == ["16", "2", "2"]
    assert table["bad"] == ["16", "2", "2"]
    assert table["tokens"] == ["50%", "90%", "95%", "99%", "max", "truncated"]
    assert [*table["train"][:0], table["train"][-1]] == ["0.0%"]
    last = out.splitlines()[-1]
    assert last.startswith("r.yaml: nothing is wrong, ")
    assert last.endswith(" things to know of the rows (above); 8 steps to train")
    assert "no validation split: 4 rows were cut from train" in out


def test_no_model_is_loaded_and_nothing_is_written(
    shell: Callable[..., Any], write: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import transformers

    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(transformers.AutoModelForSequenceClassification, "from_pretrained", refuse)
    monkeypatch.setattr(transformers.PreTrainedModel, "from_pretrained", refuse)
    name = write()
    before = sorted(tmp_path.rglob("*"))
    assert shell("check", name)[0] == 0
    assert sorted(tmp_path.rglob("*")) == before


def test_lengths_are_those_of_uncut_texts(shell: Callable[..., Any], write: Callable[..., str]) -> None:
    """Every tenth text is longer than the 16 tokens that the run takes."""
    rows = [
        {"text": "dull " * (30 if number % 10 == 0 else 5), "label": "ab"[number // 10 % 2]} for number in range(40)
    ]
    name = write(rows, task={"max_length": 16})
    code, out, _ = shell("check", name, "dataset.validation_fraction=0", "dataset.test_fraction=0")
    assert code == 0
    median, *_, longest, truncated = cells(out)["train"]
    assert int(longest) == 2 + 6 * (int(median) - 2)  # two special tokens; six times the words
    assert truncated == "10.0%"
    assert "max_length 16" in out


def test_few_rows_and_their_road(shell: Callable[..., Any], write: Callable[..., str]) -> None:
    name = write(head={"start": "probe"}, small_data={"road": "contrastive", "steps": 7})
    code, _, err = shell("check", name)
    assert code == 2
    assert [line.split(": ")[1] for line in err.splitlines() if "has no use for it" in line] == [
        "train.epochs",
        "train.batch_size",
    ]
    recipe = yaml.safe_load(Path(name).read_text())
    del recipe["train"]
    Path(name).write_text(to_yaml(recipe))
    code, out, _ = shell("check", name)
    assert code == 0
    assert "no validation split, and none is cut from so few rows (`small_data: off` cuts one)" in out
    assert cells(out)["rows"] == ["36", "4"]
    assert out.strip().endswith("a run compares ways to train on so few rows (`small_data`)")
    code, out, _ = shell("check", name, "head.name=native")
    assert out.strip().endswith("7 steps of a contrastive start, 0 steps to train")
    code, out, _ = shell("check", name, "head.name=native", "small_data=off", "small_data.steps=null")
    assert cells(out)["rows"] == ["32", "4", "4"]


def test_overrides_count(shell: Callable[..., Any], write: Callable[..., str]) -> None:
    code, out, _ = shell("check", write(), "train.epochs=1", "dataset.limit=20")
    assert code == 0
    assert cells(out)["rows"] == ["16", "2", "2"]
    assert "2 steps to train" in out


def test_questions_are_described_by_their_windows(
    shell: Callable[..., Any], recipe: Callable[..., dict[str, Any]], questions: Rows, tmp_path: Path
) -> None:
    (tmp_path / "qa").mkdir()
    for split in ("train", "test"):
        (tmp_path / "qa" / f"{split}.json").write_text(json.dumps(questions))
    mapping = recipe(dataset={"path": "qa"}, task={"name": "question_answering", "max_length": 24, "stride": 4})
    (tmp_path / "qa.yaml").write_text(to_yaml(mapping))
    code, out, err = shell("check", "qa.yaml")
    assert (code, err) == (0, "")
    table = cells(out)
    assert table["rows"] == ["18", "2", "20"]
    assert int(table["with"][-1]) + int(table["without"][-1]) == 20
    assert table["without"][-1] == "4"
    average, most = table["test"][-2:]
    assert 1 < float(average) <= int(most)
    assert "max_length 24, stride 4" in out


def test_reserved_rows_stand_among_the_splits(shell: Callable[..., Any], write: Callable[..., str]) -> None:
    rows = [{"text": f"the number {number} was drawn", "label": "ab"[number % 2]} for number in range(700)]
    rows += rows[:350]
    name = write(rows, dataset={"path": "rows.csv", "validation_fraction": 0.5})
    code, out, err = shell("check", name, "--fast")
    assert (code, err) == (0, "")
    assert out.splitlines()[0].split() == ["train", "validation", "test", "reserved"]
    table = cells(out)
    assert len(table["rows"]) == 4
    assert int(table["rows"][3]) == (int(table["rows"][1]) + int(table["rows"][3])) // 3
    assert sum(map(int, table["a"])) == 525
    assert "rows of validation that choose nothing" in out
    lines = [line.split() for line in out.splitlines() if line.startswith("reserved ")]
    assert [line[-1] for line in lines] == ["0.0%"]
    assert "reserved: rows whose text stands in train too: " in out
    without = shell("check", name, "--fast", "calibrate=off")[1]
    assert "reserved" not in without


def test_several_labels_a_row_are_counted_each(
    shell: Callable[..., Any], write: Callable[..., str], reviews: Rows
) -> None:
    rows = [row | {"label": "all" if number % 4 else f"all;{row['label']}"} for number, row in enumerate(reviews)]
    name = write(rows, task={"name": "topic", "multi_label": True})
    code, out, _ = shell("check", name, "dataset.label_delimiter=;")
    assert code == 0
    assert sum(map(int, cells(out)["all"])) == 40
    assert sum(map(int, cells(out)["good"])) == 10


def test_a_checkpoint_that_cannot_be_opened_comes_after_the_rows(
    shell: Callable[..., Any], write: Callable[..., str]
) -> None:
    code, out, err = shell("check", write(), "checkpoint=./nowhere")
    assert code == 2
    assert cells(out)["rows"] == ["32", "4", "4"]
    assert "tokens" not in out
    assert err.endswith("nowhere: there is no such folder\n")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dataset.path=none.csv", "none.csv: there is no such file or folder"),
        ("dataset.text=review", "rows.csv: has unknown column `review` (there are: text, label); say `dataset.text`"),
        ("task.labels=[good, bad, fair]", "no row has the label 'fair' of `task.labels`"),
        ("task.labels=[good, fair]", "rows.csv row 2: label 'bad' is not"),
        ("train.class_weights={god: 2}", "train.class_weights: unknown label `god`; did you mean `good`?"),
        ("train={patience: 3, evaluate_every: 3}", "train.patience: is 3, but the run evaluates 3 times (8 steps"),
        ("evaluate.metrics=[acuracy]", "command line: evaluate.metrics[0]: unknown metric `acuracy`"),
    ],
)
def test_a_mistake_of_recipe_or_data_is_told(
    override: str, message: str, shell: Callable[..., Any], write: Callable[..., str]
) -> None:
    code, _, err = shell("check", write(), override)
    assert code == 2
    assert message in err


def test_f1_of_the_labels_that_the_data_have(
    shell: Callable[..., Any], write: Callable[..., str], reviews: Rows
) -> None:
    name = write([*reviews, *({"text": "so so", "label": "fair"} for _ in range(10))])
    code, _, err = shell("check", name, "evaluate.metrics=[f1]")
    assert code == 2
    assert "`f1` needs two labels, and there are 3" in err


def test_a_place_that_cannot_be_written(shell: Callable[..., Any], write: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "occupied").write_text("a file")
    code, _, err = shell("check", write(), "output.directory=occupied")
    assert code == 2
    assert "occupied is not a folder (output.directory)" in err


def test_a_run_that_is_there_is_no_mistake(
    shell: Callable[..., Any], write: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "runs" / "tiny").mkdir(parents=True)
    for name in ("recipe.yaml", "metrics.json"):
        (tmp_path / "runs" / "tiny" / name).write_text("{}")
    assert shell("check", write())[0] == 0
    assert (tmp_path / "runs" / "tiny" / "metrics.json").exists()


def test_a_broken_recipe_needs_no_heavy_import(shell: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("checkpoint: a/b\n")
    code, _, err = shell("check", "r.yaml")
    assert code == 2
    assert err.splitlines()[0] == "r.yaml: dataset: is missing"
    assert "textxfer.commands.check" in sys.modules


def test_what_is_to_know_of_the_rows_is_told(shell: Callable[..., Any], write: Callable[..., str]) -> None:
    texts = [f"the number {number * 7919} was drawn, and after it came {number * 104729}" for number in range(40)]
    rows = [{"text": text, "label": "ab"[number % 2]} for number, text in enumerate(texts)]
    assert "rows (above)" not in shell("check", write(rows, task={"max_length": 64}))[1]
    assert (
        shell("check", write(rows, task={"max_length": 64}))[1]
        .splitlines()[-1]
        .startswith("r.yaml: nothing is wrong; ")
    )
    rows = [row | {"text": "one text \0 for all of them"} for row in rows]
    code, out, err = shell("check", write(rows))
    assert (code, err) == (0, "")
    assert "test: rows whose text stands in train too: 4 of 4 (100.0%; 4 equal, 0 nearly)" in out
    assert "control characters, such as NUL: 40 rows (train 32, validation 4, test 4)" in out
    assert shell("check", write(rows), "--fast")[0] == 0


def test_the_phases_of_a_run_are_listed(shell: Callable[..., Any], write: Callable[..., str]) -> None:
    code, out, _ = shell("check", write(freeze={"thaw_every": 1}))
    assert code == 0
    assert "phase 1 of 2: steps 1 to 4, the whole backbone is frozen, rate up to 0.001" in out
    assert "phase 2 of 2: steps 5 to 8, 1 layer and the embeddings are frozen, rate up to 0.001" in out
