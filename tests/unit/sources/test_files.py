"""Which file is which split, and the other kinds of file."""

import os
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pytest
from pyarrow import parquet

from textxfer.errors import DataError
from textxfer.sources.files import Files, read_file


def put(folder: Path, *names: str, rows: str = "text,label\na,b\n") -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text(rows)
    return folder


def taken(source: Files) -> dict[str, str]:
    return {name: path.name for name, path in source.files().items()}


@pytest.mark.parametrize("validation", ["validation", "valid", "dev", "val", "Dev"])
def test_a_folder_is_read_by_stem(tmp_path: Path, validation: str) -> None:
    put(tmp_path, "train.csv", f"{validation}.csv", "test.csv", "extra.csv", "notes.md")
    source = Files(tmp_path)
    assert taken(source) == {"train": "train.csv", "validation": f"{validation}.csv", "test": "test.csv"}
    assert source.unused() == ["extra.csv"]
    splits = source.load()
    assert [name for name, _ in splits.present()] == ["train", "validation", "test"]
    assert splits.test is not None
    assert splits.test.where(0) == f"{tmp_path / 'test.csv'} row 1"


def test_train_alone_is_enough(tmp_path: Path) -> None:
    splits = Files(put(tmp_path, "train.csv")).load()
    assert splits.validation is None
    assert splits.test is None


def test_named_files_stand_for_themselves(tmp_path: Path) -> None:
    put(tmp_path, "train.csv", "test.csv", "other.csv", "all.csv")
    assert taken(Files(tmp_path, train="all.csv", validation="test.csv")) == {
        "train": "all.csv",
        "validation": "test.csv",
    }


def test_a_single_file_is_the_training_split(tmp_path: Path) -> None:
    put(tmp_path, "train.csv", "test.csv", "rows.csv")
    assert taken(Files(tmp_path / "rows.csv")) == {"train": "rows.csv"}
    assert Files(tmp_path / "rows.csv").unused() == []
    assert taken(Files(tmp_path / "rows.csv", test="test.csv")) == {"train": "rows.csv", "test": "test.csv"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "none"}, "none: there is no such file or folder (dataset.path)"),
        (
            {"path": "", "test": "tset.csv"},
            "dataset.test: {folder} has unknown file `tset.csv`; did you mean `test.csv`?",
        ),
        ({"path": "train.csv", "train": "test.csv"}, "dataset.train: `dataset.path` is a file already"),
    ],
)
def test_files_that_are_not_there(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    put(tmp_path, "train.csv", "test.csv")
    with pytest.raises(DataError) as caught:
        Files(tmp_path / options.pop("path"), **options).load()
    assert message.format(folder=tmp_path) in str(caught.value)


def test_two_files_for_one_split(tmp_path: Path) -> None:
    put(tmp_path, "train.csv", "train.jsonl")
    with pytest.raises(
        DataError, match=r"train\.csv and train\.jsonl both look like the train split; say `dataset\.train`"
    ):
        Files(tmp_path).load()


def test_a_folder_without_training_rows_says_what_there_is(tmp_path: Path) -> None:
    put(tmp_path, "test.csv", "readme.md")
    with pytest.raises(
        DataError, match=r"has no train file \(there is: test\.csv; kinds: .csv .*\); say `dataset\.train`"
    ):
        Files(tmp_path).load()


def test_every_bad_file_is_named(tmp_path: Path) -> None:
    put(tmp_path, "train.csv", "dev.csv", "test.csv")
    put(tmp_path, "train.csv", rows="")
    put(tmp_path, "test.csv", rows="text,label\na\n")
    with pytest.raises(DataError) as caught:
        Files(tmp_path).load()
    first, second = caught.value.lines
    assert first == f"{tmp_path / 'train.csv'}: is empty"
    assert second.startswith(f"{tmp_path / 'test.csv'} line 2: ")


def test_a_file_rewritten_within_the_same_second_gives_the_new_rows(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text("text,label\nold,b\n")
    status = path.stat()
    assert Files(tmp_path).load().train.rows["text"][:] == ["old"]
    path.write_text("text,label\nnew,b\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert Files(tmp_path).load().train.rows["text"][:] == ["new"]


def test_txt_gives_a_text_a_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffone\r\n\nNA\n\x85\u2028 same line\n  kept  \nlast".encode())
    assert read_file(path).rows["text"][:] == ["one", "", "NA", "\x85\u2028 same line", "  kept  ", "last"]


def test_parquet_keeps_what_datasets_wrote_into_it(tmp_path: Path) -> None:
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    rows = datasets.Dataset.from_dict({"text": ["NA", ""], "label": [1, 0]}, features=features)
    rows.to_parquet(tmp_path / "a.parquet")
    found = read_file(tmp_path / "a.parquet").rows
    assert found.to_list() == [{"text": "NA", "label": 1}, {"text": "", "label": 0}]
    assert found.features["label"].names == ["neg", "pos"]


def test_parquet_with_dictionary_columns(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"label": pa.array(["x", "y", "x"]).dictionary_encode()}), tmp_path / "a.parquet")
    assert read_file(tmp_path / "a.parquet").rows["label"][:] == ["x", "y", "x"]


@pytest.mark.parametrize("content", [b"junk", b"PAR1" * 10, b""])
def test_broken_parquet(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"is not a Parquet file|is empty") as caught:
        read_file(path)
    assert str(path) in str(caught.value)


def test_parquet_with_a_column_that_datasets_cannot_hold(tmp_path: Path) -> None:
    table = pa.table({"text": ["a"], "odd": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64()))})
    parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match="map"):
        read_file(tmp_path / "a.parquet")


@pytest.mark.parametrize(("name", "kind"), [("a.xlsx", ".xlsx"), ("a", "files without ending")])
def test_unknown_kinds_of_file(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / name).write_text("x")
    with pytest.raises(DataError, match=rf"textxfer reads .csv .json .* .txt, not {kind}"):
        read_file(tmp_path / name)


@pytest.mark.parametrize("name", ["a.csv", "a.json"])
def test_files_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(DataError, match=rf"{name}: cannot be read: "):
        read_file(tmp_path / name)
