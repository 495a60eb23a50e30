"""When a run has few labelled rows, and what its recipe comes to on each road of `small_data`."""

from __future__ import annotations

from typing import Any

from textxfer import registry
from textxfer.errors import RecipeError
from textxfer.labels import LabelSet
from textxfer.recipe.schema import Recipe
from textxfer.tasks import Task

MOST_ROWS_A_LABEL = 64
ROADS = ("probe", "contrastive", "fine_tune")
"""The cheapest first."""
HEADS = ("mean", "native")
"""That are chosen from. Without many steps, the mean of a text's tokens nearly always tells more than one token."""
TEXTS = 8
"""Of a group of the contrastive start, or fewer where they do not go into the labels."""
GROUPS = 4
"""Of a step of it."""
VIEWS = 20
"""Times that a text is looked at in it: 16 texts of two labels lose what they gained where it is twice as often."""
LEAST_STEPS, MOST_STEPS = 10, 160
"""Of the contrastive start. Its loss is flat from about the 160th on, and to compare roads takes it several times."""
MUCH_LACKING = 0.5
"""What a probe lacks, from which on the contrastive start has the whole rate; below, a share of it in proportion. Where
a backbone tells labels apart already, it loses more by going far than it gains."""
LEAST_SHARE = 0.25
"""Of the rate: so few rows do not tell few errors from none."""
STEPS_OF_TUNING = 60
"""Of fine-tuning, at least; and three epochs."""


def are_few(recipe: Recipe, task: Task, labels: LabelSet | None) -> bool:
    """Says whether rows are so few that a recipe treats them unlike many.

    Args:
        recipe: Complete.
        task: Its task.
        labels: With the rows of each, before splits are cut from them.
    """
    if labels is None or task.predicts != "labels" or recipe.small_data.road == "off":
        return False
    return sum(labels.counts) <= MOST_ROWS_A_LABEL * len(labels)


def keeps_rows(recipe: Recipe) -> bool:
    """Says whether no validation rows are cut from few ones: nothing in the recipe asks for any."""
    asked = (
        "validation_fraction" in recipe.dataset.model_fields_set or recipe.evaluate.select_by or recipe.train.patience
    )
    return not asked


def is_open(recipe: Recipe) -> bool:
    """Says whether the rows choose the road, or the head or the rate on a road that the recipe names."""
    road = recipe.small_data.road
    rate_is_open = road == "contrastive" and recipe.small_data.learning_rate is None
    return road == "auto" or rate_is_open or (road in ROADS and len(heads(recipe)) > 1)


def roads(recipe: Recipe) -> tuple[str, ...]:
    """Gives the roads that there are to choose from, the cheapest first."""
    return ROADS if recipe.small_data.road == "auto" else (recipe.small_data.road,)


def heads(recipe: Recipe) -> tuple[str, ...]:
    """Gives the heads that there are to choose from: two, where the recipe names none and keeps no adapter for peft."""
    keeps_adapter = recipe.lora is not None and not recipe.lora.merge  # which goes with the native head only
    return (recipe.head.name,) if keeps_adapter or "name" in recipe.head.model_fields_set else HEADS


def settled(recipe: Recipe, *, few: bool, kept: bool, rows: int, fits: bool = True) -> Recipe:
    """Gives the recipe with all that can be settled before the rows are looked at; what `is_open` stays so.

    Args:
        recipe: Complete.
        few: Whether its rows are few.
        kept: Whether the checkpoint has a head for these labels already.
        rows: Of train.
        fits: Whether the head ends in a linear layer, which a probe can stand in for.

    Raises:
        RecipeError: It names a road, which begins with a new head, and the checkpoint's is kept, or with a probe, for
            which the head has no place.
    """
    road = recipe.small_data.road
    if road == "auto" and (kept or not few or not fits):
        return _with(recipe, small_data={"road": "off"})
    if road in ROADS and not fits:
        raise RecipeError(
            f"small_data: the road `{road}` begins with a probe, and the head `{recipe.head.name}` does not end in a "
            "linear layer; leave `small_data` out, or take another head"
        )
    if road in ROADS and kept:
        raise RecipeError(
            f"small_data: the checkpoint's head knows these labels and is kept, and the road `{road}` begins with a "
            "new one; leave `small_data` out"
        )
    return recipe if is_open(recipe) or road == "off" else on_road(recipe, road, recipe.head.name, rows)


def on_road(recipe: Recipe, road: str, head: str, rows: int, lacking: float = 1.0) -> Recipe:
    """Gives the recipe as it is carried out on a road; what it says itself stays.

    Args:
        recipe: Complete.
        road: One of `ROADS`.
        head: Its name.
        rows: Of train.
        lacking: Errors of a cross-validated probe by those of who always says the commonest label, 0 to 1.
    """
    few = recipe.small_data.model_copy(update={"road": road})
    made: Any = recipe.head if head == recipe.head.name else registry.config("heads", head)()
    update: dict[str, Any] = {"name": head, "start": "probe"}
    left_open = "normalize" in type(made).model_fields and "normalize" not in made.model_fields_set
    if road == "contrastive" and left_open:
        update["normalize"] = True
    recipe = recipe.model_copy(update={"head": made.model_copy(update=update)})
    if road == "probe":
        recipe = recipe.model_copy(update={"lora": None})  # a probe that only chooses the head of another road
        return _with(recipe, small_data={"road": road}, freeze={"layers": "all"}, train={"layer_decay": 1.0})
    if road == "contrastive":
        steps = few.steps or min(max(-(-rows * VIEWS // (GROUPS * TEXTS)), LEAST_STEPS), MOST_STEPS)
        rate = few.learning_rate or _part_of_rate(recipe, lacking)
        return _with(recipe, small_data={"road": road, "steps": steps, "learning_rate": rate})
    train: dict[str, Any] = {}
    if "epochs" not in recipe.train.model_fields_set:
        steps_per_epoch = -(-rows // recipe.train.batch_size)
        train = {"epochs": max(recipe.train.epochs, -(-STEPS_OF_TUNING // steps_per_epoch))}
    return _with(recipe, small_data={"road": road}, train=train)


def _part_of_rate(recipe: Recipe, lacking: float) -> float:
    rate, share = recipe.train.learning_rate, share_of_rate(lacking)
    assert rate != "auto", "it is settled before"
    return rate if share == 1 else float(f"{rate * share:.2g}")


def share_of_rate(lacking: float) -> float:
    """Gives what the contrastive start takes of the rate where a probe lacks so much (see `on_road`)."""
    return min(max(lacking / MUCH_LACKING, LEAST_SHARE), 1.0)


def _with(recipe: Recipe, **changes: dict[str, Any]) -> Recipe:
    sections = {name: getattr(recipe, name).model_copy(update=fields) for name, fields in changes.items()}
    return recipe.model_copy(update=sections)
