"""What the command says of a checkpoint or a freezing that cannot be: one line, exit code 2, nothing left behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.trained import reviews
from textxfer.run import main


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def pickle_only(folder: Path) -> None:
    import torch

    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def cut_off(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])


def no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def another_family(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "xlnet"}))


def another_depth(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text()) | {"num_hidden_layers": 5}
    (folder / "config.json").write_text(json.dumps(config))


def broken_config(folder: Path) -> None:
    (folder / "config.json").write_text("{'model_type': bert}")


def nothing(folder: Path) -> None:
    pass


@pytest.fixture
def command(bert: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a recipe that must fail, and gives what was said on standard error."""

    def run(checkpoint: str | None = None, spoil: Callable[[Path], None] = nothing, **sections: Any) -> str:
        folder = Path(shutil.copytree(bert, tmp_path / "checkpoint"))
        spoil(folder)
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in reviews()))
        recipe = {
            "name": "bad",
            "checkpoint": checkpoint or "checkpoint",
            "dataset": "rows.jsonl",
            "task": "sentiment",
            "output": {"directory": str(tmp_path / "runs")},
        }
        (tmp_path / "bad.yaml").write_text(yaml.safe_dump(recipe | sections))
        capfd.readouterr()
        assert main([str(tmp_path / "bad.yaml"), "--quiet"]) == 2
        printed = capfd.readouterr()
        assert printed.out == ""
        assert "Traceback" not in printed.err
        assert not (tmp_path / "runs" / "bad").exists()
        return printed.err.replace(str(tmp_path), "")

    return run


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_config, "/checkpoint: the folder has no config.json; it holds no checkpoint"),
        (no_weights, "/checkpoint: has no weights (model.safetensors)"),
        (pickle_only, "/checkpoint: has weights as pickle only, which can run code when loaded. Name a revision with "),
        (cut_off, "/checkpoint: its weights are damaged ("),
        (no_tokenizer, "/checkpoint: has no tokenizer (tokenizer.json, vocab.txt); save it beside the weights"),
        (another_family, "/checkpoint: is of the family 'xlnet'; textxfer knows: bert, camembert, "),
        (another_depth, "/checkpoint: its weights do not fill the backbone that its config.json describes: "),
        (broken_config, "/checkpoint: its config.json cannot be used: "),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_checkpoint_that_cannot_be_used(spoil: Any, message: str, command: Any) -> None:
    said = command(spoil=spoil)
    assert message in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        ("./none", "none: there is no such folder"),
        ("some-org/some-model", "some-org/some-model: is no folder here, and the Hub cannot be reached ("),
        ("some-org/some-model@v2", "some-org/some-model@v2: is no folder here, and the Hub cannot be reached ("),
        ("a/b/c", "a/b/c: is neither a folder nor a Hub id"),
        ("package:none_such/model", "there is no package `none_such`; install it, perhaps by `pip install none-such`"),
    ],
)
def test_checkpoint_that_is_not_there(checkpoint: str, message: str, command: Any) -> None:
    said = command(checkpoint)
    assert message in said
    assert said.count("\n") == 1


def test_more_layers_than_there_are(command: Any) -> None:
    said = command(freeze={"layers": 3})
    assert "freeze.layers: is 3, but the checkpoint has 2 layers (0 to 2, or `all`)" in said
    assert said.count("\n") == 1
