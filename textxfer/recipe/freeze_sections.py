"""The sections of a recipe that say what keeps its weights: all the time, or phase by phase."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from textxfer.section import Section

Layers = Annotated[int, Field(ge=0)]
PositiveInt = Annotated[int, Field(ge=1)]


class Freeze(Section):
    """What keeps its pretrained weights."""

    layers: Layers | Literal["all", "auto"] = 0
    """Number of lowest layers that are frozen. `all`: the whole backbone (a linear probe). 0: full fine-tuning. `auto`:
    probes on each layer choose the number, from 2,000 training rows or fewer (where each text has one label)."""
    embeddings: bool | None = None
    """Whether the embeddings are frozen. Default: as soon as a layer is."""
    thaw_every: PositiveInt | None = None
    """Gradual unfreezing (Howard & Ruder 2018): after every so many epochs one more layer is trained, downwards: from
    `layers` (here `all` by default: the head alone) down to 0, or until `train.epochs` are over. The embeddings thaw
    with the lowest layer; what is frozen under `all` only, with the topmost. Each time the learning rate rises and
    falls anew. Where the head starts from a probe, `all` takes no epoch. Default: what is frozen stays so."""


class FixedFreeze(Section):
    """What keeps its weights."""

    layers: Layers | Literal["all"] = 0
    """Number of lowest layers that are frozen. `all`: the whole backbone. 0: none."""
    embeddings: bool | None = None
    """Whether the embeddings are frozen. Default: as soon as a layer is."""


class Phase(Section):
    """A part of the training with frozen layers of its own. Name either `epochs` or `steps`.

    The learning rate rises and falls anew in each phase (`train.warmup_ratio`, `train.schedule`). A weight that was
    trained before keeps AdamW's moments; one that is frozen, or frozen again, does not move.
    """

    freeze: FixedFreeze = FixedFreeze()
    """What keeps its weights in this phase."""
    epochs: PositiveInt | None = None
    """Passes over the training rows."""
    steps: PositiveInt | None = None
    """Optimizer steps, instead of `epochs`; the next phase takes up the rows where this one leaves them."""
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    """Highest learning rate; that of the head, where it has its own, and of lower layers in proportion. Default:
    `train.learning_rate`."""
