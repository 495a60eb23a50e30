"""Less memory for training, for more work: activations that are computed twice instead of kept."""

from __future__ import annotations

from typing import Any

from textxfer.errors import RecipeError
from textxfer.modeling.anatomy import backbone_of


def checkpoint_activations(model: Any) -> None:
    """Makes a model's backbone forget what its trained layers computed, and compute it again when gradients need it.

    Frozen layers stay out of it: they are in eval mode, and nothing of them is kept anyway.

    Raises:
        RecipeError: Models of this family cannot do it.
    """
    model = backbone_of(model)
    if not model.supports_gradient_checkpointing:
        raise RecipeError(
            f"train.activation_checkpointing: models of the family {model.config.model_type!r} do not offer it; leave "
            "it out, and make train.micro_batch_size smaller"
        )
    # The older name, which newer versions of transformers warn of, is the only one that older versions have.
    newer = getattr(model, "activation_checkpointing_enable", None)
    (newer or model.gradient_checkpointing_enable)({"use_reentrant": False})
    # Stock models then ask for gradients of the embeddings' output, which would go through all frozen layers.
    model.disable_input_require_grads()
