"""Whether a checkpoint has all that a model needs, or is what a head of textxfer's stood on and no more."""

from __future__ import annotations

from textxfer.errors import CheckpointError
from textxfer.modeling.anatomy import is_backbone_alone
from textxfer.modeling.checkpoint import Checkpoint


def check_whole(checkpoint: Checkpoint) -> None:
    """Makes sure that a checkpoint has all that its family's own heads stand on; no weight is loaded.

    Raises:
        CheckpointError: It has the encoder and no decoder.
    """
    if is_backbone_alone(checkpoint.config):
        raise CheckpointError(
            f"{checkpoint.id}: holds an encoder alone ({checkpoint.architecture}), as a run with the head `mean` saves "
            "it, and the heads `native` and `text2text`, and `adapt`, need the decoder, too; take a head that stands "
            "on the encoder (`head: mean`), or a checkpoint that has both"
        )
