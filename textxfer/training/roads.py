"""Which road of `small_data` a run with few labelled rows goes, and with which head."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textxfer.evaluation.probing import MOST_ROWS, stratified_sample
from textxfer.training.few_rows import heads, roads, share_of_rate
from textxfer.training.prepare import Prepared
from textxfer.training.trials import LEAST_JUDGED, RoadScore, Trials, part_of, parts_to_judge

if TYPE_CHECKING:
    import numpy as np
    from accelerate import Accelerator

    from textxfer.recipe.schema import Recipe

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
        lacking: See `on_road`; 1 where no probe was judged.
    """

    head: str
    road: str
    sentence: str
    scores: tuple[RoadScore, ...]
    rows: int
    of: int
    labels: int
    seconds: float
    lacking: float = 1.0

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
    two rows have one label; how far it goes follows what the probe lacks. A road whose training would cost too much is
    left out. Where the road is named, there may be many rows: a sample of them tells enough.

    Args:
        prepared: The run, its road open, or its head, or the rate of its contrastive start.
        accelerator: Of the run.

    Raises:
        CheckpointError: The weights cannot be loaded.
    """
    began, rows = time.monotonic(), len(prepared.encoded["train"])
    if len(roads(prepared.recipe)) == 1 and rows > MOST_ROWS:
        prepared = part_of(prepared, stratified_sample(_targets(prepared).tolist(), MOST_ROWS))
    tried = Trials(prepared, accelerator, parts_to_judge(_targets(prepared)))
    head, road, reasons = _choose(tried)
    reasons += [*_gently(prepared.recipe, road, tried.lacking(head)), *tried.left_out]
    sentence = "; ".join(reasons) or "the recipe names them"
    labels, seconds = len(prepared.rows.labels or ()), round(time.monotonic() - began, 3)
    scores, judged = tuple(tried.scores()), tried.judged
    return Road(head, road, sentence, scores, judged, rows, labels, seconds, tried.lacking(head))


def _targets(prepared: Prepared) -> np.ndarray:
    targets = prepared.encoded["train"].targets
    assert targets is not None
    return targets


def _gently(recipe: Recipe, road: str, lacking: float) -> Iterator[str]:
    """Says that a contrastive start takes a part of the rate, where it does."""
    share = share_of_rate(lacking)
    if road == "contrastive" and recipe.small_data.learning_rate is None and share < 1:
        yield (
            f"it takes {share:.0%} of the rate, since a probe makes {lacking:.0%} of the errors of who always says the "
            "commonest label"
        )


def _choose(tried: Trials) -> tuple[str, str, list[str]]:
    """Gives head, road, and why."""
    recipe, reasons = tried.prepared.recipe, list[str]()
    head, road = heads(recipe)[0], roads(recipe)[0]
    if tried.judged < LEAST_JUDGED:
        return head, road, [f"{len(tried.part)} rows are too few to compare others"]
    for name in heads(recipe):
        tried.judge(name, "probe")
    if len(heads(recipe)) > 1:
        head, why = tried.best({name: (name, "probe") for name in heads(recipe)})
        reasons.append(f"of heads, {why}")
    if len(roads(recipe)) == 1:
        return head, road, reasons
    if len(tried.part) < LEAST_COMPARED:
        if tried.affords(head, "contrastive"):
            road = "contrastive"
            reasons.append(f"{len(tried.part)} rows do not tell roads apart, and few rows gain by it as a rule")
        return head, road, reasons
    for name in roads(recipe):
        tried.judge(head, name)
    road, why = tried.best({name: (head, name) for name in roads(recipe)})
    return head, road, [*reasons, f"of roads, {why}"]
