"""What a user with bad rows sees: one line per mistake, exit code 2, no traceback, and no run folder."""

import json
from pathlib import Path
from typing import Any

import pytest

from textxfer import run

GOOD = "text,label\n" + "fine,pos\ndull,neg\n" * 10
ARTICLE = {"context": "It opens at nine.", "qas": [{"id": "a", "question": "When?", "answers": []}]}


def squad(**answer: Any) -> str:
    asked = {"id": "b", "question": "At what hour?", "answers": [answer]}
    return json.dumps({"data": [{"paragraphs": [{**ARTICLE, "qas": [*ARTICLE["qas"], asked]}]}]})


@pytest.fixture
def shown(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a recipe on files and gives what stands on standard error."""

    def show(files: dict[str, str | bytes], task: str = "sentiment", **dataset: Any) -> str:
        folder = tmp_path / "data"
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        recipe = {"checkpoint": "never/loaded", "dataset": {"path": "data"} | dataset, "task": task}
        (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
        monkeypatch.chdir(tmp_path)
        assert run.main(["recipe.yaml"]) == 2
        assert not (tmp_path / "runs").exists(), "a run that fails before its first step leaves no folder"
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "Traceback" not in captured.err
        return captured.err

    return show


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "data: has no train file (there is: no file that textxfer reads"),
        ({"train.csv": ""}, "train.csv: is empty"),
        ({"train.csv": "text,label\n"}, "train.csv: has no rows"),
        (
            {"train.csv": "text,label\ncafé,pos\n".encode("latin1")},
            "train.csv line 2: is not UTF-8 (byte 0xe9); save it as",
        ),
        (
            {"train.csv": GOOD + "so, so,pos\n"},
            "train.csv line 22: has 3 cells where the header has 2: 'so, so,pos' (a text",
        ),
        (
            {"train.csv": GOOD.replace("text,", "review,")},
            "unknown column `text` (there are: review, label); say `dataset.t",
        ),
        (
            {"train.csv": GOOD.replace("neg", "pos")},
            "train.csv: has one label only ('pos'); a classifier needs two or more",
        ),
        ({"train.csv": GOOD, "test.csv": GOOD + "a,meh\n"}, "test.csv row 21: label 'meh' is not among the labels of"),
        (
            {"train.csv": GOOD + "a,Pos\n"},
            "train.csv: the labels 'pos' and 'Pos' look like one; mend them, or name both in",
        ),
        ({"train.csv": GOOD + "a,\n"}, "train.csv row 21: the label is empty"),
        (
            {"train.csv": GOOD, "dev.csv": GOOD, "valid.csv": GOOD},
            "dev.csv and valid.csv both look like the validation",
        ),
    ],
)
def test_bad_rows_of_texts(shown: Any, files: dict[str, str | bytes], message: str) -> None:
    err = shown(files)
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_every_mistake_has_a_line(shown: Any) -> None:
    err = shown({"train.csv": GOOD + "a,Pos\n", "test.csv": GOOD + "a,meh\nb,meh\n"})
    assert len(err.strip().splitlines()) == 3


def test_a_missing_file(shown: Any) -> None:
    assert "rows.csv: there is no such file or folder (dataset.path)" in shown({}, path="data/rows.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            squad(text="nine", answer_start=11),
            "row 2: the answer 'nine' is not at offset 11, where ' nin' is; the text first",
        ),
        (
            squad(text="six", answer_start=12),
            "row 2: the answer 'six' is not at offset 12, where 'nin' is; the context does",
        ),
        (squad(answer_start=12), "train.json article 1 paragraph 1 question 2: must be an object with `question` and"),
        (squad(text="nine", answer_start="12"), "row 2: column `answers` holds an offset that is not a whole number"),
    ],
)
def test_bad_rows_of_questions(shown: Any, content: str, message: str) -> None:
    assert message in shown({"train.json": content}, task="question_answering")
