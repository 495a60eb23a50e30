"""`textxfer evaluate`: a saved model on any labelled rows."""

from __future__ import annotations

import json
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
    told = [{**row, "source": "ab"[number % 2]} for number, row in enumerate(training.reviews())]
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
