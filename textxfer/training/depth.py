"""`freeze.layers: auto`: how many layers to freeze, from probes on each layer of a checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textxfer.training.looks import Tell, draw_sample, look
from textxfer.training.rows import Rows

if TYPE_CHECKING:
    from accelerate import Accelerator

    from textxfer.evaluation.probing import ProbeScore
    from textxfer.modeling.checkpoint import Checkpoint

LEAST_GAIN = 0.01
"""Of accuracy: a rise below it, or within one standard error, is none."""
SHARE = 3
"""One layer in so many is frozen at most: `benchmarks/depth.py` shows what deeper ones would lose."""


@dataclass(frozen=True)
class LayerScore:
    """What a probe on a layer reaches.

    Attributes:
        layer: Layers below the probe: 0 is the embeddings alone.
        accuracy: On rows that it did not see.
        sd: Of the accuracies of the parts.
    """

    layer: int
    accuracy: float
    sd: float


@dataclass(frozen=True)
class Depth:
    """A choice, and why.

    Attributes:
        layers: How many to freeze.
        sentence: Why.
        curve: The score of each layer, from the embeddings up.
        rows: Training rows that were looked at.
        of: Training rows that there are.
        seconds: From the texts to the vectors.
    """

    layers: int
    sentence: str
    curve: tuple[LayerScore, ...]
    rows: int
    of: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Gives plain data."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Depth:
        """Takes back what `to_dict` gave."""
        return cls(**{**told, "curve": tuple(LayerScore(**each) for each in told["curve"])})

    def lines(self) -> Iterator[str]:
        """Gives the curve and the reason."""
        curve = "  ".join(f"{each.layer}: {each.accuracy:.3f}" for each in self.curve)
        yield f"probes on {self.rows:,} of {self.of:,} training rows, accuracy by layer:  {curve}"
        yield f"freeze.layers: auto is {self.layers}: {self.sentence}"


def choose_depth(checkpoint: Checkpoint, rows: Rows, accelerator: Accelerator, between: Tell | None = None) -> Depth:
    """Chooses how many layers of a checkpoint a run freezes; see `decide`.

    Only training rows are looked at, 2,000 at most: their tokens' mean states after each layer, in one pass.

    Args:
        checkpoint: Of the run.
        rows: Of the run.
        accelerator: Of the run: its device and precision.
        between: Called with the share that is done; may raise to stop.

    Raises:
        DataError: The rows do not have one label each, or are too few.
        CheckpointError: The weights cannot be loaded.
    """
    from textxfer.evaluation.probing import layer_scores

    tell = between or (lambda share: None)
    sample = draw_sample(rows)
    seen = look(checkpoint, rows, sample, accelerator, layers="all", between=lambda x: tell(0.7 * x))
    scores = layer_scores(seen.vectors, sample.labels, between=lambda x: tell(0.7 + 0.3 * x))
    layers, sentence = decide(scores)
    curve = tuple(LayerScore(layer, score.accuracy, score.sd) for layer, score in enumerate(scores))
    return Depth(layers, sentence, curve, len(sample.labels), sample.of, round(seen.seconds, 3))


def decide(scores: Sequence[ProbeScore]) -> tuple[int, str]:
    """Gives how many layers to freeze, and why in a sentence.

    Layers below the first whose probe is as good as any carry what the checkpoint knows of the labels; those above it
    add nothing to it and are free to learn.

    Args:
        scores: Of the embeddings and of each layer, on the same rows.
    """
    best = max(scores, key=lambda score: score.accuracy)
    level = next(place for place, score in enumerate(scores) if _is_level(best, score))
    top = len(scores) - 1
    most = top // SHARE
    reached = f"the probe stops rising at layer {level} ({scores[level].accuracy:.3f}, last {scores[top].accuracy:.3f})"
    if level <= most:
        return level, reached
    return most, f"{reached}; no more than a third of the layers are frozen, so that the others can learn"


def _is_level(best: ProbeScore, score: ProbeScore) -> bool:
    lead, error = best.lead(score)
    return lead <= max(LEAST_GAIN, error)
