"""A run of phases that is stopped, at a border or within a phase, goes on as if it had not been."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.unit.training.helpers import Watcher, assert_same_run, make_recipe, signaller, splits
from textxfer.errors import Interrupted
from textxfer.run import RunResult, run_recipe
from textxfer.training.network import Network

# The pooled states, none, those of a layer that was trained before, the same ones in a phase that is too short to store
# any for itself, and none again.
PHASES = [
    {"freeze": {"layers": "all"}, "steps": 5},
    {"freeze": {"layers": 0}, "steps": 2},
    {"freeze": {"layers": 1}, "steps": 4},
    {"freeze": {"layers": 1}, "steps": 2, "learning_rate": 5e-4},
    {"freeze": {"layers": 0}, "steps": 2},
]


def recipe_of(checkpoint: Path, directory: Path, **sections: Any) -> dict[str, Any]:
    recipe = make_recipe(checkpoint, directory, **sections)
    del recipe["train"]["epochs"]
    return recipe | {"train": {"phases": PHASES} | recipe["train"]}


@pytest.fixture(scope="module")
def whole(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """The run that nothing interrupts."""
    return run_recipe(recipe_of(bert, tmp_path_factory.mktemp("whole")), splits=splits())


@pytest.mark.parametrize("step", [5, 6, 10, 11])
def test_stopped_around_a_border_it_goes_on_bit_for_bit(
    bert: Path, tmp_path: Path, whole: RunResult, step: int
) -> None:
    """At a border the evaluation of the phase that ends is yet to come."""
    recipe = recipe_of(bert, tmp_path)
    with pytest.raises(Interrupted):
        run_recipe(recipe, splits=splits(), observers=[signaller("on_step", step, signal.SIGINT)])
    resumed = run_recipe(recipe, splits=splits(), resume=True)
    assert_same_run(resumed.folder, whole.folder)


def test_what_a_phase_that_has_ended_stored_is_not_computed_again(bert: Path, tmp_path: Path, whole: RunResult) -> None:
    recipe, watcher = recipe_of(bert, tmp_path), Watcher()
    with pytest.raises(Interrupted):
        run_recipe(recipe, splits=splits(), observers=[signaller("on_scores", 5, signal.SIGINT)])
    resumed = run_recipe(recipe, splits=splits(), resume=True, observers=[watcher])
    assert_same_run(resumed.folder, whole.folder)
    assert "goes on after step 5" in watcher.notes
    assert [note.split(" is computed")[0] for note in watcher.notes if "is computed once" in note] == [
        "the output of 1 frozen layer"
    ]
    assert [phase.number for phase in watcher.phases] == [2, 3, 4, 5]


def test_stopped_while_states_are_stored_it_goes_on_bit_for_bit(
    bert: Path, tmp_path: Path, whole: RunResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, calls = Network.store, []

    def store_with_signal(self: Network, *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGTERM)
        return store(self, *arguments)

    monkeypatch.setattr(Network, "store", store_with_signal)
    with pytest.raises(Interrupted, match="stopped after step 7 of 15"):
        run_recipe(recipe_of(bert, tmp_path), splits=splits())
    resumed = run_recipe(recipe_of(bert, tmp_path), splits=splits(), resume=True)
    assert_same_run(resumed.folder, whole.folder)


def stopped_again_and_again(recipe: dict[str, Any], steps: Sequence[int]) -> RunResult:
    for step in steps:
        with pytest.raises(Interrupted):
            run_recipe(recipe, splits=splits(), resume=True, observers=[signaller("on_step", step, signal.SIGINT)])
    return run_recipe(recipe, splits=splits(), resume=True)


@pytest.mark.parametrize(
    "sections",
    [{"train": {"precision": "bf16"}}, {"lora": {"rank": 2, "dropout": 0.1}}, {"head": {"start": "probe"}}],
    ids=["bf16", "lora", "probe"],
)
def test_stopped_in_each_phase_it_goes_on_bit_for_bit(bert: Path, tmp_path: Path, sections: dict[str, Any]) -> None:
    if "lora" in sections:
        pytest.importorskip("peft")
    recipe = recipe_of(bert, tmp_path, **sections)
    whole = run_recipe(recipe, "name=whole", splits=splits())
    last = whole.metrics["steps"]
    steps = sorted({2, last - 8, last - 5, last - 2})
    assert_same_run(stopped_again_and_again(recipe, steps).folder, whole.folder)


def test_gradual_unfreezing_goes_on_bit_for_bit(checkpoints: Callable[[str], Path], tmp_path: Path) -> None:
    recipe = make_recipe(checkpoints("t5"), tmp_path, freeze={"thaw_every": 1}, train={"epochs": 3})
    whole = run_recipe(recipe, "name=whole", splits=splits())
    assert_same_run(stopped_again_and_again(recipe, [4, 5, 8]).folder, whole.folder)
