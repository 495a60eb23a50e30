"""A model folder is whole or not there; an earlier one survives."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from textxfer.errors import OutputError
from textxfer.modeling.checkpoint import Checkpoint, open_checkpoint
from textxfer.modeling.saving import save_model

SETTINGS = {"task": "sentiment", "max_length": 24}


@pytest.fixture
def opened(bert: Path) -> Checkpoint:
    return open_checkpoint(str(bert))


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_second_save_takes_the_first_one_s_place(model_of: Any, opened: Checkpoint, tmp_path: Path) -> None:
    model, place = model_of("bert"), tmp_path / "run" / "model"
    save_model(model, opened.tokenizer, place, SETTINGS)
    first = contents(place)
    (place / "left-over.txt").touch()
    save_model(model, opened.tokenizer, place, SETTINGS | {"max_length": 16})
    assert contents(place).keys() == first.keys()
    assert json.loads((place / "config.json").read_text())["textxfer"]["max_length"] == 16
    assert [child.name for child in place.parent.iterdir()] == ["model"]


def test_same_weights_make_the_same_bytes(model_of: Any, opened: Checkpoint, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_model(model_of("bert"), opened.tokenizer, tmp_path / name, SETTINGS)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_checkpoint_s_own_place_is_nowhere_in_it(model_of: Any, opened: Checkpoint, tmp_path: Path) -> None:
    save_model(model_of("bert"), opened.tokenizer, tmp_path / "model", SETTINGS)
    for name, content in contents(tmp_path / "model").items():
        assert opened.location.encode() not in content, name


def test_what_a_save_that_was_cut_off_left_goes_with_the_next(
    model_of: Any, opened: Checkpoint, tmp_path: Path
) -> None:
    for name in (".model.new", ".model.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").touch()
    save_model(model_of("bert"), opened.tokenizer, tmp_path / "model", SETTINGS)
    assert [child.name for child in tmp_path.iterdir()] == ["model"]


FULL_DISK = """
import resource, sys
from textxfer.errors import OutputError
from textxfer.labels import LabelSet
from textxfer.modeling.build import build
from textxfer.modeling.checkpoint import open_checkpoint
from textxfer.modeling.saving import save_model
from pathlib import Path

checkpoint = open_checkpoint(sys.argv[1])
model = build(checkpoint, "AutoModelForSequenceClassification", LabelSet(("c", "d"))).model
for most_bytes in (100, 8000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))
    try:
        save_model(model, checkpoint.tokenizer, Path(sys.argv[2]), {"max_length": 8})
    except OutputError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files there")
def test_full_disk_leaves_the_earlier_save(model_of: Any, opened: Checkpoint, bert: Path, tmp_path: Path) -> None:
    place = tmp_path / "model"
    save_model(model_of("bert"), opened.tokenizer, place, SETTINGS)
    before = contents(place)
    command = [sys.executable, "-c", FULL_DISK, str(bert), str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stderr
    for line in lines:
        assert line.startswith(f"{place}: cannot be written: ")
        assert "File too large" in line
    assert contents(place) == before
    assert [child.name for child in tmp_path.iterdir()] == ["model"]


def test_place_that_cannot_be_written(model_of: Any, opened: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError) as error:
        save_model(model_of("bert"), opened.tokenizer, tmp_path / "file" / "model", SETTINGS)
    assert str(error.value) == f"{tmp_path / 'file' / 'model'}: cannot be written: Not a directory"
