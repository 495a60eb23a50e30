"""`textxfer evaluate`: a saved model on any labelled rows."""

from __future__ import annotations

import datetime
import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import trained as training
from textxfer.__main__ import main


@pytest.fixture(scope="module")
def model(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training.train(bert, "sentiment", tmp_path_factory.mktemp("runs"))


@pytest.fixture
def rows(write_csv: Callable[..., Path], tmp_path: Path) -> Path:
    more = [{"source": "ab"[number % 2], "id": number, "length": 1} for number in range(40)]
    told = [row | each for row, each in zip(training.reviews(), more, strict=True)]
    return write_csv(tmp_path / "rows.csv", told)


def read(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    lines = (folder / "predictions.jsonl").read_text().splitlines()
    return json.loads((folder / "metrics.json").read_text()), [json.loads(line) for line in lines]


def test_it_gives_the_scores_that_the_run_gave(
    model: Path, write_csv: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_csv(tmp_path / "rows.csv", training.reviews()[10:])
    assert main(["evaluate", str(model), "--data", str(data), "-o", str(tmp_path / "out")]) == 0
    found, _ = read(tmp_path / "out")
    run = json.loads((model / "metrics.json").read_text())
    assert found["test"] == pytest.approx(run["test"])
    assert found["confusion"]["test"] == run["confusion"]["test"]
    assert "30 rows" in capsys.readouterr().out
    assert (tmp_path / "out" / "report.html").exists()


def test_slices_are_scored_by_column_length_and_label(
    model: Path, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["evaluate", str(model), "--data", str(rows), "--slice", "source", "-o", str(out)]) == 0
    found, lines = read(out)
    assert set(found["slices"]) == {"source", "length", "label"}
    for name, part in found["slices"]["source"].items():
        own = [line for line in lines if line["source"] == name]
        right = sum(line["reference"] == line["prediction"] for line in own)
        assert (part["rows"], part["accuracy"]) == (len(own), pytest.approx(right / len(own)))
        assert part["intervals"]["accuracy"][0] <= part["accuracy"] <= part["intervals"]["accuracy"][1]
    assert sum(part["rows"] for part in found["slices"]["length"].values()) == 40
    assert all("accuracy" in part and "macro_f1" not in part for part in found["slices"]["label"].values())
    by_label = capsys.readouterr().out.partition("by label\n")[2].splitlines()[:2]
    assert all("  accuracy " in line and line.endswith("  macro_f1 -") for line in by_label)


def test_columns_of_other_names_and_splits_of_a_folder(
    model: Path, write_csv: Callable[..., Path], tmp_path: Path
) -> None:
    told = [{"review": row["text"], "stars": row["label"]} for row in training.reviews()]
    write_csv(tmp_path / "data" / "train.csv", told)
    write_csv(tmp_path / "data" / "test.csv", told[:12])
    columns = ["--text", "review", "--label", "stars"]
    for more, count in ([], 12), (["--split", "train"], 40):
        out = tmp_path / f"out{count}"
        assert main(["evaluate", str(model), "--data", str(tmp_path / "data"), *columns, *more, "-o", str(out)]) == 0
        assert read(out)[0]["num_examples"] == {"test": count}


def test_questions_are_judged_too(bert: Path, tmp_path: Path) -> None:
    model = training.train(bert, "question_answering", tmp_path / "runs")
    data = tmp_path / "questions.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in training.questions()))
    assert main(["evaluate", str(model), "--data", str(data), "-o", str(tmp_path / "out")]) == 0
    found, lines = read(tmp_path / "out")
    assert {"exact_match", "answer_f1"} <= set(found["test"])
    assert {"question", "context", "answer", "references"} <= set(lines[0])


def test_label_sets_are_judged_too(bert: Path, tmp_path: Path) -> None:
    model = training.train(bert, "topic", tmp_path / "runs")
    data = tmp_path / "topics.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in training.topics()))
    pair = ["--text-pair", "text_pair"]
    assert main(["evaluate", str(model), "--data", str(data), *pair, "-o", str(tmp_path / "out")]) == 0
    assert 0 <= read(tmp_path / "out")[0]["test"]["accuracy"] <= 1


@pytest.fixture(scope="module")
def pairs(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training.train(bert, "topic", tmp_path_factory.mktemp("runs"))


def lines_of(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_second_text_is_read_by_default(pairs: Path, tmp_path: Path) -> None:
    import textxfer

    data = lines_of(tmp_path / "topics.jsonl", training.topics())
    assert main(["evaluate", str(pairs), "--data", str(data), "-o", str(tmp_path / "out")]) == 0
    found, lines = read(tmp_path / "out")
    assert [line["text_pair"] for line in lines] == [row["text_pair"] for row in training.topics()]
    expected = textxfer.pipeline(pairs).evaluate(training.topics()).scores  # type: ignore[union-attr]
    assert found["test"] == pytest.approx(expected)


def test_a_model_of_pairs_needs_a_second_text(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"text": row["text"], "other": row["text_pair"], "label": row["label"]} for row in training.topics()]
    data = lines_of(tmp_path / "topics.jsonl", rows)
    command = [str(pairs), "--data", str(data), "-o", str(tmp_path / "out")]
    assert main(["evaluate", *command]) == 2
    told = capsys.readouterr().err
    assert (
        told == f"{data}: has no column `text_pair`, and the model was trained on pairs of texts; say `--text-pair`\n"
    )
    assert main(["evaluate", *command, "--text-pair", "other"]) == 0


def test_a_model_of_single_texts_reads_no_second_one(
    model: Path, write_csv: Callable[..., Path], tmp_path: Path
) -> None:
    scores = []
    for name, more in ("alone", {}), ("beside", {"text_pair": "the soup came cold"}):
        data = write_csv(tmp_path / f"{name}.csv", [row | more for row in training.reviews()])
        assert main(["evaluate", str(model), "--data", str(data), "-o", str(tmp_path / name)]) == 0
        scores.append(read(tmp_path / name)[0]["test"])
    assert scores[0] == scores[1]


def test_nothing_tells_of_an_older_model_and_a_second_text_is_read(
    model: Path, write_csv: Callable[..., Path], tmp_path: Path
) -> None:
    older = tmp_path / "older"
    shutil.copytree(model / "model", older)
    config = json.loads((older / "config.json").read_text())
    assert config["textxfer"].pop("pairs") is False
    (older / "config.json").write_text(json.dumps(config))
    data = write_csv(tmp_path / "rows.csv", [row | {"text_pair": "so"} for row in training.reviews()])
    assert main(["evaluate", str(older), "--data", str(data), "-o", str(tmp_path / "out")]) == 0
    assert read(tmp_path / "out")[1][0]["text_pair"] == "so"


def test_an_exported_model_has_the_same_scores(
    model: Path, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    from textxfer.serving.export import export_onnx

    exported = export_onnx(model, tmp_path / "exported").folder
    for name, more in (("torch", []), ("onnx", ["--backend", "onnx", "--quiet"])):
        given = [str(exported if more else model), "--data", str(rows), *more, "-o", str(tmp_path / name)]
        capsys.readouterr()
        assert main(["evaluate", *given]) == 0
        assert bool(capsys.readouterr().out) == (name == "torch")
    one, other = read(tmp_path / "torch")[0], read(tmp_path / "onnx")[0]
    assert one["confusion"] == other["confusion"]
    assert one["test"] == pytest.approx({**one["test"], **other["test"]}, abs=1e-5)


def test_batches_have_the_size_that_is_asked_for(
    model: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from textxfer.evaluation import forward

    sizes: list[int] = []
    plain = forward.sorted_batches

    def kept(lengths: Any, batch_tokens: int) -> Any:
        sizes.append(batch_tokens)
        return plain(lengths, batch_tokens)

    monkeypatch.setattr(forward, "sorted_batches", kept)
    command = ["evaluate", str(model), "--data", str(rows), "-o", str(tmp_path / "out"), "--batch-tokens", "64"]
    assert main(command) == 0
    assert sizes == [64]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--text", "txt"], "say `--text`"),
        (["--slice", "sources"], "did you mean `source`"),
        (["--split", "test"], "is one file"),
        (["--metrics", "accurcy"], "did you mean `accuracy`"),
        (["--metrics", "exact_match"], "metrics: `exact_match` judges answers, but the task gives labels"),
        (["--metrics", "accuracy, mean_distance"], "metrics: `mean_distance` needs labels with an order"),
        (["--slice", "id"], "no slices by `id`: results have that name"),
        (["--slice", "length"], "no slices by `length`"),
        (["--label", "source", "--slice", "label"], "no slices by `label`"),
        (["--label-delimiter", "|"], "the model gives one label a text; leave `--label-delimiter` out"),
        (["--backend", "onnx", "--precision", "auto"], "--precision is for torch"),
    ],
)
def test_what_is_wrong_is_said(
    model: Path, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], words: str
) -> None:
    assert main(["evaluate", str(model), "--data", str(rows), *more, "-o", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert "Traceback" not in told
    assert not (tmp_path / "out").exists()


def test_labels_that_the_model_does_not_know_are_named(
    model: Path, write_csv: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_csv(tmp_path / "rows.csv", [*training.reviews()[:4], {"text": "so so", "label": "goodd"}])
    assert main(["evaluate", str(model), "--data", str(data), "-o", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert "rows.csv: unknown label `goodd`" in told
    assert "did you mean `good`" in told


def test_f1_is_refused_for_three_labels(bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import textxfer
    from textxfer.errors import RecipeError

    rows = [row | {"label": "abc"[number % 3]} for number, row in enumerate(training.reviews())]
    recipe = {"name": "three", "checkpoint": str(bert), "task": {"name": "topic", "max_length": 32}}
    recipe |= {"train": {"max_steps": 1}, "output": {"directory": str(tmp_path)}}
    run = textxfer.run_recipe(recipe, splits={"train": rows, "validation": rows}).folder
    data = lines_of(tmp_path / "rows.jsonl", rows)
    assert main(["evaluate", str(run), "--data", str(data), "--metrics", "f1", "-o", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == "metrics: `f1` needs two labels, and there are 3; try `macro_f1`\n"
    with pytest.raises(RecipeError, match="`f1` needs two labels"):
        textxfer.pipeline(run).evaluate(rows, metrics=["f1"])  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("food", "row 1: has one label and no list ('food'); say `--label-delimiter`"),
        ("food|view", "row 1: has one label and no list ('food|view'); say `--label-delimiter`"),
        (["food", None], "row 1: the label is missing"),
        (["food", "views"], "unknown label `views`; did you mean `view`"),
    ],
)
def test_labels_must_be_sets_for_a_model_of_sets(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], label: Any, words: str
) -> None:
    data = lines_of(tmp_path / "topics.jsonl", [row | {"label": label} for row in training.topics()])
    assert main(["evaluate", str(pairs), "--data", str(data), "-o", str(tmp_path / "out")]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([["good"], ["bad"]], "row 1: has a list of labels (['good']); the model gives one label a text\n"),
        (["good", None], "row 2: the label is missing"),
        ([None, None], "every label is missing (-1 or null), as in splits whose labels the Hub hides; use another "),
    ],
)
def test_labels_must_be_single_for_a_model_of_single_ones(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], labels: list[Any], words: str
) -> None:
    data = lines_of(tmp_path / "rows.jsonl", [{"text": "so so", "label": label} for label in labels])
    assert main(["evaluate", str(model), "--data", str(data), "-o", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert "`--test`" not in told


def test_slices_by_dates(model: Path, tmp_path: Path) -> None:
    import datasets

    days = [datetime.date(2024, 5, 1 + number % 2) for number in range(40)]
    rows = datasets.Dataset.from_list(training.reviews()).add_column("day", days)  # type: ignore[arg-type]
    rows.to_parquet(tmp_path / "rows.parquet")
    command = ["evaluate", str(model), "--data", str(tmp_path / "rows.parquet"), "--slice", "day"]
    assert main([*command, "-o", str(tmp_path / "out")]) == 0
    found, lines = read(tmp_path / "out")
    assert {name: part["rows"] for name, part in found["slices"]["day"].items()} == {"2024-05-01": 20, "2024-05-02": 20}
    assert lines[1]["day"] == "2024-05-02"


def test_a_folder_needs_no_more_than_the_split_that_is_judged(
    model: Path, write_csv: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_csv(tmp_path / "data" / "test.csv", training.reviews()).parent
    command = ["evaluate", str(model), "--data", str(data), "-o", str(tmp_path / "out")]
    assert main([*command, "--split", "train"]) == 2
    assert capsys.readouterr().err.startswith(f"{data}: has no train file (there is: test.csv; kinds:")
    (data / "train.csv").write_text("")
    assert main(command) == 0
    assert main([*command[:3], str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err == f"{tmp_path / 'none'}: there is no such file or folder (--data)\n"


def test_one_label_in_the_data_is_enough(model: Path, write_csv: Callable[..., Path], tmp_path: Path) -> None:
    data = write_csv(tmp_path / "rows.csv", [row for row in training.reviews() if row["label"] == "good"])
    assert main(["evaluate", str(model), "--data", str(data), "-o", str(tmp_path / "out")]) == 0
    assert list(read(tmp_path / "out")[0]["slices"]["label"]) == ["good"]


def test_a_folder_that_is_no_evaluation_is_not_touched(
    model: Path, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    assert main(["evaluate", str(model), "--data", str(rows), "-o", str(out), "--overwrite"]) == 2
    assert main(["evaluate", str(model), "--data", str(rows), "-o", str(model), "--overwrite"]) == 2
    assert (out / "thesis.txt").exists()
    assert (model / "model").exists()
    assert "is no evaluation" in capsys.readouterr().err


def test_an_evaluation_is_replaced_only_when_told(
    model: Path, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", str(model), "--data", str(rows), "-o", str(tmp_path / "out")]
    assert [main(command), main(command), main([*command, "--overwrite"])] == [0, 2, 0]
    assert "--overwrite replaces it" in capsys.readouterr().err


@pytest.mark.parametrize("at", [1, 4])
def test_an_old_evaluation_stays_until_the_new_one_is_whole(
    at: int,
    model: Path,
    rows: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "results" / "out"
    command = ["evaluate", str(model), "--data", str(rows), "-o", str(out)]
    assert main(command) == 0
    old = {path.name: path.read_bytes() for path in out.iterdir()}
    fsync, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    assert main([*command, "--overwrite"]) == 2
    assert capsys.readouterr().err == f"{out}: cannot be written: No space left on device\n"
    assert {path.name: path.read_bytes() for path in out.iterdir()} == old
    assert [path.name for path in out.parent.iterdir()] == ["out"], "nothing is left of the new one"


def test_each_file_is_flushed_once(model: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    assert main(["evaluate", str(model), "--data", str(rows), "-o", str(tmp_path / "out")]) == 0
    assert len(flushed) == len([tmp_path / "out", *(tmp_path / "out").iterdir()])


def test_the_report_bears_the_name_of_its_folder(model: Path, rows: Path, tmp_path: Path) -> None:
    assert main(["evaluate", str(model), "--data", str(rows), "-o", str(tmp_path / "shop-reviews")]) == 0
    assert "<title>shop-reviews" in (tmp_path / "shop-reviews" / "report.html").read_text()


def test_the_folder_that_one_works_in_is_not_replaced(
    model: Path, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("textxfer.serving.assess.assess", None)  # it is told before anything is computed
    assert main(["evaluate", str(model), "--data", str(rows), "-o", "."]) == 2
    assert capsys.readouterr().err == ".: the folder that you work in cannot be replaced; name another with -o\n"
    assert [path.name for path in tmp_path.iterdir() if path.name != "rows.csv"] == ["here"]


def test_an_evaluation_that_a_link_leads_to_is_replaced_where_it_is(model: Path, rows: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    command = ["evaluate", str(model), "--data", str(rows), "-o", str(tmp_path / "link")]
    assert main(command) == 0
    (tmp_path / "elsewhere" / "old").write_text("")
    assert main([*command, "--overwrite"]) == 0
    assert (tmp_path / "link").is_symlink()
    assert {path.name for path in (tmp_path / "elsewhere").iterdir()} == {
        "metrics.json", "predictions.jsonl", "report.html",
    }  # fmt: skip
