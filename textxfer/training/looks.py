"""What a checkpoint makes of some training rows, before it is trained: what ranks checkpoints and chooses a depth."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from textxfer.errors import CheckpointError, DataError
from textxfer.evaluation.features import features
from textxfer.evaluation.probing import MOST_ROWS, check_labels, stratified_sample
from textxfer.heads import HeadChoice
from textxfer.modeling.anatomy import is_backbone_alone
from textxfer.modeling.build import build
from textxfer.modeling.checkpoint import Checkpoint
from textxfer.training.rows import Rows

if TYPE_CHECKING:
    import datasets
    import numpy as np
    import torch
    from accelerate import Accelerator

    from textxfer.modeling.features import Pooling

Tell = Callable[[float], None]
"""Called often with the share that is done, 0 to 1; may raise to stop."""


@dataclass(frozen=True)
class Sample:
    """Training rows to look at, each label with its share of them.

    Attributes:
        rows: N rows of train.
        labels: Their label ids (N,).
        of: Rows of train that were there.
    """

    rows: datasets.Dataset
    labels: np.ndarray
    of: int


@dataclass(frozen=True)
class Look:
    """What a checkpoint makes of a sample.

    Attributes:
        vectors: Of each row (N, D), or of each row and layer (N, layers + 1, D), 0 being the embeddings.
        parameters: Of the whole model, a new head's too.
        seconds: From the texts to the vectors, without loading the weights.
    """

    vectors: np.ndarray
    parameters: int
    seconds: float


def draw_sample(rows: Rows, most: int = MOST_ROWS, seed: int = 0) -> Sample:
    """Gives `most` training rows or fewer; the same ones for the same seed.

    Raises:
        DataError: They do not have one label each, or two rows of two labels are not among them.
    """
    import numpy as np

    train = rows.splits.train.rows
    if rows.labels is None or rows.task.predicts != "labels":
        raise DataError("checkpoints and layers can be judged by probes where each text has one label")
    names = train["label"][:]
    places = stratified_sample(names, most, seed)
    ids = np.array([rows.labels.label2id[names[place]] for place in places.tolist()], dtype=np.int64)
    check_labels(ids)
    return Sample(train.select(places), ids, len(train))


def built_to_look(checkpoint: Checkpoint, rows: Rows) -> torch.nn.Module:
    """Loads a checkpoint's weights with a head that nobody looks at: its own, or one that it can carry."""
    head = checkpoint.head
    if head is None and is_backbone_alone(checkpoint.config):
        head = HeadChoice("mean", {})
    return build(checkpoint, rows.task.auto_class, rows.labels, head=head).model


def look(
    checkpoint: Checkpoint,
    rows: Rows,
    sample: Sample,
    accelerator: Accelerator,
    *,
    pooling: Pooling = "mean",
    layers: Literal["all", "last"] = "last",
    between: Tell | None = None,
) -> Look:
    """Loads a checkpoint's weights and gives its pooled hidden states of a sample, in the precision of the run.

    Args:
        checkpoint: Opened.
        rows: Whose task says how texts are read.
        sample: Of them.
        accelerator: Of the run.
        pooling: How token vectors become one.
        layers: "all", or the last alone.
        between: Called with the share that is done.

    Raises:
        CheckpointError: Its weights cannot be loaded, or its states are not finite.
    """
    import numpy as np

    task, limit = copy.copy(rows.task), checkpoint.most_tokens
    task.max_length = task.max_length if limit is None else min(task.max_length, limit)
    model = built_to_look(checkpoint, rows).to(accelerator.device)
    began = time.monotonic()
    encoded = task.encode(sample.rows, checkpoint.tokenizer, None)
    with accelerator.autocast():
        vectors = features(
            model,
            encoded,
            pad_token_id=checkpoint.tokenizer.pad_token_id,
            pooling=pooling,
            layers="all" if layers == "all" else None,
            between=between,
        )
    seconds = time.monotonic() - began
    if not np.isfinite(vectors).all():
        raise CheckpointError(
            f"{checkpoint.id}: what it makes of some training rows is not a finite number; try train.precision: fp32"
        )
    return Look(vectors, sum(parameter.numel() for parameter in model.parameters()), seconds)
