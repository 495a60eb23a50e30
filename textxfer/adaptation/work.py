"""`Work`: an adaptation before its weights are loaded: the texts as examples, the steps, the name it is known by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from textxfer.adaptation.objective import Objective, objective_of
from textxfer.adaptation.texts import Texts
from textxfer.data.encode import encode_pieces
from textxfer.modeling.build import Built
from textxfer.modeling.checkpoint import WEIGHTS, Checkpoint
from textxfer.recipe.sections import Adapt
from textxfer.records import Encoded
from textxfer.training.checks import check_adaptation
from textxfer.training.plan import Plan

HEAD_STEPS = 200
"""Steps in which a new head learns alone, at most."""
HEAD_RATE = 1e-3
"""Their highest learning rate: nothing pretrained moves."""


@dataclass(frozen=True)
class Work:
    """An adaptation that has everything it needs but weights.

    Attributes:
        checkpoint: Opened.
        texts: Cut in two.
        settings: As in a recipe.
        objective: What is learned.
        encoded: Examples by split.
        plan: The steps.
        key: Hash of all that the result depends on.
    """

    checkpoint: Checkpoint
    texts: Texts
    settings: Adapt
    objective: Objective
    encoded: dict[str, Encoded]
    plan: Plan
    key: str


def prepare(checkpoint: Checkpoint, texts: Texts, settings: Adapt, precision: str) -> Work:
    """Does everything that needs no weights.

    Args:
        checkpoint: Opened.
        texts: To adapt to.
        settings: As in a recipe.
        precision: Of the training: the accelerator's `mixed_precision`.

    Raises:
        CheckpointError: The checkpoint is no language model.
        RecipeError: `adapt.freeze` leaves nothing to adapt.
    """
    check_adaptation(settings, checkpoint)
    objective = objective_of(checkpoint, settings.mask_rate)
    most = min(settings.max_length, checkpoint.most_tokens or settings.max_length) - objective.added
    encoded = {
        name: encode_pieces(checkpoint.tokenizer, lines, max_length=most)
        for name, lines in (("train", texts.train), ("validation", texts.held_back))
    }
    plan = Plan(
        encoded["train"].lengths,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        warmup_ratio=settings.warmup_ratio,
        max_steps=settings.steps,
        seed=settings.seed,
    )
    key = _key(checkpoint, texts, settings, precision)
    return Work(checkpoint, texts, settings, objective, encoded, plan, key)


def head_plan(work: Work) -> Plan:
    """Gives the steps in which a new head learns alone: no more than those that follow."""
    steps = min(HEAD_STEPS, work.plan.steps)
    return Plan(
        work.encoded["train"].lengths,
        epochs=-(-steps // work.plan.steps_per_epoch),
        batch_size=work.plan.batch_size,
        learning_rate=HEAD_RATE,
        max_steps=steps,
        save_every="never",
        seed=work.settings.seed,
    )


def notes(work: Work, built: Built) -> list[str]:
    """Gives what the user should know before the first step, a sentence each."""
    texts, plan = work.texts, work.plan
    tokens = len(work.encoded["train"].input_ids)
    told = [
        *texts.notes,
        f"adapts {work.checkpoint.id} ({work.objective.name}) to {len(texts.train):,} texts of {tokens:,} tokens in "
        f"{plan.steps} steps; {len(texts.held_back):,} texts are held back",
    ]
    if built.dropped is not None:
        told.append(f"the checkpoint's own head is not kept: {built.dropped}")
    if built.new:
        steps = head_plan(work).steps
        told.append(f"the checkpoint has no language-model head: a new one learns alone for {steps} steps first")
    if work.settings.freeze.layers:
        told.append("frozen layers are computed anew in each step: hidden tokens change what they see")
    return told


def _key(checkpoint: Checkpoint, texts: Texts, settings: Adapt, precision: str) -> str:
    """Gives the hash of all that an adaptation depends on: the checkpoint's files, the texts, settings, precision.

    The number of processes is not in it: it changes the numbers dropout draws, and no step's arithmetic.
    """
    said = settings.model_dump(mode="json", exclude={"texts", "text", "shared", "held_back"})
    return digest([json.dumps(said, sort_keys=True), precision, *_weights(checkpoint)], texts.train, texts.held_back)


def _weights(checkpoint: Checkpoint) -> list[str]:
    """Gives what tells a checkpoint from others: its commit, or hashes of its files."""
    names = (*WEIGHTS, "config.json", "tokenizer.json", "*.safetensors")
    folders = [Path(checkpoint.adapter)] if checkpoint.adapter is not None else []
    told = [checkpoint.location, checkpoint.revision] if checkpoint.revision is not None else []
    folders += [] if told else [Path(checkpoint.location)]
    files = sorted({file for folder in folders for name in names for file in folder.glob(name)})
    return [*told, *(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)]


def digest(*parts: Sequence[str]) -> str:
    """Gives the SHA-256 of lists of texts."""
    found = hashlib.sha256()
    for part in parts:
        found.update(json.dumps(list(part)).encode())
    return found.hexdigest()
