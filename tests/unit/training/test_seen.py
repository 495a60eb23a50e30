"""What lies beside a checkpoint's weights and tells on which rows it was trained."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from textxfer.__main__ import main
from textxfer.modeling.checkpoint import open_checkpoint
from textxfer.recipe.loading import load_recipe
from textxfer.run import run_recipe
from textxfer.training.prepare import prepare
from textxfer.training.rows import load_rows
from textxfer.training.seen import SAME_SET, VERY_ROWS, OwnRows

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def rows(tmp_path: Path, reviews: Any, write_csv: Callable[..., Path]) -> Path:
    """A file of rows."""
    return write_csv(tmp_path / "rows.csv", reviews)


@pytest.fixture
def trained_on(recipe: Make) -> Callable[..., Path]:
    """Gives the folder of a run of one step."""

    def run(data: Path, name: str = "before", **sections: Any) -> Path:
        made = recipe(name=name, dataset={"path": str(data)}, suspects="off", train={"max_steps": 1}, **sections)
        return run_recipe(made).folder

    return run


def seen(mapping: dict[str, Any], checkpoint: Path) -> str | None:
    recipe = load_recipe(mapping)
    return OwnRows(recipe, load_rows(recipe).splits).seen_by(open_checkpoint(str(checkpoint)))


def test_a_run_on_the_same_rows(rows: Path, recipe: Make, trained_on: Any, bert: Path) -> None:
    before, own = trained_on(rows), recipe(dataset={"path": str(rows)})
    assert seen(own, before) == seen(own, before / "model") == VERY_ROWS
    assert seen(own, bert) is None


def test_an_adaptation_of_a_run(rows: Path, recipe: Make, trained_on: Any, tmp_path: Path) -> None:
    before = trained_on(rows)
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(f"the film number {number} was a delight" for number in range(40)))
    folder, command = tmp_path / "adapted", ["adapt", str(before), "--texts", str(texts), "--steps", "1"]
    assert main([*command, "-o", str(folder)]) == 0
    assert seen(recipe(dataset={"path": str(rows)}), folder) == f"began with a checkpoint that {VERY_ROWS}"


def test_a_run_on_other_cuts_of_the_same_file(rows: Path, recipe: Make, trained_on: Any, tmp_path: Path) -> None:
    before = trained_on(rows)
    assert seen(recipe(dataset={"path": str(rows), "split_seed": 1}), before) == SAME_SET
    copied = Path(shutil.copy(rows, tmp_path / "copied.csv"))
    assert seen(recipe(dataset={"path": str(copied), "split_seed": 1}), before) == SAME_SET
    moved = Path(shutil.move(before, tmp_path / "elsewhere"))
    assert seen(recipe(dataset={"path": str(copied), "split_seed": 1}), moved) == SAME_SET


def test_a_further_run_on_other_cuts_is_told(rows: Path, recipe: Make, trained_on: Any, bert: Path) -> None:
    def notes(checkpoint: Path, **dataset: Any) -> str:
        further = recipe(checkpoint=str(checkpoint), dataset={"path": str(rows)} | dataset)
        return " ".join(prepare(load_recipe(further)).rows.notes)

    before = trained_on(rows)
    assert f"the checkpoint {SAME_SET}" in notes(before, split_seed=1)
    assert "scores on validation and test rows that it has learned" in notes(before, split_seed=1)
    assert SAME_SET not in notes(before)
    assert VERY_ROWS not in notes(before)
    assert SAME_SET not in notes(bert, split_seed=1)


def test_a_head_that_is_kept_has_seen_the_rows_too(rows: Path, recipe: Make, trained_on: Any) -> None:
    before, data = trained_on(rows, freeze={"layers": "all"}), {"path": str(rows), "split_seed": 1}
    kept = prepare(load_recipe(recipe(checkpoint=str(before), dataset=data)))
    assert SAME_SET in " ".join(kept.rows.notes)
    new = prepare(load_recipe(recipe(checkpoint=str(before), dataset=data, head="mean")))
    assert SAME_SET not in " ".join(new.rows.notes)


def test_rows_of_their_own_are_not_held_back(
    recipe: Make, trained_on: Any, tmp_path: Path, write_csv: Any, reviews: Any
) -> None:
    folder = tmp_path / "splits"
    for number, name in enumerate(("train", "validation", "test")):
        write_csv(folder / f"{name}.csv", reviews[number::3])
    before = trained_on(folder)
    (folder / "test.csv").write_text((folder / "test.csv").read_text().replace("the", "a"))
    prepared = prepare(load_recipe(recipe(checkpoint=str(before), dataset={"path": str(folder)})))
    assert not prepared.rows.held_back
    assert SAME_SET not in " ".join(prepared.rows.notes)


def test_a_run_that_left_the_backbone_alone(rows: Path, recipe: Make, trained_on: Any) -> None:
    own, frozen = recipe(dataset={"path": str(rows)}), {"layers": "all"}
    assert seen(own, trained_on(rows, freeze=frozen)) is None
    assert seen(own, trained_on(rows, name="embeddings", freeze=frozen | {"embeddings": False})) == VERY_ROWS
    before = trained_on(rows, name="first")
    after = trained_on(rows, name="after", checkpoint=str(before), freeze=frozen, head={"name": "mean"})
    assert seen(own, after) == f"began with a checkpoint that {VERY_ROWS}"


def test_a_run_on_other_rows(rows: Path, recipe: Make, trained_on: Any, tmp_path: Path, write_csv: Any) -> None:
    others = [{"text": f"the soup {number}", "label": "bad" if number % 2 else "good"} for number in range(40)]
    before = trained_on(rows)
    assert seen(recipe(dataset={"path": str(write_csv(tmp_path / "others.csv", others))}), before) is None


def test_another_file_of_the_same_folder(
    rows: Path, recipe: Make, trained_on: Any, tmp_path: Path, write_csv: Any, reviews: Any
) -> None:
    folder = tmp_path / "both"
    for name, part in (("one", reviews[:20]), ("two", reviews[20:])):
        write_csv(folder / f"{name}.csv", [row | {"text": f"{row['text']} {name}"} for row in part])
    made = recipe(name="one", dataset={"path": str(folder), "train": "one.csv"}, suspects="off")
    before = run_recipe(made | {"train": made["train"] | {"max_steps": 1}}).folder
    assert seen(recipe(dataset={"path": str(folder), "train": "two.csv"}), before) is None
    assert seen(recipe(dataset={"path": str(folder), "train": "one.csv", "limit": 12}), before) == SAME_SET


def test_a_run_that_began_with_one_on_the_rows(
    rows: Path, recipe: Make, trained_on: Any, tmp_path: Path, write_csv: Any
) -> None:
    others = [{"text": f"the soup {number}", "label": "bad" if number % 2 else "good"} for number in range(40)]
    first = trained_on(rows)
    second = trained_on(write_csv(tmp_path / "others.csv", others), name="second", checkpoint=str(first))
    third = trained_on(tmp_path / "others.csv", name="third", checkpoint=str(second / "model"))
    own = recipe(dataset={"path": str(rows)})
    for run in (second, third):
        assert seen(own, run) == f"began with a checkpoint that {VERY_ROWS}"


def test_an_adapter_of_a_run(rows: Path, recipe: Make, trained_on: Any) -> None:
    pytest.importorskip("peft")
    before = trained_on(rows, lora={"rank": 2, "merge": False})
    own = recipe(dataset={"path": str(rows)})
    assert seen(own, before / "adapter") == VERY_ROWS


def test_a_card_that_names_the_data_set(bert: Path, recipe: Make, rows: Path, tmp_path: Path) -> None:
    """As models of others have one: all that is known of what they were trained on."""
    made = load_recipe(recipe(dataset={"path": str(rows)}))
    splits = load_rows(made).splits
    model = Path(shutil.copytree(bert, tmp_path / "model"))

    def told(card: str, hub: str | None = "stanfordnlp/sst2") -> str | None:
        (model / "README.md").write_text(card)
        data = made.dataset.model_copy(update={"path": None, "hub": hub})
        return OwnRows(made.model_copy(update={"dataset": data}), splits).seen_by(open_checkpoint(str(model)))

    assert told("---\ndatasets:\n- imdb\n- sst2\n---\n# It\n") == "was trained on sst2, as its card says"
    assert told("---\ndatasets: stanfordnlp/SST2\n---\n") == "was trained on stanfordnlp/SST2, as its card says"
    assert told("---\ndatasets:\n- someone/sst2\n---\n") is None
    assert told("---\ndatasets:\n- sst2\n---\n", hub=None) is None
    for damaged in ("", "no metadata", "---\n: : [\n---\n", "---\n- a list\n---\n", "---\ndatasets: 3\n---\n"):
        assert told(damaged) is None


def test_a_model_from_the_hub(
    rows: Path, recipe: Make, trained_on: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the recipe beside the weights, which names local files by their hash."""
    import huggingface_hub

    from textxfer.publishing.files import uploads

    folder = tmp_path / "downloaded"
    folder.mkdir()
    for file in uploads(trained_on(rows), "me/it"):
        target = folder / file.name
        target.write_bytes(file.content if isinstance(file.content, bytes) else file.content.read_bytes())
    mapping = recipe(dataset={"path": str(rows), "split_seed": 1})
    assert seen(mapping, folder) == SAME_SET

    def fetch(name: str, file: str, revision: str | None) -> str:
        assert (name, revision) == ("me/it", "abc")
        if not (folder / file).exists():
            raise huggingface_hub.errors.EntryNotFoundError(file)
        return str(folder / file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    own = load_recipe(mapping)
    found = OwnRows(own, load_rows(own).splits)
    on_hub = replace(open_checkpoint(str(folder)), location="me/it", revision="abc")
    assert found.seen_by(on_hub) == SAME_SET
    (folder / "recipe.yaml").unlink()
    assert found.seen_by(on_hub) is None
    (folder / "README.md").write_text("---\ndatasets:\n- sst2\n---\n")
    there = own.model_copy(update={"dataset": own.dataset.model_copy(update={"path": None, "hub": "stanfordnlp/sst2"})})
    assert OwnRows(there, found.splits).seen_by(on_hub) == "was trained on sst2, as its card says"


@pytest.mark.parametrize("file", ["recipe.yaml", "environment.json"])
def test_damaged_files_tell_nothing(file: str, rows: Path, recipe: Make, trained_on: Any) -> None:
    before, own = trained_on(rows), recipe(dataset={"path": str(rows)})
    for content in ("[1, 2]", "{", json.dumps({"fingerprints": 3, "dataset": 4, "checkpoint": [5], "files": "x"})):
        (before / file).write_text(content)
        assert seen(own, before) in (None, VERY_ROWS, SAME_SET)
    (before / "recipe.yaml").write_text(json.dumps({"checkpoint": {"id": "./" + "x" * 300}}))  # no system has it
    (before / "environment.json").unlink()
    assert seen(own, before) is None
    (before / "recipe.yaml").unlink()
    assert seen(own, before / "model") is None
