"""A saved model that writes labels' words or answers, as its config.json says."""

from __future__ import annotations

from collections.abc import Mapping

from textxfer.errors import CheckpointError, RecipeError
from textxfer.labels import LabelSet
from textxfer.modeling.build import Built
from textxfer.modeling.checkpoint import Checkpoint
from textxfer.modeling.label_words import LabelWords, check_writes, words_of
from textxfer.section import TEXT2TEXT


def is_written(checkpoint: Checkpoint) -> bool:
    """Says whether a checkpoint was trained to write labels' words or answers."""
    return checkpoint.settings.get("head") == TEXT2TEXT


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
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"{checkpoint.id}: `textxfer` in its config.json is not understood: {reason}; copy the whole model folder "
            "again, or run its recipe again"
        ) from error
