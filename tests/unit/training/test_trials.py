"""Trials of heads and roads: which rows are judged, what a trial would cost, and what wins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.unit.training.helpers import prepared
from textxfer.training import few_rows, trials
from textxfer.training.precision import make_accelerator
from textxfer.training.trials import Trials, decide, parts_to_judge

pytestmark = pytest.mark.usefixtures("few_steps")


def test_each_row_is_held_out_once_but_a_labels_only_one() -> None:
    targets = np.array([0] * 9 + [1] * 9 + [2])
    part = parts_to_judge(targets)
    assert part[-1] == -1
    assert np.bincount(part[:-1]).tolist() == [9, 9]
    for number in range(2):
        assert set(targets[part != number].tolist()) == {0, 1, 2}


@pytest.mark.parametrize("targets", [[0, 1, 2, 3], [0] * 20 + [1], [0, 0, 1, 1], list(range(50))], ids=str)
def test_nothing_is_held_out_where_that_tells_nothing(targets: list[int]) -> None:
    assert (parts_to_judge(np.array(targets)) == -1).all()


def test_of_many_rows_some_are_judged() -> None:
    assert np.bincount(parts_to_judge(np.arange(120) % 4)).tolist() == [60, 60]
    part = parts_to_judge(np.arange(3000) % 50)
    assert part.max() == 0
    assert (part == 0).sum() == 1500


def hits(*shares: float, rows: int = 1000) -> dict[str, np.ndarray]:
    return {road: np.arange(rows) < round(share * rows) for road, share in zip(few_rows.ROADS, shares, strict=True)}


@pytest.mark.parametrize(
    ("shares", "road"),
    [((0.5, 0.6, 0.7), "fine_tune"), ((0.7, 0.7, 0.7), "probe"), ((0.5, 0.7, 0.6), "contrastive"),
     ((0.7, 0.5, 0.4), "probe"), ((0.5, 0.7, 0.7), "contrastive")],
)  # fmt: skip
def test_the_cheapest_of_the_best_is_taken(shares: tuple[float, ...], road: str) -> None:
    assert decide(hits(*shares)) == (road, f"{road} does best")


def test_a_lead_within_one_standard_error_is_none() -> None:
    places = np.arange(60)
    right = {"probe": places < 36, "contrastive": (places >= 10) & (places < 50)}
    found, sentence = decide(right)
    assert found == "probe"
    assert "contrastive's lead of 0.067 over probe is within one standard error" in sentence
    assert decide(right | {"contrastive": places < 40})[0] == "contrastive"


def test_what_a_token_passes_through_is_all_but_the_embeddings(untouched: Callable[..., dict[str, Any]]) -> None:
    import transformers

    run = prepared(untouched(head="native"))
    model = transformers.AutoModelForSequenceClassification.from_pretrained(run.checkpoint.location)
    sizes = {name: value.numel() for name, value in model.named_parameters()}
    expected = sum(size for name, size in sizes.items() if "embeddings" not in name)
    assert Trials(run, make_accelerator("fp32"), np.zeros(28)).parameters == expected


def test_what_a_road_may_cost(untouched: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    run = prepared(untouched(head="native"))
    tried = Trials(run, make_accelerator("fp32"), np.zeros(28))
    texts = 4 * few_rows.GROUPS * few_rows.TEXTS  # of four steps
    cost = 6.0 * tried.parameters * texts * float(run.encoded["train"].lengths.mean())
    monkeypatch.setitem(trials.MOST_OPERATIONS, "cpu", cost * 1.001)
    assert tried.affords("native", "contrastive")
    monkeypatch.setitem(trials.MOST_OPERATIONS, "cpu", cost * 0.999)
    assert not tried.affords("native", "contrastive")
    assert tried.affords("native", "probe")
    assert len(tried.left_out) == 1
