"""Whatever is wrong with a file, the arguments or the disk is told in words, and what is done is kept."""

from __future__ import annotations

import io
import json
import resource
import shutil
from pathlib import Path
from typing import Any

import pytest

from textxfer.errors import CheckpointError, DataError, OutputError, TextxferError
from textxfer.serving.bulk import predict_file

GOOD = b'{"text": "a"}\n'


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def refused(kind: type[TextxferError], model: Any, file: Any, output: Path, **options: Any) -> str:
    """Gives the message; nothing may be written."""
    before = sorted(output.parent.iterdir()) if output.parent.is_dir() else []
    with pytest.raises(kind) as caught:
        predict_file(model, file, output, **options)
    assert (sorted(output.parent.iterdir()) if output.parent.is_dir() else []) == before
    return str(caught.value)


# --- before the model is loaded


@pytest.fixture
def model(trained: Any, tmp_path: Path) -> Path:
    """A model whose weights cannot be loaded: what is wrong must be found before."""
    folder = tmp_path / "broken"
    shutil.copytree(trained("bert") / "model", folder)
    (folder / "model.safetensors").write_bytes(b"no weights")
    return folder


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (b'{"txt": "a", "id": 1}\n', {}, "unknown column `text`; did you mean `txt`? (there are: txt, id); say --text"),
        (GOOD, {"text": "texts"}, "has unknown column `texts`; did you mean `text`? (there are: text) (--text)"),
        (GOOD, {"text_pair": "b"}, "has unknown column `b` (there are: text) (--text-pair)"),
        (GOOD, {"columns": ["text", "idd"]}, "has unknown column `idd` (there are: text) (--columns)"),
        (b'{"text": "a", "id": 1, "label": 0}\n', {}, "has a column `label`, and predictions get one of that name; "
         "leave it out: --columns text,id"),
        (b'{"text": "a", "score": 0}\n', {"columns": ["score"]}, "leave it out: --columns none"),
        (b'{"text": "a", "labels": 0}\n', {"top_k": 2}, "has a column `labels`"),
        (GOOD, {"question": "text"}, "the model labels texts and has no use for --question (it takes --text, ...)"),
        (GOOD + b"{}}\n[]\n", {}, "in.jsonl line 2: is not JSON: Extra data at column 3"),
        (GOOD, {"file_format": "jsonnl"}, "--format: unknown format `jsonnl`; did you mean `jsonl`?"),
    ],
)  # fmt: skip
def test_mistakes_in_columns(content: bytes, options: dict[str, Any], said: str, model: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "in.jsonl", content)
    assert said in refused(DataError, model, file, tmp_path / "out.jsonl", **options)


def test_a_model_of_pairs_reads_a_second_text(trained: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "in.jsonl", b'{"text": "a", "second": "b"}\n')
    said = refused(DataError, trained("bert", "topic"), file, tmp_path / "out.jsonl")
    words = "in.jsonl: has no column `text_pair`, and the model was trained on pairs of texts; say --text-pair COLUMN"
    assert said.endswith(words)
    found = []
    for name in ("second", "text_pair"):
        file = write(tmp_path / "in.jsonl", f'{{"text": "the film", "{name}": "a delight"}}\n'.encode())
        named = {"text_pair": name} if name == "second" else {}
        predict_file(trained("bert", "topic"), file, output := tmp_path / f"{name}.jsonl", top_k=3, **named)
        found.append(json.loads(output.read_text())["scores"])
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "in.jsonl: has unknown column `question` (there are: text, context); say --question COLUMN"),
        ({"text": "text"}, "the model finds answers and has no use for --text (it takes --question, --context)"),
        ({"top_k": 2, "question": "text"}, "the model finds answers and has no use for --top-k"),
    ],
)
def test_mistakes_in_columns_of_questions(options: dict[str, Any], said: str, trained: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "in.jsonl", b'{"text": "a", "context": "b"}\n')
    assert said in refused(DataError, trained("bert", "question_answering"), file, tmp_path / "out.csv", **options)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("out.xlsx", {}, "out.xlsx: predictions are written as .jsonl .ndjson .csv .parquet, not as .xlsx files"),
        ("out", {}, "out: predictions are written as .jsonl .ndjson .csv .parquet, not as files without ending"),
        ("no/out.csv", {}, "no/out.csv: there is no folder "),
        ("in.jsonl", {"overwrite": True}, "in.jsonl: is the file to be read; name another by -o"),
        ("there.csv", {}, "there.csv: is there already; --overwrite replaces it (--resume goes on with an unfinished"),
        ("there.csv", {"resume": True}, "there.csv: is finished, or not of this command (there is no there.csv.state"),
        ("begun.csv", {}, "begun.csv: is unfinished; --resume goes on with it, --overwrite begins anew"),
        ("begun.csv", {"resume": True}, "begun.csv.state: cannot be read: "),
        ("out.csv", {"resume": True, "overwrite": True}, "--resume and --overwrite exclude each other"),
        ("folder.csv", {"overwrite": True}, "folder.csv: is a folder; name a file"),
        ("out.jsonl", {"harmless": True}, "--harmless is for .csv, which spreadsheets open; name such a file by -o"),
    ],
)
def test_mistakes_in_the_output(name: str, options: dict[str, Any], said: str, model: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "in.jsonl", GOOD)
    write(tmp_path / "there.csv", b"precious")
    write(tmp_path / "begun.csv.state", b"{")
    (tmp_path / "folder.csv").mkdir()
    assert said in refused(OutputError, model, file, tmp_path / name, **options)
    assert (tmp_path / "there.csv").read_bytes() == b"precious"


@pytest.mark.parametrize("options", [{"resume": True}, {"overwrite": True}])
def test_a_stream_cannot_be_gone_on_with(options: dict[str, Any], model: Path) -> None:
    with pytest.raises(OutputError, match="goes with a file: -o FILE"):
        predict_file(model, io.BytesIO(GOOD), io.BytesIO(), **options)


@pytest.mark.parametrize("top_k", [0, -1, 1.5, "2"])
def test_top_k_must_be_a_number_from_1_on(top_k: Any, model: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="top_k must be a whole number from 1 on"):
        predict_file(model, tmp_path / "in.csv", tmp_path / "out.csv", top_k=top_k)


def test_the_precision_reaches_the_model(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="precision must be 'fp32' or 'auto', not 'low'"):
        predict_file(model, write(tmp_path / "in.jsonl", GOOD), tmp_path / "out.csv", precision="low")  # type: ignore[arg-type]


def test_a_device_that_is_not_there(model: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "in.jsonl", GOOD)
    for device in ("toaster", "cuda:99"):
        said = refused(TextxferError, model, file, tmp_path / "out.csv", device=device)
        assert said.startswith(f"device {device}: cannot be used here: ")


def test_mistakes_in_the_model(bert: Path, model: Path, tmp_path: Path) -> None:
    file, target = write(tmp_path / "in.jsonl", GOOD), tmp_path / "out.csv"
    assert "has no classification or question answering head" in refused(CheckpointError, bert, file, target)
    assert "there is no such folder" in refused(CheckpointError, "./none", file, target)
    write(target, b"precious")
    refused(CheckpointError, model, file, target, overwrite=True)
    assert target.read_bytes() == b"precious", "nothing is replaced before there is something better"


# --- bad rows

HEAD = GOOD * 1500  # more than the rows that are looked at first
BAD_ROWS = {
    "malformed": (b'{"text": "b"\n', "is not JSON"),
    "no object": (b'["b"]\n', "is a list, not an object"),
    "no text": (b'{"id": 7}\n', "column `text` is missing"),
    "null": (b'{"text": null, "id": 7}\n', "column `text` is missing"),
    "number": (b'{"text": 5, "id": 7}\n', "column `text` holds int (5), not text"),
    "half a character": (b'{"text": "a \\ud800", "id": 7}\n', "column `text` is not valid Unicode from character 2 on"),
    "not UTF-8": (b'{"text": "caf\xe9"}\n', "is not UTF-8 (byte 0xe9)"),
    "taken name": (b'{"text": "b", "label": 1}\n', "has a column `label`, and predictions get one of that name"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_bad_row_stops_and_can_be_mended(case: str, trained: Any, tmp_path: Path) -> None:
    bad, said = BAD_ROWS[case]
    file, target = write(tmp_path / "in.jsonl", HEAD + bad + GOOD), tmp_path / "out.jsonl"
    with pytest.raises(DataError) as caught:
        predict_file(trained("bert"), file, target, batch_tokens=500)
    first, last = caught.value.lines
    assert first.startswith(f"{file} line 1501: {said}")
    assert last == f"{target}: the first 1,500 rows are kept; --resume goes on from there"
    write(file, HEAD + GOOD + GOOD)
    assert predict_file(trained("bert"), file, target, batch_tokens=500, resume=True).resumed_at == 1500
    predict_file(trained("bert"), file, tmp_path / "whole.jsonl", batch_tokens=500)
    assert target.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


@pytest.mark.parametrize("output", ["jsonl", "csv", "parquet"])
def test_bad_rows_can_be_skipped(output: str, trained: Any, tmp_path: Path) -> None:
    """Also by going on after one has stopped the first attempt."""
    bad = b"".join(line for line, _ in BAD_ROWS.values())
    file, target = (
        write(tmp_path / "in.jsonl", b'{"text": "a", "id": 1}\n' * 1500 + bad + GOOD),
        tmp_path / f"o.{output}",
    )
    with pytest.raises(DataError, match="and 3 more like this"):
        predict_file(trained("bert"), file, target, batch_tokens=500)
    result = predict_file(trained("bert"), file, target, batch_tokens=500, resume=True, skip_bad=True)
    count = len(BAD_ROWS)
    assert (result.rows, result.bad_rows) == (1501 + count, count)
    from textxfer.sources.files import read_file

    rows = read_file(target).rows.to_list()
    nothing = "" if output == "csv" else None
    assert [row["label"] == nothing for row in rows] == [False] * 1500 + [True] * count + [False]
    assert [row["score"] for row in rows[1500:-1]] == [nothing] * count
    assert {str(row["id"]) for row in rows if row["text"] not in ("a", None, "", "b")} <= {"7", "None"}


@pytest.mark.parametrize(
    ("output", "said"), [("csv", "has a column `new`, which"), ("parquet", "has a column `new`, ")]
)
def test_rows_with_columns_of_their_own_fit_jsonl_only(output: str, said: str, trained: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "in.jsonl", HEAD + b'{"text": "b", "new": 1}\n')
    with pytest.raises(DataError) as caught:
        predict_file(trained("bert"), file, tmp_path / f"out.{output}")
    assert f"{file} line 1501: {said}" in str(caught.value)
    assert predict_file(trained("bert"), file, tmp_path / "named.csv", columns=["text"]).rows == 1501


def test_values_that_fit_no_column_of_parquet(trained: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "in.jsonl", b'{"text": "a", "n": 1}\n' * 1500 + b'{"text": "b", "n": "one"}\n')
    with pytest.raises(DataError) as caught:
        predict_file(trained("bert"), file, tmp_path / "out.parquet", batch_tokens=500)
    assert str(caught.value).startswith(f"{tmp_path}/out.parquet: a value does not fit its column (")
    assert caught.value.lines[0].endswith("write .jsonl, or leave the column out by --columns")
    assert caught.value.lines[1].endswith("the first 1,500 rows are kept; --resume goes on from there")


def test_a_stray_quote_in_the_middle_of_a_csv(trained: Any, tmp_path: Path) -> None:
    head = b"text\n" + b"a\n" * 1500
    file, target = write(tmp_path / "in.csv", head + b'"open\nb\n'), tmp_path / "out.csv"
    for options in ({}, {"resume": True, "skip_bad": True}):
        with pytest.raises(DataError) as caught:
            predict_file(trained("bert"), file, target, batch_tokens=500, **options)
        assert caught.value.lines[0].startswith(f"{file} line 1502: a cell opens with a double quote that never closes")
    write(file, head + b"open\nb\n")
    assert predict_file(trained("bert"), file, target, resume=True).rows == 1502


# --- the disk


@pytest.mark.parametrize("output", ["jsonl", "csv", "parquet"])
def test_a_full_disk_loses_nothing(output: str, trained: Any, tmp_path: Path) -> None:
    rows = [{"text": f"the film number {number} was rude"} for number in range(300)]
    file = write(tmp_path / "in.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
    target, whole = tmp_path / f"out.{output}", tmp_path / f"whole.{output}"
    options: dict[str, Any] = {"batch_tokens": 100}
    predict_file(trained("bert"), file, whole, **options)
    limit = (whole.stat().st_size * 2 // 3, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    try:
        with pytest.raises(OutputError) as caught:
            predict_file(trained("bert"), file, target, **options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.lines[0].startswith(f"{target}: cannot be written: ")
    assert caught.value.lines[0].endswith("File too large")
    done = 300 if output == "parquet" else 200
    assert caught.value.lines[1] == f"{target}: the first {done} rows are kept; --resume goes on from there"
    if output != "parquet":
        assert len(target.read_text().splitlines()) == (201 if output == "csv" else 200), "half a line is left"
    assert predict_file(trained("bert"), file, target, resume=True, **options).rows == 300
    assert target.read_bytes() == whole.read_bytes()
    assert sorted(tmp_path.iterdir()) == sorted([file, target, whole])


def test_nothing_is_left_of_what_never_began(trained: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "in.jsonl", GOOD)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(OutputError) as caught:
            predict_file(trained("bert"), file, tmp_path / "out.jsonl")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "cannot be written: File too large" in caught.value.lines[0]
    assert caught.value.lines[1] == f"{tmp_path}/out.jsonl: nothing was written"
    assert list(tmp_path.iterdir()) == [file]
