"""`predict_file`: what comes out is what `textxfer.pipeline` gives, whatever the kinds of files."""

from __future__ import annotations

import csv
import datetime
import gzip
import io
import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import textxfer
from tests.trained import questions, topics
from tests.unit.serving.conftest import TEXTS, close
from textxfer.errors import TextxferError
from textxfer.serving.bulk import predict_file
from textxfer.serving.engine import open_engine
from textxfer.sources.files import read_file

OUTPUTS = ("jsonl", "csv", "parquet")
ROWS = [{"id": f"r{number}", "text": text.strip("\n")} for number, text in enumerate(TEXTS * 5)]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Writes rows as the path's ending says."""
    import pyarrow as pa
    from pyarrow import parquet

    if path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".txt":
        path.write_text("".join(row["text"] + "\n" for row in rows))
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path


def read(path: Path) -> list[dict[str, Any]]:
    """Reads an output; scores of a csv as numbers again."""
    rows = read_file(path).rows.to_list()
    for row in rows if path.suffix == ".csv" else ():
        row.update({name: float(row[name]) for name in ("score",) if name in row})
        row.update({name: json.loads(row[name]) for name in ("labels", "scores", "start", "end") if name in row})
    return rows


@pytest.fixture
def predict(trained: Any, tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """Predicts rows from a file of one kind to one of another and gives what was written."""

    def call(
        rows: list[dict[str, Any]], source: str = "jsonl", output: str = "jsonl", model: Any = None, **options: Any
    ) -> list[dict[str, Any]]:
        file, target = write(tmp_path / f"in.{source}", rows), tmp_path / f"out.{output}"
        result = predict_file(model or trained("bert"), file, target, overwrite=True, **options)
        found = read(target)
        assert (result.path, result.rows, result.bad_rows, result.resumed_at) == (target, len(rows), 0, 0)
        assert result.seconds > result.predict_seconds > 0
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([file.name, target.name])
        return found

    return call


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("source", ["csv", "tsv", "json", "jsonl", "parquet", "txt"])
def test_any_kind_of_file_gives_the_rows_and_the_pipeline_s_labels(
    source: str, output: str, predict: Any, classify: Any
) -> None:
    found = predict(ROWS, source, output)
    columns = ["text"] if source == "txt" else ["id", "text"]
    assert [list(row) for row in found] == [[*columns, "label", "score"]] * len(ROWS)
    assert [{name: row[name] for name in columns} for row in found] == [
        {name: row[name] for name in columns} for row in ROWS
    ]
    assert close([{"label": row["label"], "score": row["score"]} for row in found], classify([r["text"] for r in ROWS]))


@pytest.mark.parametrize("batch_tokens", [1, 10, 500])
def test_rows_are_cut_into_pieces_and_come_out_in_their_order(batch_tokens: int, predict: Any) -> None:
    seen: list[tuple[int, float | None]] = []
    found = predict(ROWS, batch_tokens=batch_tokens, on_rows=lambda rows, share: seen.append((rows, share)))
    assert [row["id"] for row in found] == [row["id"] for row in ROWS]
    assert close(found, predict(ROWS))
    rows, shares = zip(*seen, strict=True)
    assert (rows[0], shares[0], rows[-1], shares[-1]) == (0, None, len(ROWS), 1)
    assert list(rows) == sorted(set(rows))
    assert max(second - first for first, second in pairwise(rows)) == min(batch_tokens, len(ROWS))


def test_long_rows_make_small_pieces(predict: Any) -> None:
    seen: list[int] = []
    predict(
        [{"text": "the soup came cold " * 1000}] * 20, batch_tokens=1000, on_rows=lambda rows, share: seen.append(rows)
    )
    assert seen == [0, 4, 8, 12, 16, 20], "64 bytes a token of a batch, 19,000 bytes a row"


@pytest.mark.parametrize("output", OUTPUTS)
def test_the_best_labels(output: str, predict: Any, classify: Any) -> None:
    found = predict(ROWS, "csv", output, top_k=2)
    for row, each in zip(found, classify([row["text"] for row in ROWS], top_k=2), strict=True):
        assert row["labels"] == [one["label"] for one in each]
        assert row["scores"] == pytest.approx([one["score"] for one in each], abs=1e-5)
    assert [row["label"] for row in predict(ROWS, "csv", output, top_k=1)] == [row["labels"][0] for row in found]


@pytest.mark.parametrize("output", OUTPUTS)
def test_label_sets_and_pairs(output: str, predict: Any, trained: Any, tmp_path_factory: Any) -> None:
    """A model with several labels a text gives those that apply; the second text counts."""
    rows = [{"a": row["text"], "b": row["text_pair"]} for row in topics()]
    folder = trained("bert", "topic") / "model"
    texts = [{"text": row["a"], "text_pair": row["b"]} for row in rows]
    config = json.loads((folder / "config.json").read_text())
    medians = np.median(open_engine(str(folder)).predict(texts).probabilities, axis=0).tolist()
    config["textxfer"]["thresholds"] = medians
    model = tmp_path_factory.mktemp("model") / "model"
    shutil.copytree(folder, model)
    (model / "config.json").write_text(json.dumps(config))
    found = predict(rows, "csv", output, model=model, text="a", text_pair="b")
    engine = open_engine(str(model))
    predictions = engine.predict(texts)
    for row, chosen, shares in zip(found, predictions.predicted, predictions.probabilities, strict=True):
        names = {name: share for name, share, yes in zip(engine.labels.names, shares, chosen, strict=True) if yes}
        assert set(row["labels"]) == set(names)
        assert row["scores"] == pytest.approx([names[name] for name in row["labels"]], abs=1e-5)
        assert row["scores"] == sorted(row["scores"], reverse=True)
    assert len({len(row["labels"]) for row in found}) > 1
    twice = predict(rows, "csv", output, model=model, text="a", text_pair="a", top_k=3)
    assert {len(row["labels"]) for row in twice} == {3}
    both = zip(twice, predictions.probabilities, strict=True)
    assert any(abs(sum(row["scores"]) - sum(shares)) > 1e-6 for row, shares in both), "the second text must count"


@pytest.mark.parametrize("output", OUTPUTS)
def test_answers(output: str, predict: Any, answer: Any, trained: Any) -> None:
    rows = [{"q": row["question"], "context": row["context"]} for row in questions()]
    found = predict(rows, "jsonl", output, trained("bert", "question_answering"), question="q")
    assert list(found[0]) == ["q", "context", "answer", "score", "start", "end"]
    expected = answer([{"question": row["q"], "context": row["context"]} for row in rows])
    assert close([{name: row[name] for name in ("answer", "score", "start", "end")} for row in found], expected)
    assert any(row["answer"] for row in found)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("source", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(("columns", "kept"), [("none", []), (["n", "id"], ["n", "id"]), ("all", ["id", "text", "n"])])
def test_the_columns_that_are_copied(source: str, output: str, columns: Any, kept: list[str], predict: Any) -> None:
    found = predict([row | {"n": "1"} for row in ROWS], source, output, columns=columns)
    assert [list(row) for row in found] == [[*kept, "label", "score"]] * len(ROWS)
    assert "id" not in kept or [row["id"] for row in found] == [row["id"] for row in ROWS]


def test_a_column_like_a_prediction_can_be_left_out(predict: Any) -> None:
    found = predict([row | {"label": "gold"} for row in ROWS], columns=["id"])
    assert {row["label"] for row in found} <= {"bad", "good"}


def test_types_of_a_parquet_file_stay(trained: Any, tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    fields = {
        "text": pa.large_string(),
        "n": pa.int8(),
        "day": pa.date32(),
        "at": pa.timestamp("us", tz="UTC"),
        "tags": pa.list_(pa.string()),
        "kind": pa.dictionary(pa.int32(), pa.string()),
        "image": pa.binary(),
    }
    row = {"text": "x", "n": 3, "day": datetime.date(2024, 2, 29), "tags": ["a"], "kind": "k", "image": b"\xff"}
    table = pa.Table.from_pylist([row, {"text": "y"}], pa.schema(fields))
    parquet.write_table(table, tmp_path / "in.parquet")
    predict_file(trained("bert"), tmp_path / "in.parquet", tmp_path / "out.parquet")
    written = parquet.read_table(tmp_path / "out.parquet")
    assert written.select(list(fields)).equals(table)
    assert [str(field.type) for field in written.schema][-2:] == ["string", "float"]
    names = [name for name in fields if name != "image"]
    for kind, day, missing in (("jsonl", "2024-02-29", None), ("csv", "2024-02-29", "")):
        predict_file(trained("bert"), tmp_path / "in.parquet", tmp_path / f"o.{kind}", columns=names)
        first, second = read(tmp_path / f"o.{kind}")
        assert (str(first["n"]), first["day"], second["day"]) == ("3", day, missing)
    with pytest.raises(textxfer.DataError, match="a column holds bytes, which only Parquet can; leave it out by "):
        predict_file(trained("bert"), tmp_path / "in.parquet", tmp_path / "p.jsonl")
    assert not (tmp_path / "p.jsonl").exists()


def test_jsonl_rows_keep_what_they_hold(trained: Any, tmp_path: Path) -> None:
    lines = [
        '{"text": "é 😀", "only here": {"deep": [1, 2.5, null, true]}}',
        '{"text": "x", "bad number": NaN, "half": ["\\ud83d"]}',
        '{"text": "y"}',
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    predict_file(trained("bert"), tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    written = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert written[0].startswith(lines[0][:-1]), "letters stay letters"
    rows = [json.loads(line) for line in written]
    assert (rows[1]["bad number"], rows[1]["half"]) == (None, ["\ud83d"])
    assert list(rows[2]) == ["text", "label", "score"]


def test_values_that_are_no_texts_in_csv(predict: Any) -> None:
    rows = [{"text": "x", "n": 1.5, "yes": True, "list": ["é", 1], "none": None}]
    (found,) = predict(rows, "jsonl", "csv")
    assert {name: found[name] for name in rows[0]} == {
        "text": "x", "n": "1.5", "yes": "true", "list": '["é", 1]', "none": "",
    }  # fmt: skip


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(max_size=30), min_size=1, max_size=5), output=st.sampled_from(OUTPUTS))
def test_any_text_comes_out_as_it_went_in(texts: list[str], output: str, trained: Any, tmp_path: Path) -> None:
    file, target = write(tmp_path / "in.jsonl", [{"text": text} for text in texts]), tmp_path / f"out.{output}"
    predict_file(trained("bert"), file, target, overwrite=True)
    assert [row["text"] for row in read(target)] == texts


DANGEROUS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\tx", "\rx"]


def test_csv_is_made_harmless_on_request_only(predict: Any) -> None:
    rows = [{"text": text, "=head": "-5"} for text in [*DANGEROUS, "a=1", "", " =1"]]
    plain = predict(rows, "jsonl", "csv")
    assert [row["text"] for row in plain] == [row["text"] for row in rows]
    safe = predict(rows, "jsonl", "csv", harmless=True)
    assert [row["text"] for row in safe] == [*(f"'{text}" for text in DANGEROUS), "a=1", "", " =1"]
    assert {row["'=head"] for row in safe} == {"-5"}, "a number is no formula"
    assert close(safe, [row | {"text": other["text"], "'=head": "-5"} for row, other in zip(safe, safe, strict=True)])
    assert [row["score"] for row in safe] == [row["score"] for row in plain]


def test_streams_in_and_out(trained: Any, predict: Any) -> None:
    source, target = io.BytesIO(b'{"text": "rude"}\n{"text": "a delight"}'), io.BytesIO()
    result = predict_file(str(trained("bert")), source, target)
    assert (result.rows, result.path) == (2, None)
    rows = [json.loads(line) for line in target.getvalue().splitlines()]
    assert close(rows, predict([{"text": "rude"}, {"text": "a delight"}]))


def test_packed_files(trained: Any, tmp_path: Path) -> None:
    (tmp_path / "in.csv.gz").write_bytes(gzip.compress(b"text\nrude\n"))
    assert predict_file(trained("bert"), tmp_path / "in.csv.gz", tmp_path / "out.csv").rows == 1


def test_models_that_textxfer_never_saw(stock: Any, tmp_path: Path) -> None:
    model = stock("roberta", "AutoModelForSequenceClassification", num_labels=3)
    predict_file(model, write(tmp_path / "in.csv", ROWS), tmp_path / "out.jsonl")
    assert {row["label"] for row in read(tmp_path / "out.jsonl")} <= {"LABEL_0", "LABEL_1", "LABEL_2"}


def test_exported_model_predicts_a_file(exported: Any, varied: Any, predict: Any) -> None:
    ours, theirs = predict(ROWS, model=exported(), backend="onnx"), predict(ROWS, model=varied())
    assert close(ours, theirs)
    with pytest.raises(TextxferError, match="--precision is for torch"):
        predict(ROWS, model=exported(), backend="onnx", precision="auto")


def test_backend_that_there_is_not(predict: Any) -> None:
    with pytest.raises(ValueError, match="backend must be 'torch' or 'onnx', not 'jax'"):
        predict(ROWS, backend="jax")
