"""What a recipe asks for and its rows cannot give: found before the weights are loaded."""

from __future__ import annotations

from textxfer import registry
from textxfer.errors import RecipeError
from textxfer.labels import LabelSet
from textxfer.modeling.anatomy import is_causal
from textxfer.modeling.checkpoint import Checkpoint
from textxfer.recipe.schema import Recipe
from textxfer.records import Splits
from textxfer.training.plan import Plan


def check_rows(recipe: Recipe, splits: Splits, labels: LabelSet | None) -> None:
    """Stops where the recipe asks for what the rows cannot give.

    Raises:
        RecipeError: One line for each mistake.
    """
    problems = []
    if labels is not None:
        for name in recipe.evaluate.metrics or ():
            if registry.load("metrics", name).needs == "two labels" and len(labels) != 2:
                problems.append(
                    f"evaluate.metrics: `{name}` needs two labels, and there are {len(labels)}; try macro_f1"
                )
        weights = recipe.train.class_weights
        for name in weights if isinstance(weights, dict) else ():
            if name not in labels.names:
                problems.append(f"train.class_weights: {registry.unknown(name, labels.names, 'label')}")
    if splits.validation is None:
        if recipe.evaluate.select_by is not None:
            problems.append("evaluate.select_by: there is no validation split to choose the best weights on")
        if recipe.train.patience is not None:
            problems.append("train.patience: there is no validation split to watch")
    if problems:
        raise RecipeError(*problems)


def check_layers(recipe: Recipe, checkpoint: Checkpoint) -> None:
    """Stops where `freeze.layers` is more than the checkpoint has.

    Raises:
        RecipeError: It is.
    """
    depth, layers = checkpoint.config.num_hidden_layers, recipe.freeze.layers
    if isinstance(layers, int) and layers > depth:
        raise RecipeError(f"freeze.layers: is {layers}, but the checkpoint has {depth} layers (0 to {depth}, or `all`)")


def check_pooling(recipe: Recipe, checkpoint: Checkpoint) -> None:
    """Stops where a head is to look at a token that knows nothing of the text.

    Raises:
        RecipeError: It is.
    """
    if getattr(recipe.head, "pooling", None) == "cls" and is_causal(checkpoint.config):
        raise RecipeError(
            f"head.pooling: is cls, and the first token of a {checkpoint.config.model_type} model sees no other; use "
            "last, mean or max"
        )


def check_plan(recipe: Recipe, plan: Plan, splits: Splits) -> None:
    """Stops where `train.patience` is more than the run evaluates.

    Raises:
        RecipeError: It can never fire.
    """
    patience = recipe.train.patience
    if patience is not None and plan.steps == 0:
        raise RecipeError(
            "train.patience: no step is taken, since with a frozen backbone the head's probe is the answer; leave "
            "it out, or write `head.start: random`"
        )
    if patience is not None and splits.validation is not None and patience >= plan.evaluations:
        raise RecipeError(
            f"train.patience: is {patience}, but the run evaluates {plan.evaluations} times ({plan.steps} steps, every "
            f"{recipe.train.evaluate_every}): it can never fire"
        )
