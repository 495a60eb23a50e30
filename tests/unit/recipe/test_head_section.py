"""`head` in a recipe: which heads there are, and the fields of each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.recipe.conftest import BASE
from textxfer import registry
from textxfer.recipe.loading import load_recipe

LEAST = {"checkpoint": "a/b", "dataset": "d", "task": "topic"}
THERE = "(there are: mean, mlp, native, text2text)"
GATED = '''
from typing import Literal
import torch
from textxfer import HeadSection, register

class Config(HeadSection):
    """A head with a gate."""
    name: Literal["gated"] = "gated"
    """The head."""
    width: int = 4
    """Of the gate."""

@register("heads", "gated")
class Gated(torch.nn.Module):
    pass
'''


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (None, {"name": "native", "start": "probe"}),
        ({"start": "random"}, {"name": "native", "start": "random"}),
        ("mean", {"name": "mean", "start": "probe", "dropout": 0.1, "normalize": False}),
        (
            {"name": "mlp", "hidden": [64, 32], "dropout": 0},
            {
                "name": "mlp",
                "start": "probe",
                "pooling": None,
                "hidden": [64, 32],
                "activation": "gelu",
                "dropout": 0,
            },
        ),
    ],
)
def test_a_head_and_its_fields(head: Any, expected: dict[str, Any]) -> None:
    recipe = load_recipe(LEAST | ({} if head is None else {"head": head}))
    resolved = recipe.resolved(Path())["head"]
    assert resolved == expected
    assert load_recipe(LEAST | {"head": resolved}).head == recipe.head


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("head: mpl", "head.name: unknown head `mpl`; did you mean `mlp`? (there are: mean, mlp, native, text2text)"),
        ("head: {name: mlp, hidden: [0]}", "head.hidden[0]: must be at least 1, not `0`"),
        ("head: {name: mlp, hidden: 64}", "head.hidden: must be a list, not `64`"),
        ("head: {name: mlp, activation: sine}", "head.activation: must be `relu`, `gelu`, `tanh`, not `sine`"),
        ("head: {name: mlp, pooling: first}", "head.pooling: must be `cls`, `mean`, `last`, `max`, not `first`"),
        ("head: {name: mlp, dropout: 1}", "head.dropout: must be less than 1, not `1`"),
        ("head: {name: mlp, hiden: [4]}", "head.hiden: unknown key `hiden`; did you mean `hidden`?"),
        (
            "head: {name: mean, pooling: max}",
            "head.pooling: unknown key `pooling` (there are: name, start, dropout, normalize); `pooling` belongs to "
            "mlp: `head: {name: mlp, pooling: ...}`",
        ),
        ("head: {hidden: [8]}", "`hidden` belongs to mlp: `head: {name: mlp, hidden: ...}`"),
        ("head: [mlp]", f"head: must be a head's name or a section with its `name` {THERE}"),
        ("head: null", f"head: must be a head's name or a section with its `name` {THERE}"),
        (
            "head: mlp\nlora: {merge: false}",
            "lora.merge: is false: it keeps an adapter, which peft loads with the native head only, not `mlp`",
        ),
    ],
)
def test_mistakes_are_told_with_their_place(line: str, message: str, problems: Callable[..., list[str]]) -> None:
    [problem] = problems(BASE + line + "\n")
    assert message in problem
    assert problem.startswith("r.yaml:")


def test_answers_need_the_native_head(problems: Callable[..., list[str]]) -> None:
    text = "checkpoint: a/b\ndataset: d\ntask: question_answering\nhead: {name: mlp, hidden: [8]}\n"
    [problem] = problems(text)
    assert "head: answers need the native head: `mlp` gives one vector of logits a text" in problem


def test_a_wrong_task_does_not_hide_the_head(problems: Callable[..., list[str]]) -> None:
    [task] = problems("checkpoint: a/b\ndataset: d\ntask: topc\nhead: {name: mlp, hidden: [8]}\n")
    assert "unknown task `topc`" in task


def test_naming_another_head_takes_back_the_fields_of_the_first(write: Callable[..., Path]) -> None:
    path = write(BASE + "head: {name: mlp, hidden: [64], start: random}\n")
    assert load_recipe(path, "head=mean").head.model_dump() == {
        "name": "mean",
        "start": "random",
        "dropout": 0.1,
        "normalize": False,
    }
    assert load_recipe(path, "head.activation=tanh").head.model_dump()["hidden"] == (64,)
    child = write("extends: r.yaml\nhead: native\n", "child.yaml")
    assert load_recipe(child).head.model_dump() == {"name": "native", "start": "random"}


def test_a_head_from_a_plugin(write: Callable[..., Path], problems: Callable[..., list[str]]) -> None:
    write(GATED, "gated.py")
    path = write(BASE + "plugins: [gated.py]\nhead: {name: gated, width: 8}\n", "good.yaml")
    assert load_recipe(path).head.model_dump() == {"name": "gated", "start": "probe", "width": 8}
    [problem] = problems(BASE + "plugins: [gated.py]\nhead: {name: gated, widht: 8}\n")
    assert "head.widht: unknown key `widht`; did you mean `width`?" in problem


def test_a_field_that_a_plugin_s_head_must_have(write: Callable[..., Path], problems: Callable[..., list[str]]) -> None:
    write(GATED.replace("width: int = 4", "width: int"), "gated.py")
    lines = problems(BASE + "plugins: [gated.py]\nhead: gated\nlora: {merge: false}\n")
    assert len(lines) == 2
    assert "head.width" in lines[0]
    assert "lora.merge: is false" in lines[1]


def test_no_plugin_takes_the_name_of_the_native_head(write: Callable[..., Path]) -> None:
    from textxfer.errors import RecipeError

    write(GATED.replace('"heads", "gated"', '"heads", "native"'), "gated.py")
    with pytest.raises(RecipeError, match=r"the name `native` is taken by textxfer\.heads\.native"):
        load_recipe(write(BASE + "plugins: [gated.py]\n"))


def test_a_plugin_whose_config_is_no_head_section(
    write: Callable[..., Path], problems: Callable[..., list[str]]
) -> None:
    write(GATED.replace("HeadSection", "Section"), "gated.py")
    [problem] = problems(BASE + "plugins: [gated.py]\nhead: gated\n")
    assert "head.name: `gated` was registered, but its Config is no HeadSection" in problem
