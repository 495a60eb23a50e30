"""A saved model that writes labels' words or answers, as its config.json says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from textxfer.errors import CheckpointError, RecipeError
from textxfer.labels import LabelSet
from textxfer.modeling.build import Built
from textxfer.modeling.checkpoint import Checkpoint
from textxfer.modeling.label_words import LabelWords, check_writes, words_of
from textxfer.section import TEXT2TEXT


def is_written(checkpoint: Checkpoint) -> bool:
    """Says whether a checkpoint was trained to write labels' words or answers."""
    return checkpoint.settings.get("head") == TEXT2TEXT


@dataclass(frozen=True)
class Habits:
    """What a model that writes was trained to read and write, beside the texts.

    Attributes:
        prompts: What stood before each text, and before a second text or a context; None: nothing is known of it.
        words: Those of each label; none for answers.
    """

    prompts: tuple[str, str] | None = None
    words: Mapping[str, str] = field(default_factory=dict)


def habits(checkpoint: Checkpoint, labels: LabelSet | None) -> Habits:
    """Gives what a checkpoint was trained to read and write for the same labels, or for answers; nothing for others.

    Args:
        checkpoint: Of any kind.
        labels: That are to be written; None for answers.

    Raises:
        CheckpointError: What textxfer noted is not understood.
    """
    if not is_written(checkpoint):
        return Habits()
    words, prompts = checkpoint.settings.get("words"), checkpoint.settings.get("prompts")
    if labels is None:
        return Habits(_both(checkpoint, prompts)) if words is None else Habits()
    if not isinstance(words, Mapping) or set(words) != set(labels.names):
        return Habits()
    _noted(checkpoint, labels)
    return Habits(_both(checkpoint, prompts), dict(words))


def load_written(checkpoint: Checkpoint, labels: LabelSet | None, longest: int | None = None) -> Built:
    """Loads a model that was trained to write.

    Args:
        checkpoint: See `is_written`.
        labels: In the order of their ids; None for answers.
        longest: Most tokens of an answer.

    Raises:
        CheckpointError: Its weights cannot be loaded, or its settings are not understood.
    """
    check_writes(checkpoint)
    if labels is None:
        from textxfer.modeling.answers_model import build_answers

        assert longest is not None
        return build_answers(checkpoint, longest)
    from textxfer.modeling.words_model import build_words

    words, temperature = _noted(checkpoint, labels)
    return build_words(checkpoint, labels, words, temperature=temperature)


def _noted(checkpoint: Checkpoint, labels: LabelSet) -> tuple[LabelWords, float]:
    """Gives the words of labels and the temperature that textxfer noted."""
    words, temperature = checkpoint.settings.get("words"), checkpoint.settings.get("temperature", 1.0)
    try:
        if not isinstance(words, Mapping) or set(words) != set(labels.names):
            raise ValueError("its `words` are not those of its labels")
        if not isinstance(temperature, (int, float)) or not temperature > 0:
            raise ValueError(f"its `temperature` is {temperature!r}, not a number above 0")
        return words_of(labels.names, words, checkpoint.tokenizer), float(temperature)
    except (ValueError, RecipeError) as error:
        raise _not_understood(checkpoint, error) from error


def _both(checkpoint: Checkpoint, prompts: object) -> tuple[str, str]:
    if isinstance(prompts, list) and len(prompts) == 2 and all(isinstance(prompt, str) for prompt in prompts):
        return prompts[0], prompts[1]
    raise _not_understood(checkpoint, ValueError(f"its `prompts` are {prompts!r}, not two texts"))


def _not_understood(checkpoint: Checkpoint, error: Exception) -> CheckpointError:
    reason = " ".join(str(error).split())
    return CheckpointError(
        f"{checkpoint.id}: `textxfer` in its config.json is not understood: {reason}; copy the whole model folder "
        "again, or run its recipe again"
    )
