"""What others may see of a recipe, and names on the Hub."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import yaml

from textxfer.recipe.hub_names import language_code, reference_name, repo_name
from textxfer.recipe.loading import load_recipe
from textxfer.recipe.public import hashes_of, public_name, public_recipe, public_text


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("org/name", "org/name"),
        ("gpt2", "gpt2"),
        ("package:some_package/model", "package:some_package/model"),
        ("/home/somebody/minilm", "minilm"),
        ("../../private/rows.csv", "rows.csv"),
        ("/home/somebody/runs/first/model", "first"),
        ("../..", "folder"),
        ("/", "folder"),
    ],
)
def test_a_path_gives_away_its_name_only(path: str, name: str) -> None:
    assert public_name(path) == name


def test_local_files_are_named_by_name_and_content(tmp_path: Path) -> None:
    for name in ("rows.csv", "plugin.py", "left_out.csv", "more.txt", "base/config.json", "base/model.safetensors"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("" if name == "plugin.py" else name)
    recipe = load_recipe(
        {
            "checkpoint": str(tmp_path / "base"),
            "dataset": {"path": str(tmp_path / "rows.csv"), "drop": str(tmp_path / "left_out.csv")},
            "task": "sentiment",
            "adapt": {"texts": ["task", str(tmp_path / "more.txt")]},
            "plugins": [str(tmp_path / "plugin.py")],
            "output": {"directory": str(tmp_path / "runs")},
            "train": {"prefix_cache": {"directory": str(tmp_path / "cache")}},
        }
    )
    resolved = recipe.resolved(tmp_path / "runs" / "run")
    public = public_recipe(resolved, hashes_of(recipe))

    def known(name: str) -> str:
        return f"{name}@sha256:{hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()}"

    assert public["dataset"]["path"] == known("rows.csv")
    assert public["dataset"]["drop"] == known("left_out.csv")
    assert public["plugins"] == [known("plugin.py")]
    assert public["adapt"]["texts"] == ["task", known("more.txt")]
    inside = ("config.json", "model.safetensors")
    lines = "".join(f"{hashlib.sha256(f'base/{name}'.encode()).hexdigest()}  {name}\n" for name in inside)
    assert public["checkpoint"]["id"] == f"base@sha256:{hashlib.sha256(lines.encode()).hexdigest()}"
    assert (public["output"]["directory"], public["train"]["prefix_cache"]["directory"]) == ("runs", "cache")
    text = public_text(resolved, {})
    assert str(tmp_path) not in text
    assert yaml.safe_load(text)["dataset"]["path"] == "rows.csv", "a hash that is not known is left out"


def test_what_is_not_local_stays_as_it_is(tmp_path: Path) -> None:
    recipe = load_recipe({"checkpoint": "org/base", "dataset": {"hub": "org/rows"}, "task": "topic"})
    resolved = recipe.resolved(tmp_path)
    assert public_recipe(resolved, hashes_of(recipe)) == resolved


@pytest.mark.parametrize("name", ["user/model", "a/b", "my-org/bert_v1.2", "Org/x" + "y" * 80])
def test_repository_names(name: str) -> None:
    assert repo_name(name) == name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("model", "user/name"),
        ("a/b/c", "user/name"),
        ("user/a..b", "cannot be"),
        ("user/a--b", "cannot be"),
        ("user/..", "cannot be"),
        ("../model", "cannot be"),
        ("user/my model", "cannot be"),
        ("user/.hidden", "cannot be"),
        ("user/model.git", "cannot be"),
        ("user/", "cannot be"),
        ("user/é", "cannot be"),
        ("user/" + "x" * 96, "longer than 96"),
    ],
)
def test_names_that_no_repository_can_have(name: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        repo_name(name)


def test_names_of_branches_tags_and_languages() -> None:
    for name in ("main", "v1.0", "refs/pr/3", "a_b-c"):
        assert reference_name(name) == name
    for name in ("", "a b", "a..b", "/a", "a//b", "a.lock", "-a", "v1~"):
        with pytest.raises(ValueError, match="cannot name a branch or tag"):
            reference_name(name)
    for code in ("en", "pt-BR", "zh-Hans", "gsw", "multilingual", "no"):
        assert language_code(code) == code
    for code in ("English", "e", "", "EN", "en_US"):
        with pytest.raises(ValueError, match="no code of a language"):
            language_code(code)


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ("{repo: model}", "hub.repo: `model` is not of the form user/name"),
        ("{language: English}", "hub.language: `English` is no code of a language"),
        ("{revision: a b}", "hub.revision: `a b` cannot name a branch"),
        ("{tags: [a, a]}", "hub.tags: names `a` twice"),
        ("{private: maybe}", "hub.private: must be true or false"),
        ("{token: hf_abcdefgh}", "hub.token: unknown key `token`"),
        ("hf_abcdefgh", "hub: must be a section"),
    ],
)
def test_a_wrong_hub_section_is_an_error_that_shows_no_token(section: str, says: str, tmp_path: Path) -> None:
    from textxfer.errors import RecipeError

    path = tmp_path / "r.yaml"
    path.write_text(f"checkpoint: a/b\ndataset: {{hub: c/d}}\ntask: topic\nhub: {section}\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert says in str(caught.value)
    assert "abcdefgh" not in str(caught.value)


def test_the_language_no_is_norwegian(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("checkpoint: a/b\ndataset: {hub: c/d}\ntask: topic\nhub: {language: no, tags: reviews}\n")
    hub = load_recipe(path).hub
    assert (hub.language, hub.tags) == (("no",), ("reviews",))
