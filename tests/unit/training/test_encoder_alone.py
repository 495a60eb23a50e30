"""A checkpoint that holds T5's encoder alone, as a run with the head `mean` leaves it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers

from tests.unit.training.helpers import make_recipe, splits
from textxfer.errors import CheckpointError
from textxfer.run import run_recipe


@pytest.fixture(scope="module")
def encoder(checkpoints: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    recipe = make_recipe(checkpoints("t5"), runs, head={"name": "mean", "start": "random"}, train={"max_steps": 1})
    return run_recipe(recipe, splits=splits()).folder


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"head": {"name": "text2text", "start": None}},
        {"task": {"name": "question_answering", "stride": 8}},
        {"head": {"name": "mean"}, "adapt": {"texts": ["texts.txt"]}},
    ],
    ids=["native", "text2text", "answers", "adapt"],
)
def test_what_needs_the_decoder_is_told_before_weights_load(
    sections: dict[str, Any], encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.trained import questions

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("weights were loaded")

    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts.txt").write_text("\n".join(f"the film number {number}" for number in range(40)))
    monkeypatch.setattr(transformers.PreTrainedModel, "from_pretrained", refuse)
    given = {"train": questions(), "validation": questions()[:5]} if "task" in sections else splits()
    with pytest.raises(CheckpointError) as caught:
        run_recipe(make_recipe(encoder, tmp_path / "runs", **sections), splits=given)
    [line] = caught.value.lines
    assert line.startswith(f"{encoder}: holds an encoder alone (T5EncoderModel)")
    assert "`head: mean`" in line
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("head", ["mean", "mlp"])
def test_a_head_that_stands_on_the_encoder_goes_on_from_it(head: str, encoder: Path, tmp_path: Path) -> None:
    recipe = make_recipe(encoder, tmp_path, head={"name": head, "start": "random"}, train={"max_steps": 1})
    assert run_recipe(recipe, splits=splits()).metrics["steps"] == 1


def test_it_is_looked_at_as_it_is_trained(tmp_path: Path, checkpoints: Callable[[str], Path]) -> None:
    """A stock folder says nothing of a head."""
    from textxfer.modeling.checkpoint import open_checkpoint
    from textxfer.recipe.loading import load_recipe
    from textxfer.training.precision import make_accelerator
    from textxfer.training.ranking import rank_checkpoints
    from textxfer.training.rows import load_rows

    stock = tmp_path / "stock"
    transformers.T5EncoderModel.from_pretrained(checkpoints("t5")).save_pretrained(stock)
    transformers.AutoTokenizer.from_pretrained(checkpoints("t5")).save_pretrained(stock)
    assert open_checkpoint(str(stock)).head is None
    recipe = make_recipe(stock, tmp_path, head={"name": "mean", "start": "random"}, freeze={"layers": "auto"})
    assert run_recipe(recipe, splits=splits()).metrics["steps"] == 8
    loaded = load_recipe(recipe, rows_given=True)
    found = rank_checkpoints(loaded, load_rows(loaded, splits()), [str(stock)], make_accelerator("fp32"))
    assert not found.failed
