"""Rows that weigh less: what a reviewed list says of a row multiplies its loss, however a step is cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.unit.training.helpers import Watcher, assert_same_weights, log, rows, splits
from tests.unit.training.steps import our_step, ready
from tests.unit.training.test_step import ALL, assert_same_step, plain
from textxfer.run import RunResult, run_recipe

Small = Callable[..., dict[str, Any]]


@pytest.fixture
def reviewed(tmp_path: Path) -> Callable[..., str]:
    """Writes a list that gives rows of train weights, by their numbers."""

    def write(weights: dict[int, float]) -> str:
        path = tmp_path / f"reviewed-{len(list(tmp_path.iterdir()))}.csv"
        lines = [f"train-{number},{weight}" for number, weight in weights.items()]
        path.write_text("\n".join(["id,weight", *lines, ""]))
        return str(path)

    return write


@pytest.mark.parametrize(("size", "layers"), [(32, 0), (5, 0), (8, 1), (5, "all")])
def test_a_weighed_step_is_a_plain_step(bert: Path, reviewed: Callable[..., str], size: int, layers: Any) -> None:
    run = ready(
        bert,
        rows(32),
        dataset={"validation_fraction": 0, "drop": reviewed({0: 0.25, 7: 0.5, 30: 0.01})},
        train={"batch_size": 32, "micro_batch_size": size, "epochs": 2},
        freeze={"layers": layers},
    )
    assert (run.training.network.seconds > 0) == (layers != 0)
    assert_same_step(our_step(run, ALL), plain(run))


def test_label_sets_are_weighed_too(bert: Path, reviewed: Callable[..., str]) -> None:
    many = [row | {"label": row["label"] if number % 3 else "good;bad"} for number, row in enumerate(rows(32))]
    run = ready(
        bert,
        many,
        task={"name": "topic", "multi_label": True, "max_length": 32},
        dataset={"validation_fraction": 0, "label_delimiter": ";", "drop": reviewed({3: 0.5, 9: 0.1})},
        train={"batch_size": 32, "micro_batch_size": 5},
    )
    inputs = run.tokenizer([row["text"] for row in many], padding=True, return_tensors="pt")
    targets = torch.tensor(run.prepared.encoded["train"].targets)
    with torch.no_grad():
        logits = run.untouched.eval()(**inputs).logits
    each = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=1)
    weights = torch.ones(32)
    weights[3], weights[9] = 0.5, 0.1
    assert our_step(run, ALL)["loss"] == pytest.approx(float(each @ weights) / 32, rel=1e-5)


def test_every_window_of_a_row_weighs_what_the_row_does(
    bert: Path, questions: list[dict[str, Any]], reviewed: Callable[..., str]
) -> None:
    sections: dict[str, Any] = {
        "task": {"name": "question_answering", "max_length": 24, "stride": 4},
        "train": {"batch_size": 64},
    }
    asked = {str(row["id"]): number for number, row in enumerate(questions)}
    path = Path(reviewed({}))
    path.write_text(f"id,weight\n{questions[0]['id']},0.25\n")
    plainly = ready(bert, questions, **sections, dataset={"validation_fraction": 0})
    weighed = ready(bert, questions, **sections, dataset={"validation_fraction": 0, "drop": str(path)})
    windows = plainly.prepared.encoded["train"].rows
    of_it = np.flatnonzero(windows == asked[str(questions[0]["id"])])
    assert len(of_it) > 1

    def loss(run: Any, indices: np.ndarray) -> float:
        return float(run.stepper.gradients(indices, 0).loss) * len(indices)

    all_windows = np.arange(len(windows))
    lighter = loss(plainly, all_windows) - 0.75 * loss(plainly, of_it)
    assert loss(weighed, all_windows) == pytest.approx(lighter, rel=1e-5)


def train(small: Small, name: str, **dataset: Any) -> RunResult:
    watcher = Watcher()
    recipe = small(dataset=dataset, train={"log_every": 1}, calibrate="off")
    return run_recipe(recipe, f"name={name}", splits=splits(), observers=[watcher])


def test_weights_of_one_are_no_weights(small: Small, reviewed: Callable[..., str]) -> None:
    plainly = train(small, "plain")
    ones = train(small, "ones", drop=reviewed(dict.fromkeys(range(28), 1.0)))
    assert log(plainly.folder) == log(ones.folder)
    assert_same_weights(plainly.folder, ones.folder)


def test_weights_change_what_is_learnt_and_not_what_is_scored(small: Small, reviewed: Callable[..., str]) -> None:
    plainly = train(small, "plain", validation_fraction=0.1)
    lighter = train(small, "lighter", drop=reviewed(dict.fromkeys(range(14), 0.1)))
    first, other = (next(line for line in log(result.folder) if "split" not in line) for result in (plainly, lighter))
    assert other["loss"] < first["loss"]
    watched = next(line for line in log(lighter.folder) if line.get("split") == "train")
    assert watched["loss"] > 0.3  # of a tenth of the loss nothing would be left


def test_a_run_says_how_many_rows_weigh_less(small: Small, reviewed: Callable[..., str]) -> None:
    path, watcher = reviewed({1: 0.5, 2: 1.0, 3: 0.2}), Watcher()
    recipe = small(dataset={"drop": path}, train={"max_steps": 1})
    run_recipe(recipe, splits=splits(), observers=[watcher])
    assert "dataset.drop: 0 of 28 training rows are left out, and 2 count less in the loss" in watcher.notes
