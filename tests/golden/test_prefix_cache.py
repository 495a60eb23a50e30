"""A run whose frozen layers are computed once takes the same steps as one that computes them in every step."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import textxfer
from tests.unit.modeling.test_prefix import CACHED

STEPS = 20


def losses(folder: Path) -> list[float]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "grad_norm" in line]


def run(recipe: dict[str, Any], rows: Any, *overrides: str) -> list[float]:
    result = textxfer.run_recipe(recipe, *overrides, splits={"train": rows}, overwrite=True)
    return losses(result.folder)


@pytest.mark.parametrize("layers", [1, "all"])
@pytest.mark.parametrize("family", CACHED)
def test_losses_do_not_change(
    family: str, layers: Any, recipe: Callable[..., Any], reviews: Any, checkpoints: Callable[[str], Path]
) -> None:
    made = recipe(checkpoint=str(checkpoints(family)), freeze={"layers": layers}, train={"epochs": 5, "dropout": 0.0})
    plain = run(made, reviews, "train.prefix_cache=off")
    cached = run(made, reviews)
    timing = json.loads((Path(made["output"]["directory"]) / made["name"] / "metrics.json").read_text())["timing"]
    assert timing["prefix_seconds"] > 0
    assert len(plain) >= STEPS
    assert cached == pytest.approx(plain, abs=1e-4)


@pytest.mark.parametrize("family", ["bert", "t5"])
def test_answers_do_not_change(
    family: str, recipe: Callable[..., Any], questions: Any, checkpoints: Callable[[str], Path]
) -> None:
    task = {"name": "question_answering", "max_length": 48, "stride": 8}
    made = recipe(
        checkpoint=str(checkpoints(family)), task=task, freeze={"layers": 1}, train={"epochs": 5, "dropout": 0.0}
    )
    assert run(made, questions) == pytest.approx(run(made, questions, "train.prefix_cache=off"), abs=1e-4)


def test_dropout_above_the_boundary_stays(recipe: Callable[..., Any], reviews: Any) -> None:
    made = recipe(freeze={"layers": 1}, train={"epochs": 5, "dropout": 0.5})
    assert run(made, reviews) != pytest.approx(run(made, reviews, "train.dropout=0.0"), abs=1e-4)


def test_the_run_says_what_is_kept(recipe: Callable[..., Any], reviews: Any) -> None:
    class Notes(textxfer.Observer):
        def __init__(self) -> None:
            self.notes: list[str] = []

        def on_note(self, note: str) -> None:
            self.notes.append(note)

    notes = Notes()
    textxfer.run_recipe(recipe(freeze={"layers": 1}), splits={"train": reviews}, observers=[notes])
    assert any("1 frozen layer is computed once and kept in memory" in note for note in notes.notes), notes.notes
