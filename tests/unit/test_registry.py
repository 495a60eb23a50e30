"""The shelves: members are found by name, without importing them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from textxfer import registry
from textxfer.errors import RecipeError
from textxfer.section import Section


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test registers is gone after it; entry points are looked up anew."""
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    registry._load_entry_points.cache_clear()
    yield
    monkeypatch.undo()
    registry._load_entry_points.cache_clear()


def test_built_in_names_are_those_of_files() -> None:
    assert registry.names("tasks") == ("question_answering", "sentiment", "topic")
    assert {"accuracy", "macro_f1", "exact_match", "within_one"} <= set(registry.names("metrics"))
    assert not any(name.startswith("_") for name in registry.names("metrics"))
    assert "distance" not in registry.names("metrics")  # a module that holds a family


@pytest.mark.parametrize("family", ["tasks", "metrics"])
def test_every_member_loads(family: str) -> None:
    for name in registry.names(family):
        assert registry.load(family, name) is not None


def test_names_import_no_member() -> None:
    code = (
        "import sys; from textxfer import registry; registry.names('tasks'); registry.names('metrics');"
        "print([name for name in sys.modules if name in ('textxfer.tasks.topic', 'textxfer.metrics.f1')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_member_bears_its_name_or_its_name_in_capitals() -> None:
    from textxfer.metrics.f1 import macro_f1
    from textxfer.tasks.question_answering import Config, QuestionAnswering

    assert registry.load("metrics", "macro_f1") is macro_f1
    assert registry.load("tasks", "question_answering") is QuestionAnswering
    assert registry.config("tasks", "question_answering") is Config


def test_a_member_without_settings_has_an_empty_section() -> None:
    assert registry.config("metrics", "accuracy") is Section


def test_an_unknown_name_suggests_the_nearest_and_lists_all() -> None:
    with pytest.raises(RecipeError) as caught:
        registry.load("tasks", "sentimental")
    assert str(caught.value) == (
        "unknown task `sentimental`; did you mean `sentiment`? (there are: question_answering, sentiment, topic)"
    )
    assert "did you mean" not in registry.unknown("xyz", ["abc"])


def test_registering_is_a_decorator_and_a_call() -> None:
    @registry.register("tasks", "mine")
    class Mine:
        pass

    thing = object()
    assert registry.register("metrics", "thing")(thing) is thing
    assert registry.load("tasks", "mine") is Mine
    assert registry.load("metrics", "thing") is thing
    assert "mine" in registry.names("tasks")
    assert registry.config("tasks", "mine") is Section


def test_registering_again_from_the_same_module_replaces() -> None:
    registry.register("metrics", "thing")(1)
    registry.register("metrics", "thing")(2)
    assert registry.load("metrics", "thing") == 2


def test_a_built_in_name_cannot_be_taken() -> None:
    with pytest.raises(RecipeError, match=r"metrics: the name `accuracy` is taken by textxfer\.metrics\.accuracy"):
        registry.register("metrics", "accuracy")(object())


def test_a_plugin_runs_once(tmp_path: Path) -> None:
    path = tmp_path / "counting.py"
    path.write_text("with open(__file__ + '.log', 'a') as file:\n    file.write('x')\n")
    first = registry.load_plugin(path)
    assert registry.load_plugin(tmp_path / "." / "counting.py") is first
    assert (tmp_path / "counting.py.log").read_text() == "x"


def test_a_plugin_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="there is no plugin file"):
        registry.load_plugin(tmp_path / "none.py")


def install(folder: Path, module: str) -> None:
    """Leaves in a folder what an installed package with one entry point does."""
    info = folder / "stance_for_textxfer-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stance-for-textxfer\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[textxfer.plugins]\nstance = {module}\n")


def test_the_third_door_is_an_entry_point(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "stance_plugin_a.py").write_text(
        "from textxfer import register\n@register('tasks', 'stance')\nclass Stance: pass\n"
    )
    install(tmp_path, "stance_plugin_a")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "stance" in registry.names("tasks")
    assert registry.load("tasks", "stance").__name__ == "Stance"


def test_an_entry_point_that_does_not_load_names_its_package(tmp_path: Path, monkeypatch: Any) -> None:
    install(tmp_path, "no_such_module_at_all")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(RecipeError, match="the plugin `stance` of the package stance-for-textxfer does not load"):
        registry.names("tasks")
