"""The `adapt` section of a recipe: carried out before the task, and once for all runs that need the same."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.adaptation.conftest import SMALL, domain
from tests.unit.training.helpers import Watcher, rows, signaller, splits
from textxfer.errors import DataError, Interrupted, RecipeError, TextxferError
from textxfer.recipe.loading import load_recipe
from textxfer.run import run_recipe

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def adapting(recipe: Make, texts_file: Path) -> Make:
    def make(**sections: Any) -> dict[str, Any]:
        return recipe(adapt={"texts": [str(texts_file), "task"], **SMALL}, **sections)

    return make


def test_the_task_starts_from_the_adapted_checkpoint(adapting: Make, recipe: Make) -> None:
    watcher = Watcher()
    result = run_recipe(adapting(), splits=splits(), observers=[watcher])
    told = next(note for note in watcher.notes if note.startswith("the checkpoint is adapted ("))
    folder = Path(told.partition("(")[2].partition(")")[0])
    assert folder.parent == result.folder.parent / "adapted"
    environment = json.loads((result.folder / "environment.json").read_text())
    assert environment["checkpoint"] == str(folder / "model")
    plain = run_recipe(recipe(name="plain"), splits=splits())
    assert (plain.model / "model.safetensors").read_bytes() != (result.model / "model.safetensors").read_bytes()
    direct = run_recipe(recipe(name="direct", checkpoint=str(folder)), splits=splits())
    assert (direct.model / "model.safetensors").read_bytes() == (result.model / "model.safetensors").read_bytes()


def test_runs_that_need_the_same_share_it(adapting: Make) -> None:
    run_recipe(adapting(), splits=splits())
    watcher = Watcher()
    run_recipe(adapting(name="other", train={"seed": 1}), splits=splits(), observers=[watcher])
    assert any("was adapted to these texts before and is used again" in note for note in watcher.notes)
    assert not any(note.startswith("adapts ") for note in watcher.notes)


def test_seeds_share_it(adapting: Make) -> None:
    watcher = Watcher()
    run_recipe(adapting(train={"seeds": [1, 2], "epochs": 1}), splits=splits(), observers=[watcher])
    assert sum(note.startswith("adapts ") for note in watcher.notes) == 1
    run_recipe(adapting(name="alone", train={"seed": 1, "epochs": 1}), splits=splits(), observers=[watcher])
    assert sum(note.startswith("adapts ") for note in watcher.notes) == 1


def test_a_run_that_was_stopped_while_it_adapted_goes_on(adapting: Make) -> None:
    stop = Watcher("on_scores", 6, signaller("on_step", 0, signal.SIGINT).act)
    with pytest.raises(Interrupted):
        run_recipe(adapting(), splits=splits(), observers=[stop])
    watcher = Watcher()
    resumed = run_recipe(adapting(), splits=splits(), resume=True, observers=[watcher])
    assert "goes on after step 6" in watcher.notes
    whole = run_recipe(adapting(name="whole"), splits=splits())
    assert (whole.model / "model.safetensors").read_bytes() == (resumed.model / "model.safetensors").read_bytes()


def test_what_a_run_says_of_its_adaptation_can_be_done(adapting: Make, tmp_path: Path) -> None:
    stop = Watcher("on_scores", 6, signaller("on_step", 0, signal.SIGINT).act)
    with pytest.raises(Interrupted) as caught:
        run_recipe(adapting(), splits=splits(), observers=[stop])
    assert "the same recipe goes on from there, `textxfer adapt RECIPE --overwrite` begins anew" in str(caught.value)
    [environment] = tmp_path.rglob("environment.json")
    environment.write_text("{")
    with pytest.raises(
        TextxferError, match=r"cannot be read: .*; `textxfer adapt RECIPE --overwrite` begins the run anew"
    ):
        run_recipe(adapting(), splits=splits(), overwrite=True)


def test_few_rows_of_a_head_that_the_adaptation_leaves_out_take_a_road(adapting: Make, recipe: Make) -> None:
    before = run_recipe(recipe(name="before", small_data="off"), splits=splits()).model
    asked = adapting(checkpoint=str(before), small_data="probe", head={"name": "native", "start": "probe"})
    asked["train"] = {"precision": "fp32"}
    assert run_recipe(asked, splits=splits()).metrics["steps"] == 0
    kept = {key: value for key, value in asked.items() if key != "adapt"} | {"name": "kept"}
    with pytest.raises(RecipeError, match="head knows these labels and is kept"):
        run_recipe(kept, splits=splits())


def test_a_run_that_was_stopped_after_it_goes_on(adapting: Make) -> None:
    with pytest.raises(Interrupted):
        run_recipe(adapting(), splits=splits(), observers=[Stopper()])
    resumed = run_recipe(adapting(), splits=splits(), resume=True)
    whole = run_recipe(adapting(name="whole"), splits=splits())
    assert (whole.model / "model.safetensors").read_bytes() == (resumed.model / "model.safetensors").read_bytes()


class Stopper(Watcher):
    """Presses Ctrl-C in the third step after the checkpoint was adapted."""

    def on_step(self, step: int) -> None:
        if step == 3 and any(note.startswith("the checkpoint is adapted") for note in self.notes):
            signaller("on_step", 3, signal.SIGINT).act()


def test_the_recipe_of_the_run_repeats_it(adapting: Make, write_csv: Any, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name, part in splits().items():
        write_csv(data / f"{name}.csv", part)
    result = run_recipe(adapting(dataset={"path": str(data)}))
    again = run_recipe(result.folder / "recipe.yaml", "name=again", f"output.directory={tmp_path / 'runs'}")
    assert (again.model / "model.safetensors").read_bytes() == (result.model / "model.safetensors").read_bytes()


def test_a_leak_stops_the_run_before_anything_is_written(adapting: Make, texts_file: Path, tmp_path: Path) -> None:
    with texts_file.open("a") as file:
        file.write("\n" + rows(5, 200)[2]["text"].upper())
    with pytest.raises(DataError, match="the task's test split too"):
        run_recipe(adapting(), splits=splits())
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("sections", "lines", "message"),
    [
        ({}, ["only one text"], "1 different texts are too few"),
        ({}, [rows(5, 200)[0]["text"]], "the task's test split too"),
        ({}, None, "there is no such file or folder"),
        ({"adapt": {"freeze": {"layers": 2}}}, domain(), "adapt.freeze.layers: is 2, of 2 layers"),
        ({"lora": {"targets": ["querry"]}}, domain(), "lora.targets: unknown module `querry`"),
    ],
    ids=["few", "leak", "missing", "frozen", "targets"],
)
@pytest.mark.parametrize("choice", [{}, {"checkpoint": "auto"}, {"freeze": {"layers": "auto"}}], ids=str)
def test_what_is_wrong_is_told_before_anything_is_computed(
    recipe: Make,
    checkpoints: Any,
    tmp_path: Path,
    monkeypatch: Any,
    sections: Any,
    lines: Any,
    message: str,
    choice: Any,
) -> None:
    import transformers

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("weights were loaded")

    monkeypatch.setattr(transformers.PreTrainedModel, "from_pretrained", refuse)
    if lines is not None:
        (tmp_path / "few.txt").write_text("\n".join(lines))
    made = recipe(**choice) | {key: value for key, value in sections.items() if key != "adapt"}
    made["adapt"] = {"texts": [str(tmp_path / "few.txt")], **SMALL, **sections.get("adapt", {})}
    if choice.get("checkpoint"):
        made["checkpoint"] = {"auto": [str(checkpoints("bert")), str(checkpoints("electra"))]}
    with pytest.raises(TextxferError, match=re.escape(message)):
        run_recipe(made, splits=splits())


def test_what_is_wrong_of_sections_is_told_at_once(
    recipe: Make, texts_file: Path, monkeypatch: Any, checkpoints: Any
) -> None:
    adapt = {"texts": [str(texts_file)], **SMALL, "freeze": {"layers": 2}}
    wrong = {"adapt": adapt, "freeze": {"layers": 3}, "lora": {"targets": ["querry", "nothing"]}}
    with pytest.raises(RecipeError) as caught:
        run_recipe(recipe(**wrong), splits=splits())
    told = [line.partition(":")[0] for line in caught.value.lines]
    assert told == ["freeze.layers", "adapt.freeze.layers", "lora.targets", "lora.targets"]
    head = {"name": "mlp", "pooling": "cls", "hidden": [8]}
    with pytest.raises(RecipeError) as caught:
        run_recipe(recipe(checkpoint=str(checkpoints("gpt2")), head=head, **wrong), splits=splits())
    assert [line.partition(":")[0] for line in caught.value.lines] == ["head.pooling", *told]


def test_no_run_has_the_name_of_the_folder_of_adapted_checkpoints(recipe: Make, tmp_path: Path) -> None:
    message = "name: `adapted` is the folder of adapted checkpoints, among those of runs; change it"
    with pytest.raises(RecipeError, match=message):
        load_recipe(recipe(name="adapted"), rows_given=True)
    path = tmp_path / "adapted.yaml"
    path.write_text("checkpoint: a/b\ndataset: x.csv\ntask: topic\n")
    with pytest.raises(RecipeError, match=message):
        load_recipe(path)


def test_the_arithmetic_of_a_run_is_that_of_its_adaptation(adapting: Make) -> None:
    for precision in ("fp32", "bf16"):
        watcher = Watcher()
        run_recipe(adapting(name=precision, train={"precision": precision}), splits=splits(), observers=[watcher])
        assert any(note.startswith("adapts ") for note in watcher.notes)


def test_check_counts_the_texts_and_finds_leaks(
    adapting: Make, texts_file: Path, write_csv: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from textxfer.__main__ import main
    from textxfer.recipe.writing import to_yaml

    for name, part in splits().items():
        write_csv(tmp_path / "data" / f"{name}.csv", part)
    path = tmp_path / "small.yaml"
    path.write_text(to_yaml(adapting(dataset={"path": "data"})))
    assert main(["check", str(path)]) == 0
    assert "adapt: 87 texts of " in capsys.readouterr().out
    with texts_file.open("a") as file:
        file.write("\n" + rows(5, 200)[2]["text"])
    assert main(["check", str(path)]) == 2
    assert "the task's test split too" in capsys.readouterr().err


def test_the_texts_of_a_recipe_are_relative_to_it(tmp_path: Path, texts_file: Path) -> None:
    inside = tmp_path / "recipes"
    inside.mkdir()
    path = inside / "a.yaml"
    path.write_text("checkpoint: a/b\ndataset: x.csv\ntask: topic\nadapt: {texts: [../domain.txt, task, owner/name]}\n")
    adapt = load_recipe(path).adapt
    assert adapt is not None
    assert adapt.texts == (str(texts_file), "task", "owner/name")
    path.write_text("checkpoint: a/b\ndataset: x.csv\ntask: topic\nadapt: {texts: missing.txt}\n")
    adapt = load_recipe(path).adapt
    assert adapt is not None
    assert adapt.texts == (str(inside / "missing.txt"),)


@pytest.mark.parametrize(
    ("adapt", "message"),
    [
        ({}, "adapt.texts: is missing"),
        ({"texts": []}, "adapt.texts: must be a list that is not empty"),
        ({"texts": ["task", "task"]}, "names `task` twice"),
        ({"texts": "task", "mask_rate": 0.0}, "adapt.mask_rate: must be more than 0"),
        ({"texts": "task", "epoch": 1}, "unknown key `epoch`; did you mean `epochs`"),
    ],
)
def test_mistakes_of_the_section(adapt: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe({"checkpoint": "a/b", "dataset": "x.csv", "task": "topic", "adapt": adapt})
    assert message in str(caught.value)
