"""The second door: `plugins: [./mine.py]` brings tasks and metrics of one's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.recipe.conftest import BASE
from textxfer import registry, run_recipe
from textxfer.errors import RecipeError
from textxfer.recipe.loading import load_recipe

KAPPA = """
import numpy as np
from textxfer import Metric, register

def kappa(predictions, references):
    agreed = np.mean(predictions == references)
    chance = sum(np.mean(predictions == label) * np.mean(references == label) for label in set(references))
    return float((agreed - chance) / (1 - chance)) if chance < 1 else 0.0

register("metrics", "kappa")(Metric(kappa, judges=("labels",), summary="Agreement beyond chance."))
"""

STANCE = '''
from typing import Literal
from textxfer import Section, register
from textxfer.tasks.topic import Topic

class Config(Section):
    """Which side a text takes."""
    name: Literal["stance"] = "stance"
    """The task."""
    max_length: int = 32
    """In tokens."""
    shout: bool = False
    """Whether texts are read in capitals."""

@register("tasks", "stance")
class Stance(Topic):
    name = "stance"

    def __init__(self, shout=False, **options):
        super().__init__(**options)
        self.shout = shout

    def encode(self, rows, tokenizer, labels):
        if self.shout:
            rows = rows.map(lambda row: {"text": row["text"].upper()})
        return super().encode(rows, tokenizer, labels)
'''


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))


def test_a_metric_from_a_plugin_is_computed(
    write: Callable[..., Path], recipe: Callable[..., dict[str, Any]], reviews: list[dict[str, Any]]
) -> None:
    plugin = write(KAPPA, "kappa.py")
    metrics = {"metrics": ["accuracy", "kappa"], "select_by": "kappa"}
    result = run_recipe(recipe(plugins=[str(plugin)], evaluate=metrics), splits={"train": reviews, "test": reviews})
    assert set(result.metrics["test"]) == {"accuracy", "kappa", "calibration_error"}
    accuracy, kappa = result.metrics["test"]["accuracy"], result.metrics["test"]["kappa"]
    assert kappa == pytest.approx((accuracy - 0.5) / 0.5)  # 20 rows of each label


def test_a_task_from_a_plugin_is_trained_with_its_own_fields(
    write: Callable[..., Path], recipe: Callable[..., dict[str, Any]], reviews: list[dict[str, Any]]
) -> None:
    plugin = write(STANCE, "stance.py")
    mapping = recipe(plugins=[str(plugin)])
    mapping["task"] = {"name": "stance", "shout": True}
    result = run_recipe(mapping, "train.max_steps=1", splits={"train": reviews, "test": reviews})
    assert "accuracy" in result.metrics["test"]
    saved = load_recipe(result.folder / "recipe.yaml", rows_given=True)
    assert saved.task.shout
    assert saved.plugins == (str(plugin),)


def test_a_plugin_is_found_beside_its_recipe(write: Callable[..., Path]) -> None:
    write(KAPPA, "below/kappa.py")
    path = write(BASE + "plugins: [./kappa.py]\nevaluate: {metrics: [kappa]}\n", "below/r.yaml")
    assert load_recipe(path).evaluate.metrics == ("kappa",)


def test_the_fields_of_a_plugins_task_are_checked(
    write: Callable[..., Path], problems: Callable[..., list[str]]
) -> None:
    write(STANCE, "stance.py")
    [problem] = problems("checkpoint: a/b\ndataset: d\nplugins: [stance.py]\ntask: {name: stance, shot: true}\n")
    assert problem.startswith("r.yaml:4:22: task.shot: unknown key `shot`; did you mean `shout`?")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import no_such_package\n", "does not run: ModuleNotFoundError: No module named 'no_such_package'"),
        ("def broken(:\n", "does not run: SyntaxError"),
        (
            "from textxfer import register\nregister('metrics', 'accuracy')(1)\n",
            "the name `accuracy` is taken by textxfer.metrics",
        ),
    ],
)
def test_a_plugin_that_does_not_run(
    text: str, message: str, write: Callable[..., Path], problems: Callable[..., list[str]]
) -> None:
    write(text, "broken.py")
    for _ in range(2):  # the second time it is not taken for loaded
        [problem] = problems(BASE + "plugins: [broken.py]\n")
        assert problem.startswith("r.yaml:4:11: plugins[0]: the plugin ")
        assert message in problem


def test_a_metric_that_is_only_a_function(write: Callable[..., Path], problems: Callable[..., list[str]]) -> None:
    write("from textxfer import register\n@register('metrics', 'mine')\ndef mine(a, b): return 1\n", "mine.py")
    [problem] = problems(BASE + "plugins: [mine.py]\nevaluate: {metrics: [mine]}\n")
    assert "evaluate.metrics[0]: `mine` was registered, but is no `textxfer.Metric`" in problem


def test_two_plugins_of_one_name_are_two(write: Callable[..., Path]) -> None:
    one, two = write(STANCE, "one/plugin.py"), write(KAPPA, "two/plugin.py")
    mapping = {"checkpoint": "a/b", "dataset": "d", "task": "stance", "plugins": [str(one), str(two)]}
    recipe = load_recipe(mapping, "evaluate.metrics=[kappa]", "task.shout=true")
    assert recipe.task.shout


def test_no_recipe_runs_code_from_the_hub(problems: Callable[..., list[str]]) -> None:
    [problem] = problems(BASE + "plugins: [org/name]\n")
    assert "there is no plugin file" in problem


def test_a_taken_name_is_refused(write: Callable[..., Path]) -> None:
    write(KAPPA, "a/kappa.py")
    write(KAPPA, "b/kappa.py")
    with pytest.raises(RecipeError, match="the name `kappa` is taken by textxfer_plugin_kappa_"):
        load_recipe(write(BASE + "plugins: [a/kappa.py, b/kappa.py]\n"))
