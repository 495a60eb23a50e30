"""What a run of a model that writes (head `text2text`) does in its own way: what is built, computed and made small."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from textxfer.labels import LabelSet
from textxfer.modeling.build import Built
from textxfer.modeling.checkpoint import Checkpoint
from textxfer.modeling.label_words import LabelWords, words_of
from textxfer.recipe.schema import Recipe
from textxfer.section import TEXT2TEXT
from textxfer.tasks import Task

if TYPE_CHECKING:
    import torch


def is_written(recipe: Recipe) -> bool:
    """Says whether a recipe has a model write."""
    return recipe.head.name == TEXT2TEXT


def with_words(recipe: Recipe, checkpoint: Checkpoint, labels: LabelSet | None) -> Recipe:
    """Gives the recipe with the words of every label, where a model writes them.

    Raises:
        RecipeError: Words do not tell labels apart; one line for each mistake.
    """
    if not is_written(recipe) or labels is None:
        return recipe
    words = dict(zip(labels.names, _words(recipe, checkpoint, labels).texts, strict=True))
    return recipe.model_copy(update={"head": recipe.head.model_copy(update={"words": words})})


def build_writing(recipe: Recipe, checkpoint: Checkpoint, labels: LabelSet | None, task: Task) -> Built:
    """Loads a checkpoint's weights as a model that writes labels' words, or answers.

    Raises:
        CheckpointError: The weights cannot be loaded.
    """
    options: dict[str, Any] = {"dropout": recipe.train.dropout, "seed": recipe.train.seed}
    if labels is None:
        from textxfer.modeling.answers_model import build_answers

        longest: int = task.max_answer_length  # type: ignore[attr-defined]
        return build_answers(checkpoint, longest, **options)
    from textxfer.modeling.words_model import build_words

    return build_words(checkpoint, labels, _words(recipe, checkpoint, labels), **options)


def teaches(recipe: Recipe, labels: LabelSet | None) -> bool:
    """Says whether training computes the right label's words only; smoothing asks for those of all labels."""
    return is_written(recipe) and labels is not None and recipe.train.label_smoothing == 0


def loss_of(recipe: Recipe, task: Task) -> Callable[..., torch.Tensor]:
    """Gives what training makes small: the task's own loss, or that of the labels' words."""
    if not is_written(recipe) or task.predicts == "answers":
        return task.loss
    from textxfer.modeling.words_model import words_loss

    return words_loss


def _words(recipe: Recipe, checkpoint: Checkpoint, labels: LabelSet) -> LabelWords:
    head: Any = recipe.head
    return words_of(labels.names, head.words, checkpoint.tokenizer)
