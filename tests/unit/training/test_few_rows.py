"""Few labelled rows: which are, and what a recipe comes to on each road."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.training.helpers import prepared, rows, splits
from textxfer.errors import RecipeError
from textxfer.recipe.checks import ON_EVERY_ROAD
from textxfer.recipe.loading import load_recipe
from textxfer.recipe.sections import Train
from textxfer.recipe.small_data_section import SmallData, unused_fields
from textxfer.training.few_rows import on_road

Untouched = Callable[..., dict[str, Any]]


def test_up_to_64_rows_a_label_are_few(untouched: Untouched) -> None:
    assert prepared(untouched(), {"train": rows(128)}).rows.few
    many = prepared(untouched(), {"train": rows(130)})
    assert not many.rows.few
    assert many.recipe.small_data.road == "off"
    assert many.rows.splits.validation is not None


@pytest.mark.parametrize(
    "sections",
    [
        {"train": {"epochs": 2}},
        {"train": {"warmup_ratio": 0.2}},
        {"train": {"max_steps": 3}},
        {"freeze": {"layers": 1}},
        {"lora": {"rank": 2}},
        {"head": {"start": "probe"}},
        {"small_data": "off"},
        {"task": {"name": "topic", "multi_label": True}},
    ],
    ids=str,
)
def test_who_says_how_to_train_is_left_alone(sections: dict[str, Any], untouched: Untouched) -> None:
    recipe = load_recipe(untouched(**sections), rows_given=True)
    assert recipe.small_data.road == "off"
    asked = load_recipe(untouched(small_data="auto", train={"epochs": 2}, freeze={"layers": 1}), rows_given=True)
    obeyed = load_recipe(untouched(train={"seed": 3, "class_weights": "balanced"}), rows_given=True)
    assert {asked.small_data.road, obeyed.small_data.road} == {"auto"}


def test_no_validation_rows_are_cut_from_few(untouched: Untouched) -> None:
    given = {"train": rows(24)}
    whole = prepared(untouched(), given)
    assert (len(whole.rows.splits.train), whole.rows.splits.validation) == (24, None)
    assert whole.recipe.dataset.validation_fraction == 0
    assert any("none is cut from so few rows" in note for note in whole.rows.notes)
    for asked in (
        {"dataset": {"validation_fraction": 0.25}},
        {"evaluate": {"select_by": "accuracy"}},
        {"small_data": "off"},
    ):
        cut = prepared(untouched(**asked), given).rows.splits
        assert cut.validation is not None
        assert len(cut.validation) == (6 if "dataset" in asked else 2)
    assert len(prepared(untouched(), splits()).rows.splits.validation or ()) == 7


@pytest.mark.parametrize(("count", "steps"), [(2, 10), (16, 10), (100, 63), (256, 160), (257, 160), (4928, 160)])
def test_rows_set_the_steps_of_a_contrastive_start(count: int, steps: int, untouched: Untouched) -> None:
    recipe = load_recipe(untouched(small_data="contrastive", train={"learning_rate": 1e-4}), rows_given=True)
    assert on_road(recipe, "contrastive", "mean", count).small_data.steps == steps
    many = {"road": "contrastive", "steps": 400, "learning_rate": 1e-4}
    asked = load_recipe(untouched(small_data=many), rows_given=True)
    assert on_road(asked, "contrastive", "mean", count).small_data.steps == 400


@pytest.mark.parametrize(
    ("lacking", "rate"),
    [(1.0, 1.037e-4), (0.5, 1.037e-4), (0.31, 6.4e-5), (1 / 3, 6.9e-5), (0.1, 2.6e-5), (0.0, 2.6e-5)],
)
def test_a_backbone_that_tells_labels_apart_is_moved_less(lacking: float, rate: float, untouched: Untouched) -> None:
    recipe = load_recipe(untouched(small_data="contrastive", train={"learning_rate": 1.037e-4}), rows_given=True)
    assert on_road(recipe, "contrastive", "mean", 20, lacking).small_data.learning_rate == rate
    own = {"road": "contrastive", "learning_rate": 3e-5}
    asked = load_recipe(untouched(small_data=own), rows_given=True)
    assert on_road(asked, "contrastive", "mean", 20, lacking).small_data.learning_rate == 3e-5


def test_a_contrastive_start_is_followed_by_a_head_that_looks_at_directions(untouched: Untouched) -> None:
    open_ = load_recipe(untouched(small_data="auto", train={"learning_rate": 1e-4}), rows_given=True)
    assert on_road(open_, "contrastive", "mean", 20).head.model_dump()["normalize"]
    assert not on_road(open_, "probe", "mean", 20).head.model_dump()["normalize"]
    assert "normalize" not in on_road(open_, "contrastive", "native", 20).head.model_dump()
    head = {"name": "mean", "normalize": False}
    asked = load_recipe(untouched(head=head, small_data="auto", train={"learning_rate": 1e-4}), rows_given=True)
    assert not on_road(asked, "contrastive", "mean", 20).head.model_dump()["normalize"]


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"small_data": "sideways"}, "small_data.road: must be `auto`, `off`, `probe`, `fine_tune`, `contrastive`"),
        ({"small_data": {"road": "probe", "steps": 9}}, "steps: is of the road `contrastive`, and `road` is `probe`"),
        ({"small_data": {"learning_rate": 1e-4}}, "learning_rate: is of the road `contrastive`, and `road` is `auto`"),
        ({"small_data": {"road": "contrastive", "steps": 0}}, "small_data.steps: must be at least 1"),
        ({"small_data": "probe", "freeze": {"layers": 1}}, "freeze.layers: is 1, but on the road `probe` all layers"),
        ({"small_data": "contrastive", "freeze": {"layers": "all"}}, "nothing is left that the contrastive start"),
        ({"small_data": "contrastive", "lora": {}}, "lora: goes with the road `fine_tune`, not with `contrastive`"),
        ({"small_data": "fine_tune", "head": {"start": "random"}}, "the road `fine_tune` fits the head as a probe"),
        ({"small_data": "probe", "task": {"name": "topic", "multi_label": True}}, "this task gives label sets"),
        (
            {"small_data": "probe", "train": {"epochs": 5}},
            "train.epochs: the road `probe` takes no steps on labels",
        ),
        ({"small_data": "probe", "train": {"learning_rate": 1e-3}}, "train.learning_rate: the road `probe` takes no"),
        ({"small_data": "contrastive", "train": {"patience": 2}}, "train.patience: the road `contrastive` takes no st"),
        (
            {"small_data": {"road": "contrastive", "learning_rate": 1e-3}, "train": {"learning_rate": 1e-2}},
            "train.learning_rate: `small_data.learning_rate` stands in for it; keep one of them",
        ),
        ({"small_data": "auto", "task": "question_answering"}, "this task gives answers"),
        ({"small_data": "auto", "freeze": {"layers": "auto"}}, "freeze.layers: cannot be `auto` while roads are"),
    ],
    ids=str,
)
def test_mistakes_of_the_section(sections: dict[str, Any], message: str, untouched: Untouched) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(untouched(**sections), rows_given=True)
    assert message in str(caught.value)


def test_all_fields_that_a_road_does_not_use_are_named_at_once(untouched: Untouched) -> None:
    train = {"epochs": 5, "batch_size": 4, "schedule": "constant", "weight_decay": 0.1, "class_weights": "balanced"}
    for road, weights_too in (("probe", True), ("contrastive", False)):
        with pytest.raises(RecipeError) as caught:
            load_recipe(untouched(small_data=road, train=train), rows_given=True)
        told = {line.partition("train.")[2].partition(":")[0] for line in caught.value.lines}
        assert told == {"epochs", "batch_size", "schedule"} | ({"weight_decay"} if weights_too else set())
    load_recipe(untouched(small_data="fine_tune", train=train), rows_given=True)
    hidden = {"name": "mlp", "hidden": [8]}  # it goes on learning after the probe
    load_recipe(untouched(small_data="probe", head=hidden, train=train), rows_given=True)


def test_defaults_that_are_spelled_out_are_no_mistake_on_any_road(untouched: Untouched) -> None:
    """As in the recipe of a run folder, which may be given another road; the reference says so."""
    defaults = {name: getattr(Train(), name) for name in unused_fields("probe", "native")}
    for road in ("probe", "contrastive"):
        load_recipe(untouched(small_data=road, train=defaults), rows_given=True)
        with pytest.raises(RecipeError, match=r"train\.epochs: the road"):
            load_recipe(untouched(small_data=road, train=defaults | {"epochs": 5}), rows_given=True)
    assert "one that has another value than its default is an error" in " ".join(
        str(SmallData.model_fields["road"].description).split()
    )


def test_every_field_of_training_is_of_some_road() -> None:
    """One that is new must be said to be used on every road, or not."""
    of_contrast = {"learning_rate", "weight_decay", "dropout", "phases"}
    unused = set(unused_fields("contrastive", "native"))
    assert unused | of_contrast | ON_EVERY_ROAD == set(Train.model_fields)
    assert not unused & ON_EVERY_ROAD
    assert set(unused_fields("probe", "native")) == unused | of_contrast - {"phases"}


@pytest.mark.parametrize("layers", [2, "all"])
def test_a_contrastive_start_needs_a_layer_that_is_trained(layers: Any, untouched: Untouched) -> None:
    for road in ("contrastive", "auto") if layers == 2 else ("auto",):
        with pytest.raises(RecipeError, match=f"freeze.layers: is {layers}, and nothing is left"):
            prepared(untouched(small_data=road, freeze={"layers": layers}), splits())
    assert prepared(untouched(small_data="auto", freeze={"layers": 1}), splits()).recipe.small_data.road == "auto"
    many = splits(130)
    assert prepared(untouched(small_data="auto", freeze={"layers": layers}), many).recipe.small_data.road == "off"
