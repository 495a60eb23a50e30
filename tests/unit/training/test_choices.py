"""`checkpoint: {auto: ...}` and `freeze: {layers: auto}`: settled before the first step, kept, and repeated."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from tests.unit.training.helpers import Watcher, assert_same_run, make_recipe, rows, signaller, splits
from textxfer.errors import CheckpointError, DataError, Interrupted
from textxfer.modeling.checkpoint import open_checkpoint
from textxfer.recipe.loading import load_recipe
from textxfer.recipe.schema import relative_place
from textxfer.run import run_recipe
from textxfer.training import depth, ranking
from textxfer.training.choices import Chosen
from textxfer.training.precision import make_accelerator
from textxfer.training.prepare import prepare
from textxfer.training.rows import load_rows


def left_open(checkpoints: list[str], runs: Path, **sections: Any) -> dict[str, Any]:
    """Gives a small recipe that chooses among checkpoints."""
    return make_recipe(Path(), runs, **sections) | {"checkpoint": {"auto": checkpoints}}


@pytest.fixture
def two(tmp_path: Path, bert: Path) -> list[str]:
    """A checkpoint, and one whose embeddings are all alike, which can tell no texts apart."""
    import torch
    import transformers

    dull = tiny.make_checkpoint(tmp_path / "dull", seed=3)
    model = transformers.AutoModel.from_pretrained(dull)
    with torch.no_grad():
        model.embeddings.word_embeddings.weight.zero_()
        model.embeddings.position_embeddings.weight.zero_()
    model.save_pretrained(dull)
    return [str(dull), str(bert)]


def test_the_best_checkpoint_is_taken_and_the_run_repeats(two: list[str], tmp_path: Path) -> None:
    recipe = left_open(two, tmp_path / "runs", freeze={"layers": "auto"})
    watcher = Watcher()
    result = run_recipe(recipe, splits=splits(), observers=[watcher])
    text = (result.folder / "recipe.yaml").read_text()
    assert "# Chosen by the run, see choices.json: checkpoint, depth" in text
    resolved = load_recipe(result.folder / "recipe.yaml", rows_given=True)
    choices = json.loads((result.folder / "choices.json").read_text())
    assert resolved.checkpoint.id == two[1]
    assert resolved.checkpoint.auto is None
    assert resolved.freeze.layers == choices["depth"]["layers"]
    assert [each["layer"] for each in choices["depth"]["curve"]] == [0, 1, 2]
    assert choices["checkpoint"]["rows"] == 28
    named = [each["checkpoint"] for each in choices["checkpoint"]["ranked"]]
    assert named == [relative_place(name, result.folder) for name in reversed(two)]
    assert all(name.startswith("../") for name in named)
    assert json.loads(json.dumps(Chosen.read(result.folder).to_dict(result.folder))) == choices
    notes = "\n".join(watcher.notes)
    assert "ranked on 28 of 28 training rows" in notes
    assert f"checkpoint: {two[1]}" in notes
    assert f"freeze.layers: auto is {resolved.freeze.layers}: " in notes
    again = run_recipe(resolved.model_copy(update={"name": "again"}), splits=splits())
    assert not (again.folder / "choices.json").exists()
    (result.folder / "choices.json").unlink()
    assert_same_run(again.folder, result.folder)


def test_a_checkpoint_that_was_trained_on_the_rows_is_told(bert: Path, tmp_path: Path) -> None:
    runs, watcher = tmp_path / "runs", Watcher()
    before = run_recipe(make_recipe(bert, runs, name="before", train={"max_steps": 1}), splits=splits()).folder
    recipe = left_open([str(bert), str(before)], runs, train={"max_steps": 1})
    result = run_recipe(recipe, splits=splits(), observers=[watcher])
    [warning] = [note for note in watcher.notes if note.startswith("* ")]
    assert warning.startswith(f"* {before} was trained on these very rows")
    ranked = Chosen.read(result.folder).checkpoint
    assert ranked is not None
    assert {each.checkpoint: each.seen for each in ranked.ranked} == {
        str(bert): None,
        str(before): "was trained on these very rows",
    }
    assert "before *<" in (result.folder / "report.html").read_text()


def test_as_many_layers_are_frozen_as_were_chosen(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors.torch import load_file

    monkeypatch.setattr(depth, "decide", lambda scores: (1, "as the test says"))
    result = run_recipe(make_recipe(bert, tmp_path, freeze={"layers": "auto"}), splits=splits())
    assert json.loads((result.folder / "choices.json").read_text())["depth"]["layers"] == 1
    before, after = load_file(bert / "model.safetensors"), load_file(result.model / "model.safetensors")
    changed = {name for name, tensor in before.items() if not tensor.equal(after[f"bert.{name}"])}
    assert not [name for name in changed if name.startswith(("embeddings.", "encoder.layer.0."))]
    assert [name for name in changed if name.startswith("encoder.layer.1.")]


def test_a_checkpoint_whose_states_are_not_finite_is_passed_over(
    two: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    dull, _ = two
    model = transformers.AutoModel.from_pretrained(dull)
    model.embeddings.word_embeddings.weight.data.fill_(float("nan"))
    model.save_pretrained(dull)
    result = run_recipe(left_open(two, tmp_path / "runs", train={"max_steps": 1}), splits=splits())
    told = json.loads((result.folder / "choices.json").read_text())["checkpoint"]
    assert len(told["ranked"]) == 1
    assert "not a finite number; try train.precision: fp32" in told["failed"][0]["reason"]
    with pytest.raises(CheckpointError, match="not a finite number"):
        run_recipe(make_recipe(Path(dull), tmp_path, freeze={"layers": "auto"}), splits=splits())


def test_only_training_rows_choose(two: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    plain = ranking.draw_sample

    def kept(*arguments: Any) -> Any:
        sample = plain(*arguments)
        seen.append(sample.rows["text"][:])
        return sample

    monkeypatch.setattr(ranking, "draw_sample", kept)
    monkeypatch.setattr(depth, "draw_sample", kept)
    recipe = left_open(two, tmp_path, freeze={"layers": "auto"})
    run_recipe(recipe, splits=splits())
    assert [sorted(texts) for texts in seen] == [sorted(row["text"] for row in rows(28))] * 2


def test_a_run_that_goes_on_does_not_choose_again(
    two: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = left_open(two, tmp_path, freeze={"layers": "auto"})
    with pytest.raises(Interrupted):
        run_recipe(recipe, splits=splits(), observers=[signaller("on_step", 3, signal.SIGINT)])
    monkeypatch.setattr(ranking, "draw_sample", _never)
    monkeypatch.setattr(depth, "draw_sample", _never)
    result = run_recipe(recipe, splits=splits(), resume=True)
    assert json.loads((result.folder / "choices.json").read_text()).keys() == {"checkpoint", "depth"}
    assert run_recipe(recipe, splits=splits(), resume=True).metrics == result.metrics
    with pytest.raises(AssertionError, match="again"):
        run_recipe(recipe, splits=splits(), overwrite=True)


def test_seeds_share_the_choice(two: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    plain = ranking.draw_sample
    monkeypatch.setattr(ranking, "draw_sample", lambda *given: calls.append(1) or plain(*given))
    recipe = left_open(two, tmp_path, train={"seeds": [1, 2]})
    result = run_recipe(recipe, splits=splits())
    assert calls == [1]
    assert (result.folder / "seed-2" / "choices.json").exists()


def test_one_with_too_few_layers_is_passed_over(two: list[str], tmp_path: Path) -> None:
    shallow = tiny.make_checkpoint(tmp_path / "shallow", num_hidden_layers=1)
    recipe = load_recipe(left_open([str(shallow), two[1]], tmp_path, freeze={"layers": 2}), rows_given=True)
    prepared = prepare(recipe, splits())
    assert prepared.checkpoint.id == two[1]
    assert f"cannot be ranked: {shallow}: freeze.layers: is 2, but the checkpoint has 1 layers" in str(
        prepared.rows.notes
    )


def test_one_without_what_is_to_be_updated_is_passed_over(two: list[str], tmp_path: Path) -> None:
    other = tiny.make_checkpoint(tmp_path / "distil", "distilbert")
    recipe = left_open([str(other), two[1]], tmp_path, lora={"targets": ["query"]}, train={"max_steps": 1})
    watcher = Watcher()
    result = run_recipe(recipe, splits=splits(), observers=[watcher])
    assert load_recipe(result.folder / "recipe.yaml", rows_given=True).checkpoint.id == two[1]
    assert f"not ranked: {other}: lora.targets: unknown module `query`" in "\n".join(watcher.notes)
    assert str(tmp_path) not in (result.folder / "choices.json").read_text()
    assert Chosen.read(result.folder).checkpoint.failed[0].checkpoint == str(other)  # type: ignore[union-attr]


def test_rows_that_no_probe_can_judge_are_told_before_any_weights(
    two: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of many rows has the other label, and a sample of them has not."""
    monkeypatch.setattr(ranking, "open_checkpoint", _never)
    labelled = [row | {"label": "good" if number else "bad"} for number, row in enumerate(rows(9000))]
    recipe = load_recipe(left_open(two, tmp_path), rows_given=True)
    given = load_rows(recipe, {"train": labelled, "validation": rows(4)})
    with pytest.raises(
        DataError, match="a probe needs two rows of two labels at least; there are 2000 rows of 1 label"
    ):
        ranking.rank_checkpoints(recipe, given, two, make_accelerator("fp32"))


def test_none_can_be_used(tmp_path: Path) -> None:
    recipe = left_open(["./nowhere", "./neither"], tmp_path)
    with pytest.raises(CheckpointError, match="nowhere"):
        run_recipe(recipe, splits=splits())
    assert not (tmp_path / "tiny").exists()


def test_layers_are_those_of_the_weights_at_hand(two: list[str], tmp_path: Path) -> None:
    """An adapted checkpoint has the name of the one that it was made from, and lies elsewhere."""
    checkpoint = open_checkpoint(two[1])
    rows_of_it = load_rows(load_recipe(left_open(two, tmp_path), rows_given=True), splits())
    accelerator = make_accelerator("fp32")
    found = depth.choose_depth(checkpoint, rows_of_it, accelerator)
    moved = depth.choose_depth(replace(checkpoint, location=two[0]), rows_of_it, accelerator)
    assert max(each.accuracy for each in moved.curve) <= 0.5
    assert max(each.accuracy for each in found.curve) > 0.55


@pytest.mark.parametrize("family", ["bert", "gpt2", "t5"])
def test_depth_of_each_family(family: str, checkpoints: Callable[[str], Path], tmp_path: Path) -> None:
    recipe = make_recipe(checkpoints(family), tmp_path, freeze={"layers": "auto"}, train={"max_steps": 2})
    result = run_recipe(recipe, splits=splits())
    found = json.loads((result.folder / "choices.json").read_text())["depth"]
    assert len(found["curve"]) == 3
    assert 0 <= found["layers"] <= 2
    assert result.metrics["test"]


@pytest.mark.parametrize(
    ("field", "sections"),
    [
        ("freeze.layers", {"freeze": {"layers": "auto"}}),
        ("checkpoint.auto", {"checkpoint": {"auto": ["a", "b"]}}),
    ],
)
@pytest.mark.parametrize(
    "task", [{"name": "question_answering"}, {"name": "topic", "multi_label": True}], ids=["answers", "label sets"]
)
def test_tasks_without_one_label_a_text(field: str, sections: Any, task: Any, problems: Callable[..., Any]) -> None:
    found = problems({"checkpoint": "a", "dataset": "d", "task": task} | sections)
    assert len(found) == 1
    assert f"{field}: can be chosen where each text has one label; this task gives" in found[0]


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        ({}, "checkpoint: says neither `id`"),
        ({"id": "a", "auto": ["b", "c"]}, "checkpoint.id: names one checkpoint, and `auto` several"),
        ({"revision": "v1", "auto": ["b", "c"]}, "checkpoint.revision: names one checkpoint, and `auto` several"),
        ({"auto": ["b"]}, "checkpoint.auto: "),
        ({"auto": ["b", "b"]}, "checkpoint.auto: names `b` twice"),
        ({"auto": ["b", "c@"]}, "checkpoint.auto[1]: `c@` is not of the form id@revision"),
    ],
)
def test_mistakes_of_a_list(checkpoint: Any, message: str, problems: Callable[..., Any]) -> None:
    found = problems({"checkpoint": checkpoint, "dataset": "d", "task": "topic"})
    assert len(found) == 1
    assert message in found[0]


@pytest.fixture
def problems() -> Callable[..., list[str]]:
    from textxfer.errors import RecipeError

    def find(recipe: dict[str, Any]) -> list[str]:
        with pytest.raises(RecipeError) as caught:
            load_recipe(recipe)
        return list(caught.value.lines)

    return find


def _never(*_: Any) -> Any:
    raise AssertionError("it chooses again")
