"""Which road of `small_data` a run with few labelled rows goes, and with which head."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textxfer.training.few_rows import heads, roads
from textxfer.training.prepare import Prepared
from textxfer.training.trials import LEAST_JUDGED, RoadScore, Trials, parts_to_judge

if TYPE_CHECKING:
    from accelerate import Accelerator

LEAST_COMPARED = 100
"""Rows: fewer do not tell roads apart, whose scores they know to five hundredths at best."""


@dataclass(frozen=True)
class Road:
    """A choice, and why.

    Attributes:
        head: The name of the head.
        road: The name of the road.
        sentence: Why.
        scores: Of what was compared, the cheapest first.
        rows: Training rows that were judged.
        of: Training rows that there are.
        labels: Of the task.
        seconds: Of the whole comparison.
    """

    head: str
    road: str
    sentence: str
    scores: tuple[RoadScore, ...]
    rows: int
    of: int
    labels: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Gives plain data."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Road:
        """Takes back what `to_dict` gave."""
        return cls(**{**told, "scores": tuple(RoadScore(**each) for each in told["scores"])})

    def lines(self) -> Iterator[str]:
        """Gives the scores and the reason."""
        if self.scores:
            told = "  ".join(f"{each.head} {each.road}: {each.accuracy:.3f}" for each in self.scores)
            yield f"cross-validation on {self.rows:,} of {self.of:,} training rows, accuracy by head and road:  {told}"
        yield f"small_data: {self.road}, with the head {self.head}: {self.sentence}"


def choose_road(prepared: Prepared, accelerator: Accelerator) -> Road:
    """Chooses by which road a run with few rows goes, and with which head; all processes take part.

    Probes choose the head. Where there are 100 rows, every road is carried out with it on some parts of them, as the
    run would carry it out on all, and judged on the other part. With fewer the contrastive start is taken, unless no
    two rows have one label. A road whose training would cost too much is left out.

    Args:
        prepared: The run, its road open, or its head.
        accelerator: Of the run.

    Raises:
        CheckpointError: The weights cannot be loaded.
    """
    began, encoded = time.monotonic(), prepared.encoded["train"]
    assert encoded.targets is not None
    tried = Trials(prepared, accelerator, parts_to_judge(encoded.targets))
    head, road, sentence = _choose(tried)
    sentence = "; ".join([sentence, *tried.left_out])
    labels, seconds = len(prepared.rows.labels or ()), round(time.monotonic() - began, 3)
    return Road(head, road, sentence, tuple(tried.scores()), tried.judged, len(encoded), labels, seconds)


def _choose(tried: Trials) -> tuple[str, str, str]:
    """Gives head, road, and why."""
    recipe, reasons = tried.prepared.recipe, []
    head, road = heads(recipe)[0], roads(recipe)[0]
    if tried.judged < LEAST_JUDGED:
        return head, road, f"{len(tried.part)} rows are too few to compare others"
    for name in heads(recipe):
        tried.judge(name, "probe")
    if len(heads(recipe)) > 1:
        head, why = tried.best({name: (name, "probe") for name in heads(recipe)})
        reasons.append(f"of heads, {why}")
    if len(roads(recipe)) == 1:
        return head, road, "; ".join(reasons)
    if len(tried.part) < LEAST_COMPARED:
        if tried.affords(head, "contrastive"):
            road = "contrastive"
            reasons.append(f"{len(tried.part)} rows do not tell roads apart, and few rows gain by it as a rule")
        return head, road, "; ".join(reasons)
    for name in roads(recipe):
        tried.judge(head, name)
    road, why = tried.best({name: (head, name) for name in roads(recipe)})
    return head, road, "; ".join([*reasons, f"of roads, {why}"])
