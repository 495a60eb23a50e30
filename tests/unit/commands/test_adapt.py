"""`textxfer adapt`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.adaptation.conftest import domain
from tests.unit.training.helpers import splits

FEW = ("--epochs", "1", "--batch-size", "16", "--max-length", "32")


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "domain.txt"
    path.write_text("\n".join(domain()))
    return path


def test_a_checkpoint_is_adapted(shell: Any, bert: Path, texts: Path) -> None:
    code, out, err = shell("adapt", str(bert), "--texts", "domain.txt", *FEW, "-o", "out")
    assert code == 0
    assert out.startswith("perplexity of 16 texts held back: ")
    assert "checkpoint: out/model" in out
    assert "a new one learns alone for 4 steps first" in err
    assert Path("out/model/model.safetensors").exists()
    code, out, err = shell("adapt", str(bert), "--texts", "domain.txt", *FEW, "-o", "out", "--quiet")
    assert code == 2
    assert "--overwrite begins anew" in err
    assert shell("adapt", "out", "--texts", "domain.txt", *FEW, "-o", "further", "--quiet")[0] == 0


def test_a_recipes_adaptation_is_where_its_run_looks(
    shell: Any, bert: Path, texts: Path, write_csv: Callable[..., Path], tmp_path: Path
) -> None:
    for name, part in splits().items():
        write_csv(tmp_path / "data" / f"{name}.csv", part)
    Path("small.yaml").write_text(
        f"checkpoint: {bert}\ndataset: data\ntask: {{name: sentiment, max_length: 32}}\n"
        "train: {epochs: 1, batch_size: 8}\nadapt: {texts: domain.txt, epochs: 1, max_length: 32}\n"
    )
    code, out, _ = shell("adapt", "small.yaml", "--quiet")
    assert code == 0
    folder = out.splitlines()[1].removeprefix("checkpoint: ").removesuffix("/model")
    assert folder.startswith("runs/adapted/")
    code, _, err = shell("run", "small.yaml")
    assert code == 0
    assert f"is used again ({folder})" in err
    code, _, err = shell("adapt", "small.yaml", "--texts", "data/test.csv")
    assert code == 2
    assert "test split" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "out"], "--texts: is missing"),
        (["--texts", "domain.txt"], "--output: is missing"),
        (["--texts", "domain.txt", "-o", "out", "--epochs", "0"], "adapt.epochs: must be at least 1, not `0`"),
        (["--texts", "nothing.txt", "-o", "out"], "nothing.txt: there is no such file or folder (adapt.texts)"),
        (
            ["--texts", "task", "-o", "out"],
            "the training texts of a recipe's task; name a recipe",
        ),
    ],
)
def test_mistakes(shell: Any, bert: Path, texts: Path, words: list[str], message: str) -> None:
    code, _, err = shell("adapt", str(bert), *words)
    assert code == 2
    assert message in err
    assert not Path("out").exists()


def test_a_recipe_without_the_section(shell: Any, bert: Path) -> None:
    Path("small.yaml").write_text(f"checkpoint: {bert}\ndataset: data\ntask: sentiment\n")
    code, _, err = shell("adapt", "small.yaml")
    assert code == 2
    assert "small.yaml: has no `adapt` section; say --texts" in err
