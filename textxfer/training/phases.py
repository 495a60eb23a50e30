"""From a recipe to the steps of a run and its phases: how long, what is frozen, at which rate.

A run whose recipe names no phases is one phase.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, takewhile
from typing import Literal

from textxfer.errors import RecipeError
from textxfer.recipe.schema import Recipe
from textxfer.records import Encoded
from textxfer.training.plan import Layers, Phase, Plan


def plan_of(recipe: Recipe, encoded: Encoded, depth: int, probed: bool) -> Plan:
    """Gives the steps of a recipe.

    Args:
        recipe: With its learning rate settled.
        encoded: The training rows as examples.
        depth: See `phases_of`.
        probed: See `phases_of`.

    Raises:
        RecipeError: Gradual unfreezing ends before it thaws a layer.
    """
    train = recipe.train
    assert train.learning_rate != "auto", "it is settled before"
    plan = Plan(
        encoded.lengths,
        batch_size=train.batch_size,
        learning_rate=train.learning_rate,
        warmup_ratio=train.warmup_ratio,
        schedule=train.schedule,
        evaluate_every=train.evaluate_every,
        save_every=train.save_every,
        log_every=train.log_every,
        batching=train.batching,
        seed=train.seed,
        evaluates_first=recipe.head.start == "probe",
    )
    return replace(plan, phases=phases_of(recipe, depth, plan.steps_per_epoch, probed))


def phases_of(recipe: Recipe, depth: int, steps_per_epoch: int, probed: bool) -> tuple[Phase, ...]:
    """Gives the phases of a recipe.

    Args:
        recipe: With `train.phases`, `freeze.thaw_every`, or neither of them.
        depth: Layers of the checkpoint.
        steps_per_epoch: Of the run.
        probed: Whether a probe on the frozen backbone is how the head starts: at the beginning, phases that train the
            head alone have no steps then.

    Raises:
        RecipeError: Gradual unfreezing ends before it thaws a layer.
    """
    train, freeze = recipe.train, recipe.freeze
    assert train.learning_rate != "auto", "it is settled before"
    if train.phases is not None:
        given = [
            Phase(
                phase.steps or (phase.epochs or 0) * steps_per_epoch,
                phase.learning_rate or train.learning_rate,
                phase.freeze.layers,
                phase.freeze.embeddings,
            )
            for phase in train.phases
        ]
        return _without_probed(given, probed)
    steps = min(train.epochs * steps_per_epoch, train.max_steps or train.epochs * steps_per_epoch)
    whole = Phase(steps, train.learning_rate, freeze.layers, freeze.embeddings)
    if probed and recipe.small_data.road == "contrastive":  # it trains the backbone in its own way
        return (replace(whole, steps=0),)
    if freeze.thaw_every is None:
        return _without_probed([whole], probed)
    return tuple(_thawing(whole, depth, freeze.thaw_every, steps_per_epoch, probed))


def told(plan: Plan) -> Iterator[str]:
    """Gives a line about each of several phases; none where there is one."""
    count = len(plan.phases)
    for number, phase in enumerate(plan.phases if count > 1 else ()):
        head, done = f"phase {number + 1} of {count}", plan.first_step(number)
        if phase.steps == 0:
            yield f"{head} takes no step: with the backbone frozen, the head's probe is the answer"
        else:
            span = f"steps {done + 1:,} to {done + phase.steps:,}"
            yield f"{head}: {span}, {phase.frozen_in_words}, rate up to {phase.learning_rate:g}"


def how_it_trains(asked: Recipe, done: Recipe, plan: Plan, where: str) -> str:
    """Gives a line about a run's steps: where they are taken, at which rate, and how much of their batches is padding.

    The rates of several phases are `told` by themselves.

    Args:
        asked: The recipe as it was given.
        done: As it is carried out.
        plan: The steps.
        where: Precision and device: "fp32 on cpu".
    """
    few, rate = done.small_data, None
    if few.road == "contrastive":
        rate, is_chosen = few.learning_rate, few.learning_rate == done.train.learning_rate  # not a part of it
        is_chosen = is_chosen and asked.small_data.learning_rate is None
    elif len(plan.phases) == 1 and plan.steps:
        given = asked.train.phases  # one, where there are any
        rate, is_chosen = plan.phases[0].learning_rate, not given or given[0].learning_rate is None
    said = f"trains in {where}"
    if rate is not None:
        auto = " (train.learning_rate: auto)" if is_chosen and asked.train.learning_rate == "auto" else ""
        said += f", at a rate up to {rate:g}{auto}"
    return f"{said}; {plan.padding:.1%} of the tokens in its batches are padding" if plan.steps else said


def freezes_of(phases: Sequence[Phase]) -> list[tuple[int | Literal["all"], bool | None]]:
    """Gives what each phase freezes, as `freeze_in_turn` takes it."""
    found: list[tuple[int | Literal["all"], bool | None]] = []
    for phase in phases:
        assert phase.layers != "auto", "it is settled before"
        found.append((phase.layers, phase.embeddings))
    return found


def _without_probed(phases: Sequence[Phase], probed: bool) -> tuple[Phase, ...]:
    """Gives the phases; those that a probe makes needless have no steps."""
    needless = list(takewhile(lambda phase: probed and phase.freezes_backbone, phases))
    return tuple(chain((replace(phase, steps=0) for phase in needless), phases[len(needless) :]))


def _thawing(whole: Phase, depth: int, every: int, steps_per_epoch: int, probed: bool) -> Iterator[Phase]:
    """Gives a phase for each number of frozen layers, downwards, while there are steps; the last one has the rest."""
    layers: list[Layers] = [whole.layers] if whole.layers == "all" else []
    layers += range(depth - 1 if whole.layers == "all" else int(whole.layers), -1, -1)
    left = whole.steps
    for number, count in enumerate(layers):
        phase = replace(whole, layers=count)
        is_needless = number == 0 and probed and phase.freezes_backbone
        steps = 0 if is_needless else left if count == 0 else min(every * steps_per_epoch, left)
        left -= steps
        if steps or is_needless:
            yield replace(phase, steps=steps)
        if left == 0 and number == 0:
            raise RecipeError(
                f"freeze.thaw_every: is {every}, but the run ends after {whole.steps / steps_per_epoch:g} epochs: no "
                "layer would ever thaw"
            )
