"""`Section`: the base of every section of a recipe; `HeadSection`: that of the section of every head."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

NATIVE = "native"
"""The head that a checkpoint brings or transformers puts on it: what a recipe has that names none."""
TEXT2TEXT = "text2text"
"""The head by which a model writes its answers."""


class Section(BaseModel):
    """A frozen part of a recipe that refuses unknown keys and never converts types silently.

    A whole number is taken where a fraction is asked for; every other mismatch is an error.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )


class HeadSection(Section):
    """What stands on the backbone, and how it starts; the base of the section of every head."""

    name: str = NATIVE
    """The head."""
    start: Literal["probe", "random"] | None = None
    """How a new head starts. `probe`: its last linear layer is fitted to what it sees of the training rows before the
    first step (logistic regression), and the model as it then is may be chosen as the best. With `freeze.layers: all`
    nothing is left to train after that, but for a head with hidden layers. `random`: small random weights. Default:
    `probe`; `random` for question answering. A checkpoint's own head that is kept is not fitted anew."""
