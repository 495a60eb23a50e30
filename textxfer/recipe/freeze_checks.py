"""What can be wrong with what a recipe freezes: all the time, phase by phase, and beside LoRA."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from textxfer.recipe.freeze_sections import FixedFreeze, Freeze, Phase
from textxfer.recipe.problems import Problem
from textxfer.recipe.schema import Recipe


def freeze_problems(recipe: Recipe) -> Iterator[Problem]:
    """Gives what about `freeze`, `train.phases` and `lora` can never work, data and weights unseen."""
    yield from _lora(recipe)
    yield from _phases(recipe)
    yield from _thawing(recipe)


def _lora(recipe: Recipe) -> Iterator[Problem]:
    if recipe.lora is None:
        return
    freezes: dict[tuple[str, ...], Freeze | FixedFreeze] = {("freeze",): recipe.freeze}
    if recipe.train.phases is not None:
        freezes = {(*_of_phase(place), "freeze"): phase.freeze for place, phase in enumerate(recipe.train.phases)}
    for path, freeze in freezes.items():
        if freeze.embeddings is False:
            yield Problem((*path, "embeddings"), "with `lora` the embeddings keep their weights; leave it out")
    if recipe.freeze.thaw_every is None and all(freeze.layers == "all" for freeze in freezes.values()):
        where = "`freeze.layers` is `all`" if recipe.train.phases is None else "all layers are frozen in every phase"
        yield Problem(("lora",), f"updates layers that are not frozen, and {where}; drop one of them")


def _phases(recipe: Recipe) -> Iterator[Problem]:
    """Finds what `train.phases` cannot stand beside, and phases that say too little, too much, or nothing new."""
    train, phases = recipe.train, recipe.train.phases
    if phases is None:
        return
    for key in ("epochs", "max_steps"):
        if key in train.model_fields_set and getattr(train, key) is not None:
            yield Problem(("train", key), "`train.phases` says how long the run is; leave it out, or the phases")
    if recipe.freeze.model_fields_set:
        yield Problem(("freeze",), "`train.phases` says what is frozen, and when; leave it out, or the phases")
    for place, phase in enumerate(phases):
        if phase.epochs is None and phase.steps is None:
            yield Problem(_of_phase(place), "does not say how long it is: give `epochs` or `steps`")
        if phase.epochs is not None and phase.steps is not None:
            yield Problem(_of_phase(place), "says both `epochs` and `steps`; keep one of them")
        if place and _is_as(phases[place - 1], phase, train.learning_rate):
            message = "has the frozen layers and the learning rate of the phase before; make that one longer"
            yield Problem(_of_phase(place), message)


def _of_phase(place: int) -> tuple[str, ...]:
    return "train", "phases", f"[{place}]"


def _is_as(one: Phase, other: Phase, usual_rate: float | Literal["auto"]) -> bool:
    def effect(phase: Phase) -> tuple[Any, ...]:
        layers, embeddings = phase.freeze.layers, phase.freeze.embeddings
        return layers, layers != 0 if embeddings is None else embeddings, phase.learning_rate or usual_rate

    return effect(one) == effect(other)


def _thawing(recipe: Recipe) -> Iterator[Problem]:
    """Finds gradual unfreezing that has nothing to thaw, or does not know where it begins."""
    freeze = recipe.freeze
    if freeze.thaw_every is None or "layers" not in freeze.model_fields_set:
        return
    if freeze.layers == 0:
        yield Problem(("freeze", "layers"), "is 0, so that `thaw_every` has no layer to thaw; give a number or `all`")
    if freeze.layers == "auto":
        yield Problem(("freeze", "layers"), "with `thaw_every`, say where it begins: give a number or `all`")
