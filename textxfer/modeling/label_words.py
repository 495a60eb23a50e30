"""Labels as words that a model writes: which words stand for which label, and the tokens they are made of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from textxfer import registry
from textxfer.errors import CheckpointError, RecipeError
from textxfer.modeling.anatomy import FAMILIES, writes
from textxfer.modeling.checkpoint import Checkpoint


@dataclass(frozen=True)
class LabelWords:
    """The words of all labels, in the order of label ids.

    Attributes:
        texts: As they are to be written.
        tokens: Their token ids, the end token last; no two labels have the same.
    """

    texts: tuple[str, ...]
    tokens: tuple[tuple[int, ...], ...]


def usual_words(label: str) -> str:
    """Gives what a label is called where nobody says otherwise: its name, with spaces for underscores."""
    return label.replace("_", " ")


def words_of(labels: Sequence[str], words: Mapping[str, str], tokenizer: Any) -> LabelWords:
    """Gives the words that stand for labels.

    Args:
        labels: Names in the order of their ids.
        words: Those of some labels; the others have their `usual_words`.
        tokenizer: As `modeling.checkpoint` makes it ready.

    Raises:
        RecipeError: Words are those of no label, those of two, or none that the tokenizer knows; one line each.
    """
    problems = [registry.unknown(name, labels, "label") for name in words if name not in labels]
    texts = tuple(words.get(name, usual_words(name)) for name in labels)
    found = [tuple(ids) for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]]
    for name, text, ids in zip(labels, texts, found, strict=True):
        if reason := _unfit(tokenizer, ids):
            problems.append(f"the words of `{name}`, {text!r}, {reason}; give it others, as in `{name}: some words`")
    alike = defaultdict(list)
    for name, ids in zip(labels, found, strict=True):
        alike[ids].append(name)
    for names in alike.values():
        if len(names) > 1:
            listed, text = ", ".join(f"`{name}`" for name in names), texts[list(labels).index(names[0])]
            problems.append(f"{listed} have the same words ({text!r}, as the tokenizer reads them); tell them apart")
    if problems:
        raise RecipeError(*(f"head.words: {problem}" for problem in problems))
    return LabelWords(texts, tuple((*ids, tokenizer.eos_token_id) for ids in found))


def _unfit(tokenizer: Any, ids: Sequence[int]) -> str | None:
    """Says why tokens cannot stand for a label, if so."""
    if not ids:
        return "make no token"
    special = [number for number in ids if number in tokenizer.all_special_ids and number != tokenizer.unk_token_id]
    if special:
        return f"hold the token {tokenizer.convert_ids_to_tokens(special[0])}, which has a meaning of its own"
    if not tokenizer.decode(list(ids), skip_special_tokens=True).strip():
        return "are unknown to the checkpoint's tokenizer"
    return None


def check_writes(checkpoint: Checkpoint) -> None:
    """Makes sure that models of a checkpoint's family write texts.

    Raises:
        CheckpointError: They do not.
    """
    from transformers import AutoConfig

    if writes(checkpoint.config):
        return
    able = ", ".join(kind for kind in FAMILIES if writes(AutoConfig.for_model(kind)))
    raise CheckpointError(
        f"{checkpoint.id}: models of the family {checkpoint.config.model_type!r} do not write texts, and the head "
        f"text2text has its labels written; take a checkpoint of the family {able}, or another head"
    )
