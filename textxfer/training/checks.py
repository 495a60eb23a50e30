"""What a recipe asks for and its rows cannot give: found before the weights are loaded."""

from __future__ import annotations

from textxfer import registry
from textxfer.errors import RecipeError, all_at_once
from textxfer.heads import HeadChoice
from textxfer.labels import LabelSet
from textxfer.modeling.anatomy import is_causal
from textxfer.modeling.checkpoint import Checkpoint
from textxfer.modeling.whole import check_whole
from textxfer.recipe.checks import metric_problem, task_of
from textxfer.recipe.schema import Recipe
from textxfer.recipe.sections import Adapt
from textxfer.records import Splits
from textxfer.tasks import Task
from textxfer.training.plan import Plan


def check_rows(recipe: Recipe, splits: Splits, labels: LabelSet | None) -> None:
    """Stops where the recipe asks for what the rows cannot give.

    Raises:
        RecipeError: One line for each mistake.
    """
    problems = []
    if labels is not None:
        task = task_of(recipe)
        for name in recipe.evaluate.metrics or ():
            if message := metric_problem(name, task, len(labels)):
                problems.append(f"evaluate.metrics: {message}")
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


def check_checkpoint(
    recipe: Recipe, checkpoint: Checkpoint, task: Task, labels: LabelSet | None, head: HeadChoice | None
) -> None:
    """Stops where the recipe asks for what a checkpoint's network has not; no weight is loaded.

    Where `freeze.layers` is `auto`, what can be told before the layers are chosen is told.

    Args:
        recipe: Whose `adapt`, `freeze` and `lora` are looked at.
        checkpoint: Opened.
        task: Whose head the network gets.
        labels: None for answers.
        head: Of textxfer's; None: the native one.

    Raises:
        CheckpointError: Its family has no such head, or nothing to adapt it by.
        RecipeError: There are fewer layers, no such modules, or nothing is left to train.
    """
    adapt = recipe.adapt
    all_at_once(
        lambda: _check_layers(recipe, checkpoint),
        lambda: check_adaptation(adapt, checkpoint) if adapt is not None else None,
        lambda: check_whole(checkpoint) if head is None else None,
        lambda: _check_trained(recipe, checkpoint, task, labels, head),
        lambda: _check_adapter(recipe, checkpoint, head) if checkpoint.adapter is not None else None,
    )


def _check_adapter(recipe: Recipe, checkpoint: Checkpoint, head: HeadChoice | None) -> None:
    """Stops where a LoRA adapter cannot become what the recipe asks for."""
    problems = []
    if head is not None:
        problems.append(f"head: is {head.name}, and the checkpoint is a LoRA adapter of a model with the native one")
    if recipe.lora is not None and not recipe.lora.merge:
        problems.append("lora.merge: is false, and an adapter cannot hold the updates of one that it begins with")
    if problems:
        instead = "name the run's merged `model` as the checkpoint"
        raise RecipeError(*(f"{problem}; {instead} ({checkpoint.id})" for problem in problems))


def _check_trained(
    recipe: Recipe, checkpoint: Checkpoint, task: Task, labels: LabelSet | None, head: HeadChoice | None
) -> None:
    """Stops where nothing is left to train, or the modules to update are not there; see `check_checkpoint`."""
    from textxfer.modeling.build import skeleton
    from textxfer.modeling.freezing import fewest_layers, freeze_in_turn
    from textxfer.modeling.lora import modules_to_update

    model, depth = skeleton(checkpoint, task.auto_class, labels, head), checkpoint.config.num_hidden_layers
    freezes = [(phase.freeze.layers, phase.freeze.embeddings) for phase in recipe.train.phases or ()]
    if not freezes:
        freezes = [(0 if recipe.freeze.layers == "auto" else recipe.freeze.layers, recipe.freeze.embeddings)]
    # More layers than there are is a mistake of its own.
    freezes = [(0 if layers != "all" and layers > depth else layers, embeddings) for layers, embeddings in freezes]
    frozen = freeze_in_turn(model, freezes)
    if recipe.lora is not None:
        thaws = recipe.freeze.thaw_every is not None
        modules_to_update(model, recipe.lora.targets, 0 if thaws else fewest_layers(freezes))
        return
    names = [f"train.phases[{place}].freeze" for place in range(len(recipe.train.phases or ()))] or ["freeze"]
    idle = [name for name, each in zip(names, frozen, strict=True) if each.trainable == 0]
    if idle:
        raise RecipeError(*(f"{name}: nothing is left to train" for name in idle))


def _check_layers(recipe: Recipe, checkpoint: Checkpoint) -> None:
    """Stops where more layers are to be frozen than the checkpoint has; one line for each phase that wants it."""
    asked = {"freeze.layers": recipe.freeze.layers}
    for place, phase in enumerate(recipe.train.phases or ()):
        asked[f"train.phases[{place}].freeze.layers"] = phase.freeze.layers
    depth = checkpoint.config.num_hidden_layers
    problems = [
        f"{field}: is {layers}, but the checkpoint has {depth} layers (0 to {depth}, or `all`)"
        for field, layers in asked.items()
        if isinstance(layers, int) and layers > depth
    ]
    if problems:
        raise RecipeError(*problems)


def check_contrast(recipe: Recipe, checkpoint: Checkpoint, few: bool) -> None:
    """Stops where a contrastive start, which trains the backbone, may be taken and all of its layers are frozen.

    Args:
        recipe: Complete.
        checkpoint: Opened.
        few: Whether its rows are few, so that `small_data: auto` compares roads.

    Raises:
        RecipeError: They are.
    """
    road, layers = recipe.small_data.road, recipe.freeze.layers
    whole = layers == "all" or (layers != "auto" and layers >= checkpoint.config.num_hidden_layers)
    if whole and (road == "contrastive" or (road == "auto" and few)):
        raise RecipeError(
            f"freeze.layers: is {layers}, and nothing is left that the contrastive start of `small_data: {road}` could "
            "train; freeze fewer, or take the road `probe`"
        )


def check_adaptation(settings: Adapt, checkpoint: Checkpoint) -> None:
    """Stops where a checkpoint cannot be adapted as a recipe's `adapt` says; no weight is loaded.

    Raises:
        CheckpointError: It is no language model, or not the whole of one.
        RecipeError: `adapt.freeze` leaves nothing to adapt.
    """
    from textxfer.modeling.language_model import check_language_model

    all_at_once(
        lambda: check_whole(checkpoint),
        lambda: check_language_model(checkpoint),
        lambda: _check_adapted_layers(settings, checkpoint),
    )


def _check_adapted_layers(settings: Adapt, checkpoint: Checkpoint) -> None:
    depth, layers = checkpoint.config.num_hidden_layers, settings.freeze.layers
    most = depth if checkpoint.config.is_encoder_decoder else depth - 1  # a decoder is adapted all the same
    if layers == "all" or layers > most:
        raise RecipeError(f"adapt.freeze.layers: is {layers}, of {depth} layers; nothing would be adapted")


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
