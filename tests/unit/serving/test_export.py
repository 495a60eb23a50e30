"""`export_onnx`: what it writes, what it is checked on, and what it refuses."""

from __future__ import annotations

import csv
import errno
import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import textxfer
from tests.trained import questions, topics
from textxfer.errors import CheckpointError, DataError, MissingExtra, OutputError
from textxfer.labels import LabelSet
from textxfer.records import Predictions
from textxfer.serving import _graph, export
from textxfer.serving._checked_on import rows_to_check
from textxfer.serving.engine import Engine
from textxfer.serving.export import agreement, export_onnx
from textxfer.tasks.question_answering import QuestionAnswering
from textxfer.tasks.sentiment import Sentiment


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture(scope="session")
def run(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose rows are in files."""
    from tests.trained import reviews

    folder = tmp_path_factory.mktemp("with-files")
    for split, rows in (("train", reviews()), ("validation", reviews()[:10])):
        with (folder / f"{split}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, ["text", "label"])
            writer.writeheader()
            writer.writerows(rows)
    recipe = {
        "name": "sentiment",
        "checkpoint": str(bert),
        "dataset": {"path": str(folder)},
        "task": {"name": "sentiment", "max_length": 32},
        "train": {"epochs": 1, "batch_size": 8, "learning_rate": 5e-3, "precision": "fp32"},
        "output": {"directory": str(folder / "runs")},
    }
    return Path(textxfer.run_recipe(recipe).folder)


# --- what is written


def test_run_is_exported_beside_its_model_and_checked_on_its_validation_rows(
    run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    result = export_onnx(run)
    assert capfd.readouterr() == ("", "")
    assert result.folder == run / "onnx"
    assert result.checked_on == f"10 validation rows of {run}"
    assert files(result.folder) == {"model.onnx", "config.json", "tokenizer.json", "tokenizer_config.json"}
    assert 0 < result.difference < 1e-4  # as export promises; the size of the logits is a matter of the seed
    assert (result.agreement, result.notes) == (1.0, ())
    assert result.size == (result.folder / "model.onnx").stat().st_size
    assert not [name for name in files(run) if name.startswith(".")]
    expected = textxfer.pipeline(run)(["the soup came cold"])
    assert textxfer.pipeline(run, backend="onnx")(["the soup came cold"])[0]["label"] == expected[0]["label"]
    with pytest.raises(OutputError) as error:
        export_onnx(run)
    assert str(error.value) == (
        f"{run / 'onnx'}: holds an exported model; --overwrite replaces it, or name another by -o"
    )


def test_agreement_is_of_whole_label_sets_and_of_answers() -> None:
    one, other = np.zeros((2, 2000), dtype=np.int64), np.zeros((2, 2000), dtype=np.int64)
    other[1, 1000] = 1  # of a set so large, numpy's text leaves out the middle
    ids = ["0", "1"]
    assert agreement(Predictions(ids, one, None), Predictions(ids, other, None)) == 0.5
    assert agreement(Predictions(ids, ["Ann", ""], None), Predictions(ids, ["Ann", "Bob"], None)) == 0.5


def test_graph_takes_batches_of_any_size_and_says_no_more_than_is_needed(exported: Any) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(exported() / "model.onnx"))
    assert [each.name for each in session.get_outputs()] == ["logits"]
    for shape in ((1, 1), (5, 3), (2, 64)):
        feeds = {each.name: np.ones(shape, dtype=np.int64) for each in session.get_inputs()}
        assert session.run(None, feeds)[0].shape == (shape[0], 2)
    config = json.loads((exported() / "config.json").read_text())
    assert config["textxfer"]["max_length"] == 32
    tokenizer = json.loads((exported() / "tokenizer.json").read_text())
    assert (tokenizer["truncation"], tokenizer["padding"]) == (None, None)


@pytest.mark.slow
def test_encoder_and_decoder_give_the_logits_alone(exported: Any) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(exported("t5", "question_answering") / "model.onnx"))
    assert [each.name for each in session.get_outputs()] == ["start_logits", "end_logits"]


def test_8_bits_have_a_folder_and_operators_of_their_own(run: Path) -> None:
    result = export_onnx(run, int8=True)
    assert result.folder == run / "onnx-int8"
    assert files(result.folder) == {"model.onnx", "config.json", "tokenizer.json", "tokenizer_config.json"}
    import onnx

    kinds = {node.op_type for node in onnx.load(str(result.folder / "model.onnx")).graph.node}
    assert "MatMulInteger" in kinds or "DynamicQuantizeMatMul" in kinds


def test_as_many_weights_get_8_bits_as_the_predictions_bear(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shares, place = iter([0.95, 0.98, 0.995]), run.parent / "borne"
    monkeypatch.setattr(export, "agreement", lambda one, other: next(shares))
    result = export_onnx(run, place, int8=True)
    assert result.agreement == 0.995
    assert result.notes == (
        "the head and the narrowing half of each feed-forward layer stay fp32, or only 95.0% of 10 validation rows of "
        f"{run} would be predicted as in torch",
    )
    import onnx

    whole = [
        list(weight.dims)
        for weight in onnx.load(str(place / "model.onnx")).graph.initializer
        if len(weight.dims) == 2 and weight.data_type == onnx.TensorProto.FLOAT
    ]
    assert whole.count([32, 16]) == 2, "of two layers"
    shares = iter([0.95, 0.987, 0.96, 0.97])
    result = export_onnx(run, place, int8=True, overwrite=True)
    assert result.agreement == 0.987
    assert result.notes == (
        f"warning: with 8-bit weights 98.7% of 10 validation rows of {run} are predicted as in torch, less than 99%; "
        "export without --int8 where that is not good enough",
    )


def test_weights_too_large_for_the_graph_stand_beside_it(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_graph, "MOST_BYTES", 0)
    result = export_onnx(trained(), tmp_path / "x", int8=True)
    assert {"model.onnx", "model.onnx.data"} <= files(result.folder)
    assert not [name for name in files(result.folder) if name.startswith("bare")]
    assert result.size == sum((result.folder / name).stat().st_size for name in ("model.onnx", "model.onnx.data"))
    assert textxfer.pipeline(result.folder, backend="onnx")("rude")[0]["label"] in ("bad", "good")


def test_models_of_plain_transformers(stock: Any, tmp_path: Path) -> None:
    folder = stock("bert", "AutoModelForSequenceClassification", num_labels=3)
    result = export_onnx(folder, tmp_path / "deep" / "out")
    assert result.checked_on == "12 built-in texts"
    ours = textxfer.pipeline(result.folder, backend="onnx")("the film was a delight", top_k=None)
    theirs = textxfer.pipeline(folder)("the film was a delight", top_k=None)
    assert [each["label"] for each in ours] == [each["label"] for each in theirs]
    assert [each["score"] for each in ours] == pytest.approx([each["score"] for each in theirs], abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["distilbert", "roberta", "mpnet", "electra", "deberta-v2", "modernbert"])
def test_other_families(family: str, stock: Any, tmp_path: Path) -> None:
    assert export_onnx(stock(family, "AutoModelForSequenceClassification"), tmp_path / "x").difference < 1e-4


# --- what it is checked on


def engine_of(task: Any, pairs: bool | None = None) -> Engine:
    """Gives an engine without a model, which knows its task."""
    labels = None if task.predicts == "answers" else LabelSet(("bad", "good"))
    nothing: Any = None
    return Engine(task, labels, nothing, nothing, pairs=pairs)


SENTIMENT, ANSWERS = engine_of(Sentiment()), engine_of(QuestionAnswering())


def test_rows_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"body": f"text {number}", "other": 1}) + "\n" for number in range(2500)))
    found = rows_to_check("x", SENTIMENT, path, {"text": "body"})
    assert found.what == f"rows of {path}"
    assert len(found.rows) == 2000
    assert found.rows[0] == {"text": "text 0"}
    assert found.rows[-1] == {"text": "text 2498"}, "from all over the file"
    with pytest.raises(DataError, match="unknown column `text`"):
        rows_to_check("x", SENTIMENT, path)
    with pytest.raises(DataError, match="the model has no use for --question"):
        rows_to_check("x", SENTIMENT, path, {"text": "body", "question": "body"})


def test_questions_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in questions()))
    assert rows_to_check("x", ANSWERS, path).rows[0].keys() == {"question", "context"}
    assert rows_to_check("x", ANSWERS).what == "built-in texts"


@pytest.mark.parametrize(("pairs", "read"), [(True, True), (None, True), (False, False)])
def test_second_texts_of_a_file_are_read_unless_the_model_is_of_single_ones(
    pairs: bool | None, read: bool, tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    row = {"text": "one", "text_pair": "two", "other": "three"}
    path.write_text(json.dumps(row) + "\n")
    texts = {"text": "one"} | ({"text_pair": "two"} if read else {})
    engine = engine_of(Sentiment(), pairs)
    assert rows_to_check("x", engine, path).rows == [texts]
    assert rows_to_check("x", engine, path, {"text_pair": "other"}).rows == [texts | {"text_pair": "three"}]


def test_a_file_of_single_texts_is_no_check_of_a_model_of_pairs(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "one", "second": "two"}\n')
    engine = engine_of(Sentiment(), pairs=True)
    with pytest.raises(DataError, match=r"no column `text_pair`, and the model was trained on pairs of texts; say"):
        rows_to_check("x", engine, path)
    assert rows_to_check("x", engine, path, {"text_pair": "second"}).rows == [{"text": "one", "text_pair": "two"}]
    found = rows_to_check("x", engine)
    assert found.what == "built-in pairs of texts"
    assert all(set(row) == {"text", "text_pair"} and row["text"] != row["text_pair"] for row in found.rows)


def test_a_model_of_pairs_is_checked_on_both_texts(
    varied: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in topics()))
    seen: list[Any] = []
    predict = Engine.predict
    monkeypatch.setattr(Engine, "predict", lambda engine, rows: seen.append(rows) or predict(engine, rows))
    result = export_onnx(varied("bert", "topic"), tmp_path / "x", data=data)
    assert result.checked_on == f"40 rows of {data}"
    texts = [{name: row[name] for name in ("text", "text_pair")} for row in topics()]
    assert seen == [texts, texts], "by torch, and by ONNX Runtime"


def test_run_whose_rows_are_gone(trained: Any) -> None:
    found = rows_to_check(str(trained() / "model"), SENTIMENT)
    assert found.what == "built-in texts"
    assert found.notes[0].startswith(f"the rows of {trained()} cannot be read: ")


# --- what is refused


def left(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_model_without_a_head(bert: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="has no classification or question answering head"):
        export_onnx(bert, tmp_path / "x")
    assert left(tmp_path) == []


def test_family_that_is_not_known(stock: Any, tmp_path: Path) -> None:
    folder = stock("bert", "AutoModelForSequenceClassification")
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "xlnet"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="is of the family 'xlnet'; textxfer knows: bert, "):
        export_onnx(folder, tmp_path / "x")


def test_model_that_the_exporter_does_not_take(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no such operator\nand a long story")

    monkeypatch.setattr(export, "write_graph", fail)
    with pytest.raises(CheckpointError) as error:
        export_onnx(trained(), tmp_path / "x")
    what = "a BertForSequenceClassification cannot be exported: no such operator"
    assert str(error.value) == f"{trained()}: {what}"
    assert left(tmp_path) == []


def test_graph_that_is_not_the_same(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from textxfer.serving.onnx_backend import OnnxBackend

    def shifted(self: OnnxBackend, task: Any, batch: Any) -> dict[str, np.ndarray]:
        return {name: array + 2e-4 for name, array in given(self, task, batch).items()}

    given = OnnxBackend.outputs
    monkeypatch.setattr(OnnxBackend, "outputs", shifted)
    with pytest.raises(CheckpointError, match=r"its logits differ from torch's by up to 0\.0002 \(more than 0\.0001\)"):
        export_onnx(trained(), tmp_path / "x")
    assert left(tmp_path) == []


def test_folder_that_cannot_be_written(trained: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    with pytest.raises(OutputError, match=r"file/x: cannot be written: .*file is not a folder"):
        export_onnx("someone/model", tmp_path / "file" / "x")  # it is told before the model is sought
    assert left(tmp_path) == ["file"]


def test_folder_that_one_works_in_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match=r"^\.: the folder that you work in cannot be replaced"):
        export_onnx("someone/model", ".")


def test_full_disk_is_told_of_the_place(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError) as error:
        export_onnx(trained(), tmp_path / "x")
    assert str(error.value) == f"{tmp_path / 'x'}: cannot be written: No space left on device"
    assert left(tmp_path) == []


@pytest.mark.parametrize("reading", ["open_checkpoint", "load_engine", "rows_to_check"])
def test_what_cannot_be_read_is_not_told_of_the_place(
    reading: str, trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*_: Any, **__: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), "rows.csv")

    monkeypatch.setattr(export, reading, damaged)
    with pytest.raises(OSError, match=r"Input/output error: 'rows.csv'"):
        export_onnx(trained(), tmp_path / "x")
    assert left(tmp_path) == []


def test_folder_of_something_else_is_not_touched(trained: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for place in (tmp_path, trained() / "model", tmp_path / "notes.txt"):
        with pytest.raises(OutputError, match="is there, but is no exported model; nothing of it is touched"):
            export_onnx(trained(), place, overwrite=True)
    with pytest.raises(OutputError, match="is no folder that the exported model could go into; name one by -o"):
        export_onnx("someone/model")


def test_packages_that_are_not_installed(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.util.find_spec
    gone = ("onnx", "onnxscript")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in gone else there(name))
    with pytest.raises(MissingExtra) as error:
        export_onnx(trained(), tmp_path / "x")
    assert str(error.value) == "exporting needs onnx, onnxscript: pip install 'textxfer[onnx]'"
