"""Labels only where the model is sure, label sets, and labels by threshold."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import textxfer
from tests.unit.serving.conftest import TEXTS, close
from textxfer.errors import CheckpointError

CONFORMAL = {"rows": 100, "least_probability": {"0.5": 0.9, "0.8": 0.4, "0.9": 0.0, "0.99": 0.0}}


@pytest.fixture
def noted(trained: Any, tmp_path: Path) -> Callable[..., Any]:
    """Gives the pipeline of a trained model with more settings under `textxfer`."""

    def make(task: str, **settings: Any) -> Any:
        folder = Path(shutil.copytree(trained("bert", task) / "model", tmp_path / "model", dirs_exist_ok=True))
        config = json.loads((folder / "config.json").read_text())
        config["textxfer"] |= settings
        (folder / "config.json").write_text(json.dumps(config))
        return textxfer.pipeline(folder)

    return make


# --- min_confidence


def test_unsure_label_is_none_and_its_score_is_kept(classify: Any) -> None:
    plain = classify(TEXTS)
    middle = sorted(one["score"] for one in plain)[len(TEXTS) // 2]
    found = classify(TEXTS, min_confidence=middle)
    labels = [one["label"] for one in found]
    assert None in labels
    assert set(labels) - {None}
    for before, after in zip(plain, found, strict=True):
        assert after["score"] == before["score"]
        assert after["label"] == (before["label"] if before["score"] >= middle else None), "equal is enough"
    assert classify(TEXTS[0], min_confidence=middle)[0]["label"] == labels[0]


def test_min_confidence_0_and_1(classify: Any) -> None:
    plain = classify(TEXTS)
    assert classify(TEXTS, min_confidence=0) == plain
    assert all(one["score"] < 1 for one in plain)
    assert {one["label"] for one in classify(TEXTS, min_confidence=1)} == {None}
    assert classify([], min_confidence=1) == []


@pytest.mark.parametrize("wrong", [-0.1, 1.5, "0.9", True, float("nan")])
def test_min_confidence_is_a_probability(wrong: Any, classify: Any) -> None:
    with pytest.raises(ValueError, match="min_confidence must be a number from 0 to 1, not "):
        classify(TEXTS, min_confidence=wrong)


@pytest.mark.parametrize("others", [{"top_k": None}, {"top_k": 2}, {"top_k": "set"}, {"coverage": 0.9}])
def test_min_confidence_goes_with_one_label(others: Any, classify: Any) -> None:
    with pytest.raises(ValueError, match="min_confidence goes with top_k=1 and without coverage"):
        classify(TEXTS, min_confidence=0.5, **others)


# --- coverage


def test_label_sets_have_what_is_probable_enough_and_the_best(noted: Any, classify: Any) -> None:
    sure = noted("sentiment", conformal=CONFORMAL)
    every = classify(TEXTS, top_k=None)
    for coverage, least in ((0.5, 0.9), (0.7, 0.4), (0.8, 0.4), (0.81, 0.0), (0.99, 0.0)):
        expected = [[one for place, one in enumerate(each) if place == 0 or one["score"] >= least] for each in every]
        assert close(sure(TEXTS, coverage=coverage), expected)
        assert close(sure(TEXTS[0], coverage=coverage), expected[0])
    assert sure([], coverage=0.9) == []


def test_model_without_quantiles(classify: Any, tags: Any) -> None:
    for each in (classify, tags):
        with pytest.raises(CheckpointError) as error:
            each(TEXTS, coverage=0.9)
        assert str(error.value) == (
            "coverage: this model has nothing to make label sets from. That takes one label a text, and training with "
            "`calibrate: auto` and 300 validation rows or more"
        )


def test_more_coverage_than_its_rows_can_promise(noted: Any) -> None:
    with pytest.raises(CheckpointError) as error:
        noted("sentiment", conformal=CONFORMAL)(TEXTS, coverage=0.995)
    assert str(error.value) == (
        "coverage: 0.995 is more than 100 rows can promise (0.99); ask for less, or train with more validation rows"
    )


@pytest.mark.parametrize("wrong", [0.49, 1, 1.0, 95, "0.9", True])
def test_coverage_is_a_share(wrong: Any, noted: Any) -> None:
    with pytest.raises(ValueError, match=r"coverage must be a number from 0\.5 to below 1, not "):
        noted("sentiment", conformal=CONFORMAL)(TEXTS, coverage=wrong)


def test_coverage_and_top_k_do_not_go_together(noted: Any) -> None:
    with pytest.raises(ValueError, match="coverage says itself how many labels a text gets; leave top_k out"):
        noted("sentiment", conformal=CONFORMAL)(TEXTS, top_k=2, coverage=0.9)


# --- labels by threshold


def test_label_set_of_the_saved_thresholds(noted: Any, tags: Any) -> None:
    pairs = [{"text": text, "text_pair": "the cast was fine"} for text in TEXTS]
    every = tags(pairs, top_k=None)
    assert [[one for one in each if one["score"] >= 0.5] for each in every] == tags(pairs, top_k="set")
    shares = sorted(one["score"] for each in every for one in each)
    below, above = max(pairwise(shares), key=lambda pair: pair[1] - pair[0])  # of blank texts some are all but alike
    cut = (below + above) / 2
    low, high = noted("topic", thresholds=[cut] * 3), noted("topic", thresholds=[0.0, 1.0, 1.0])
    assert close(low(pairs, top_k="set"), [[one for one in each if one["score"] >= cut] for each in every])
    assert [[one["label"] for one in each] for each in high(pairs, top_k="set")] == [["food"]] * len(pairs)
    assert close(high(pairs, top_k=None), every), "thresholds decide; probabilities stay"
    nothing = noted("topic", thresholds=[1.0] * 3)
    assert nothing(pairs[0], top_k="set") == []
    assert nothing(pairs, top_k="set") == [[]] * len(pairs)


def test_set_of_a_model_with_one_label_a_text_is_that_label(classify: Any) -> None:
    assert close(classify(TEXTS, top_k="set"), [[one] for one in classify(TEXTS)])


@pytest.mark.parametrize(
    ("task", "settings", "message"),
    [
        ("topic", {"thresholds": [0.5, 0.5]}, "2 thresholds for 3 labels"),
        ("topic", {"thresholds": ["high"] * 3}, "could not convert string to float: 'high'"),
        ("sentiment", {"thresholds": [0.5, 0.5]}, "thresholds are for label sets"),
        ("sentiment", {"conformal": {"rows": 100}}, "`conformal` is {'rows': 100}"),
        ("sentiment", {"conformal": [0.9]}, "`conformal` is [0.9]"),
    ],
)
def test_settings_that_are_not_understood(task: str, settings: Any, message: str, noted: Any, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as error:
        noted(task, **settings)
    assert str(error.value) == (
        f"{tmp_path / 'model'}: `textxfer` in its config.json is not understood, perhaps of a newer version: {message}"
    )
