"""The section `small_data` of a recipe: how a model learns from few labelled rows."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from textxfer.section import NATIVE, Section

OF_STEPS = (
    "epochs",
    "max_steps",
    "batch_size",
    "batching",
    "head_learning_rate",
    "layer_decay",
    "warmup_ratio",
    "schedule",
    "max_grad_norm",
    "label_smoothing",
    "patience",
    "evaluate_every",
)
"""Fields of `train` that are about steps in which backbone and head learn labels."""
OF_WEIGHTS = ("learning_rate", "weight_decay", "dropout")
"""Fields of `train` that are about steps of any kind: the contrastive start has some of its own."""
OF_ONE_LAYER = (NATIVE, "mean")
"""Heads that a probe leaves nothing to learn, by what is known without a checkpoint."""


def unused_fields(road: str, head: str, *, own_rate: bool = False) -> tuple[str, ...]:
    """Gives the fields of `train` that a road makes no use of.

    Args:
        road: Of `small_data`.
        head: The name of the head; one with hidden layers takes steps on the road `probe`, too.
        own_rate: Whether `small_data` gives the rate of the contrastive start.
    """
    if road == "contrastive":
        return (*OF_STEPS, "learning_rate") if own_rate else OF_STEPS
    return (*OF_STEPS, *OF_WEIGHTS) if road == "probe" and head in OF_ONE_LAYER else ()


class SmallData(Section):
    """How a model learns from few labelled rows, of one label a text; `small_data: ROAD` is short for `{road: ROAD}`.

    Where it acts and there is no validation split, none is cut off: all rows are trained on.
    """

    road: Literal["auto", "off", "probe", "fine_tune", "contrastive"] = "auto"
    """`probe`: logistic regression on the frozen backbone. `fine_tune`: the same, and then steps on the whole model.
    `contrastive`: steps in which the backbone learns to bring texts of one label together and those of two apart, as in
    SetFit (Tunstall et al. 2022), and then the probe. `auto` acts where there are 64 training rows a label or fewer on
    average; where `auto` is not written, only if the recipe says nothing of `freeze`, `lora`, `head.start` and how
    steps are taken (`train`). It chooses among the roads by cross-validation on the training rows, and takes
    `contrastive` where those are fewer than 100, which tell no road from another. Where `head.name` is not written,
    cross-validated probes choose between the heads `mean`, which textxfer loads, and `native`. `off`: few rows are
    treated like many. `probe` and `contrastive` have no use for fields of `train` that are about steps on labels
    (epochs, batches, schedule, patience and the like): one that has another value than its default is an error (the
    recipe of a run folder spells out all defaults, and may be given another road)."""
    steps: Annotated[int, Field(ge=1)] | None = None
    """Steps of the contrastive start. Default: by the number of rows."""
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    """Highest learning rate of the contrastive start. Default: `train.learning_rate`, which has no use beside it; a
    part of it where a cross-validated probe makes less than half of the errors of who always says the commonest label:
    that much is told apart already."""
