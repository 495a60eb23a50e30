"""`textxfer rank`: a table, JSON, checkpoints that fail."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from textxfer.recipe.writing import to_yaml

Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture
def places(
    recipe: Callable[..., Any], write_csv: Callable[..., Path], reviews: Any, bert: Path, tmp_path: Path
) -> Path:
    """A folder with a recipe, and checkpoints `a`, `b` and a broken one."""
    shutil.copytree(bert, tmp_path / "a")
    tiny.make_checkpoint(tmp_path / "b", "gpt2")
    tiny.make_checkpoint(tmp_path / "broken", seed=1)
    (tmp_path / "broken" / "model.safetensors").write_bytes(b"no weights")
    write_csv(tmp_path / "rows.csv", reviews)
    (tmp_path / "r.yaml").write_text(to_yaml(recipe(dataset={"path": "rows.csv"})))
    return tmp_path


def test_a_table_what_failed_and_the_line_to_use(shell: Shell, places: Path) -> None:
    code, out, err = shell("rank", "r.yaml", "--checkpoints", "a", "./b", "broken", "nowhere/at-all")
    assert code == 1
    assert err == f"2 of 4 checkpoints could not be ranked: {places / 'broken'}, nowhere/at-all\n"
    first, head, *lines = out.splitlines()
    assert first == "ranked on 32 of 32 training rows, by the mean over tokens, the mean of all layers:"
    columns = ("checkpoint", "probe", "LogME", "H-score", "kNN", "seconds", "parameters", "tokens/word", "cut words")
    assert head.split() == " ".join(columns).split()
    assert {line.split()[0] for line in lines[:2]} == {str(places / "a"), str(places / "b")}
    assert lines[2].startswith(f"not ranked: {places / 'broken'}: its weights are damaged")
    assert lines[3].startswith("not ranked: nowhere/at-all: ")
    assert "roughly, not surely" in lines[-2]
    assert lines[-1] == f"checkpoint: {lines[0].split()[0]}"


def test_json_and_overrides_after_the_checkpoints(shell: Shell, places: Path) -> None:
    code, out, err = shell("rank", "r.yaml", "--json", "--checkpoints", "a", "b", "a", "dataset.limit=20")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["of"] == 16
    assert len(found["ranked"]) == 2
    assert found["ranked"][0].keys() >= {"accuracy", "sd", "log_evidence", "h_score", "neighbours", "seconds"}
    assert found["failed"] == []
    code, out, err = shell("rank", "r.yaml", "--json", "--checkpoints", "a", "broken")
    assert (code, [each["checkpoint"] for each in json.loads(out)["failed"]]) == (1, [str(places / "broken")])
    assert "1 of 2 checkpoints could not be ranked" in err


def test_pooling_changes_the_scores(shell: Shell, places: Path) -> None:
    found = [
        json.loads(shell("rank", "r.yaml", "--json", "--checkpoints", "a", "--pooling", pooling)[1])["ranked"][0]
        for pooling in ("mean", "cls", "last")
    ]
    assert len({each["log_evidence"] for each in found}) == 3


def test_the_recipe_may_name_them(shell: Shell, places: Path) -> None:
    code, out, _ = shell("rank", "r.yaml", "checkpoint={auto: [a, b]}")
    assert (code, out.count(str(places / "b"))) in ((0, 1), (0, 2))
    code, _, err = shell("rank", "r.yaml")
    assert code == 2
    assert "r.yaml: say which checkpoints to rank: --checkpoints A B" in err


def test_all_fail(shell: Shell, places: Path) -> None:
    code, out, err = shell("rank", "r.yaml", "--checkpoints", "broken", "./nowhere")
    assert (code, out) == (2, "")
    assert err.splitlines()[0] == "none of the checkpoints can be ranked:"
    assert "its weights are damaged" in err
    assert "there is no such folder" in err


def test_one_with_too_few_layers_fails(shell: Shell, places: Path) -> None:
    tiny.make_checkpoint(places / "deep", num_hidden_layers=3)
    code, out, _ = shell("rank", "r.yaml", "freeze.layers=3", "--checkpoints", "a", "deep")
    assert code == 1
    assert f"not ranked: {places / 'a'}: freeze.layers: is 3, but the checkpoint has 2 layers" in out


def test_all_that_one_lacks_is_in_its_line(shell: Shell, places: Path) -> None:
    tiny.make_checkpoint(places / "deep", num_hidden_layers=4)
    asked = ("freeze.layers=3", "lora={targets: [querry]}")
    code, out, err = shell("rank", "r.yaml", *asked, "--checkpoints", "a", "deep")
    assert (code, out) == (2, "")
    for line, name in zip(err.splitlines()[1:], ("a", "deep"), strict=True):
        assert line.startswith(f"{places / name}: ")
        assert line.count("lora") == 1
        assert ("freeze.layers" in line) == (name == "a")


def test_several_labels_a_row_are_an_error(shell: Shell, places: Path) -> None:
    several = ("task={name: topic, multi_label: true}", "dataset.label_delimiter=;")
    code, _, err = shell("rank", "r.yaml", *several, "--checkpoints", "a", "b")
    assert code == 2
    assert "where each text has one label" in err


def test_check_looks_at_each(shell: Shell, places: Path) -> None:
    code, out, _ = shell("check", "r.yaml", "checkpoint={auto: [./nowhere, a, b]}", "freeze.layers=auto")
    assert code == 0
    assert f"checkpoint.auto: cannot be ranked: {places / 'nowhere'}: there is no such folder" in out
    assert f"what is said of tokens is of {places / 'a'}" in out
    code, _, err = shell("check", "r.yaml", "checkpoint={auto: [./nowhere, ./neither]}")
    assert code == 2
    assert err.startswith("none of the checkpoints can be ranked:")


def test_one_that_was_trained_on_the_rows_is_marked(shell: Shell, places: Path) -> None:
    assert shell("run", "r.yaml", "name=before", "checkpoint=./a", "train.max_steps=1", "--quiet")[0] == 0
    code, out, _ = shell("rank", "r.yaml", "--checkpoints", "a", "runs/before")
    assert code == 0
    before = str(places / "runs" / "before")
    assert out.splitlines()[-1] in (f"checkpoint: {places / 'a'}", f"checkpoint: {before}")
    assert [line for line in out.splitlines() if f"{before} * " in line]
    [warning] = [line for line in out.splitlines() if line.startswith("* ")]
    assert warning.startswith(f"* {before} was trained on these very rows, so that its scores say more of what it rem")
    assert f"{places / 'a'} *" not in out
    found = json.loads(shell("rank", "r.yaml", "--json", "--checkpoints", "a", "runs/before")[1])
    assert {each["checkpoint"]: each["seen"] for each in found["ranked"]} == {
        str(places / "a"): None,
        before: "was trained on these very rows",
    }
