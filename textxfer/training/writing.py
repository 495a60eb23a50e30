"""What a run of a model that writes (head `text2text`) does in its own way: what is built, computed and made small."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from textxfer.labels import LabelSet
from textxfer.modeling.build import Built
from textxfer.modeling.checkpoint import Checkpoint
from textxfer.modeling.label_words import LabelWords, usual_words, words_of
from textxfer.modeling.written import habits
from textxfer.recipe.schema import Recipe
from textxfer.section import TEXT2TEXT
from textxfer.tasks import Task
from textxfer.training.rows import Rows

if TYPE_CHECKING:
    import torch

PROMPTS = ("prompt", "prompt_pair")
"""Fields of the head `text2text`, in the order in which tasks hold them."""


def is_written(recipe: Recipe) -> bool:
    """Says whether a recipe has a model write."""
    return recipe.head.name == TEXT2TEXT


def with_prompts(recipe: Recipe, checkpoint: Checkpoint, rows: Rows) -> tuple[Recipe, Rows]:
    """Gives recipe and rows with all that stands before texts, where a model writes.

    That is what the recipe says; else, as with words, what a checkpoint was trained on that writes the same labels, or
    answers; else the task's own. What of the checkpoint's is kept is among the notes.
    """
    if not is_written(recipe):
        return recipe, rows
    head: Any = recipe.head
    known, labels = habits(checkpoint, rows.labels), rows.labels
    usual: Any = rows.task.to_be_written(head.prompt, head.prompt_pair)
    before, between = known.prompts or (None, None)
    task: Any = rows.task.to_be_written(
        before if head.prompt is None else head.prompt, between if head.prompt_pair is None else head.prompt_pair
    )
    kept = [
        f"{name} {prompt!r}"
        for name, prompt, own in zip(PROMPTS, task.prompts, usual.prompts, strict=True)
        if prompt != own
    ]
    for name in labels.names if labels is not None else ():
        if name in known.words and name not in head.words and known.words[name] != usual_words(name):
            kept.append(f"{name}: {known.words[name]}")
    notes = (f"as the checkpoint was trained, where the recipe does not say: {', '.join(kept)}",) if kept else ()
    told = dict(zip(PROMPTS, task.prompts, strict=True))
    recipe = recipe.model_copy(update={"head": head.model_copy(update=told)})
    return recipe, replace(rows, task=task, notes=(*rows.notes, *notes))


def with_words(recipe: Recipe, checkpoint: Checkpoint, labels: LabelSet | None) -> Recipe:
    """Gives the recipe with the words of every label, where a model writes them; see `with_prompts`.

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
    words = {**habits(checkpoint, labels).words, **head.words}
    return words_of(labels.names, words, checkpoint.tokenizer)
