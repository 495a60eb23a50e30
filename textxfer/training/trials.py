"""Heads and roads of `small_data`, tried on parts of the training rows and judged on the others.

Letters in shapes: N training examples, D values of a vector, C labels.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from textxfer.errors import TrainingDiverged
from textxfer.evaluation.forward import forward
from textxfer.evaluation.probing import ProbeScore, stratified_parts
from textxfer.labels import LabelSet
from textxfer.modeling.anatomy import pooled_only
from textxfer.modeling.build import skeleton
from textxfer.modeling.freezing import freeze
from textxfer.records import Encoded, Splits
from textxfer.training.assemble import Training, assemble
from textxfer.training.few_rows import GROUPS, TEXTS, on_road
from textxfer.training.head_probe import head_inputs, probe_of
from textxfer.training.prepare import Prepared, head_of, planned_anew
from textxfer.training.processes import on_main
from textxfer.training.progress import Progress

if TYPE_CHECKING:
    from accelerate import Accelerator

PARTS = 4
"""Of the rows; each is judged by models that were trained on the others."""
LEAST_JUDGED = 8
"""Rows: fewer tell nothing."""
ENOUGH_JUDGED = 100
"""Rows: parts are judged until there are so many."""
MOST_OPERATIONS = {"cpu": 5e13, "cuda": 5e15}
"""Of training that an untouched recipe may ask for on one road: some minutes."""


@dataclass(frozen=True)
class RoadScore:
    """What a road reaches.

    Attributes:
        head: The name of its head.
        road: Its name.
        accuracy: On rows that its models were not trained on.
        error: Standard error of the accuracy's distance to the best road's, on the same rows; 0 for the best.
        seconds: Of the comparison.
    """

    head: str
    road: str
    accuracy: float
    error: float
    seconds: float


def parts_to_judge(targets: np.ndarray) -> np.ndarray:
    """Gives the part of each row (N,) that is held out together, -1 for rows that never are.

    A label's only row is always trained on. Of many rows, parts beyond the first 100 rows are not held out.
    """
    counts = np.bincount(targets)
    free = np.flatnonzero(counts[targets] > 1)
    part = np.full(len(targets), -1)
    if len(free) < LEAST_JUDGED or len(np.unique(targets[free])) < 2:
        return part
    part[free] = stratified_parts(targets[free], PARTS, seed=0)
    wanted = max(-(-ENOUGH_JUDGED * PARTS // len(free)), 1)
    part[part >= wanted] = -1
    return part


def decide(right: Mapping[str, np.ndarray]) -> tuple[str, str]:
    """Gives the name of what to take, and why.

    It is the first whose accuracy is within one standard error of the best (Breiman et al. 1984, section 3.4.3).

    Args:
        right: By name, the first to be taken first, whether it foretold the label of each judged row.
    """
    scores = {name: ProbeScore(hits, ()) for name, hits in right.items()}
    best = max(scores, key=lambda name: scores[name].accuracy)
    leads = {name: scores[best].lead(score) for name, score in scores.items()}
    name, (lead, error) = next((name, lead) for name, lead in leads.items() if lead[0] <= lead[1])
    if name == best:
        return name, f"{name} does best"
    return name, f"{best}'s lead of {lead:.3f} over {name} is within one standard error ({error:.3f})"


@dataclass
class Trials:
    """Heads and roads that were tried.

    Attributes:
        prepared: The run.
        accelerator: Of the run.
        part: See `parts_to_judge`.
        right: By head and road, whether each judged row's label was foretold.
        seconds: By head and road.
        left_out: Why others were not tried, a sentence each.
    """

    prepared: Prepared
    accelerator: Accelerator
    part: np.ndarray
    right: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    seconds: dict[tuple[str, str], float] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    @cached_property
    def parameters(self) -> int:
        """That a token passes through: all but the embeddings."""
        run = self.prepared
        model = skeleton(run.checkpoint, run.rows.task.auto_class, run.rows.labels, head_of(run.recipe))
        return sum(size.total for size in freeze(model, 0).table if size.part != "embeddings")

    @property
    def judged(self) -> int:
        """Rows that are held out at some time."""
        return int((self.part >= 0).sum())

    def judge(self, head: str, road: str) -> None:
        """Tries a head and a road, unless that was done or would cost too much."""
        if (head, road) in self.right or not self.affords(head, road):
            return
        began, prepared = time.monotonic(), self._on(head, road)
        settled = road == "probe" and prepared.plan.steps == 0  # a head with hidden layers trains them on that road
        try:
            hits = self._probed(prepared) if settled else self._trained(prepared)
            self.right[head, road] = on_main(self.accelerator, lambda: hits)  # one rate and one choice for all
        except TrainingDiverged as error:
            self.left_out.append(f"{road} with the head {head} was left out ({error.lines[0]})")
        finally:
            self.accelerator.free_memory()  # it holds on to models and moments
        self.seconds[head, road] = time.monotonic() - began

    def affords(self, head: str, road: str) -> bool:
        """Says whether training on a road costs little enough; notes where it does not."""
        most = MOST_OPERATIONS.get(self.accelerator.device.type, MOST_OPERATIONS["cpu"])
        if road == "probe" or _operations(self._on(head, road), self.parameters) <= most:
            return True
        self.left_out.append(f"{road} was left out, since it would take long with so large a backbone")
        return False

    def lacking(self, head: str) -> float:
        """Gives the errors of a head's probes by those of who always says the commonest label; 1 if unjudged."""
        if (head, "probe") not in self.right:
            return 1.0
        targets = self.prepared.encoded["train"].targets
        assert targets is not None
        judged = np.bincount(targets[self.part >= 0])
        errors = int((~self.right[head, "probe"]).sum())
        return min(errors / max(int(judged.sum() - judged.max()), 1), 1.0)

    def _on(self, head: str, road: str) -> Prepared:
        recipe = on_road(self.prepared.recipe, road, head, len(self.part), self.lacking(head))
        return planned_anew(self.prepared, recipe)

    def best(self, names: Mapping[str, tuple[str, str]]) -> tuple[str, str]:
        """Gives which of some, by name, is to be taken, and why; the first where none could be judged."""
        known = {name: self.right[key] for name, key in names.items() if key in self.right}
        return decide(known) if known else (next(iter(names)), "none could be judged")

    def scores(self) -> Iterator[RoadScore]:
        """Gives the score of each."""
        if not self.right:
            return
        best = max(self.right.values(), key=lambda hits: hits.mean())
        for (head, road), hits in self.right.items():
            _, error = ProbeScore(best, ()).lead(ProbeScore(hits, ()))
            yield RoadScore(head, road, float(hits.mean()), error, round(self.seconds[head, road], 3))

    def _probed(self, prepared: Prepared) -> np.ndarray:
        """Gives whether a probe on the backbone as it is foretold each judged row."""
        encoded, labels = prepared.encoded["train"], prepared.rows.labels
        network, targets = assemble(prepared, self.accelerator).network, encoded.targets
        features = head_inputs(network, encoded, np.arange(len(self.part)), self.accelerator)
        assert targets is not None
        assert labels is not None
        if not np.isfinite(features).all():
            raise TrainingDiverged("what the backbone makes of some rows is not a finite number")
        right = np.zeros(len(targets), dtype=bool)
        for unseen in self._held_out():
            seen = np.flatnonzero(~unseen)
            probe = probe_of(prepared, features[seen], seen, _counted(labels, targets[seen]))
            right[unseen] = probe.logits(features[unseen]).argmax(axis=1) == targets[unseen]
        return right[self.part >= 0]

    def _trained(self, prepared: Prepared) -> np.ndarray:
        """Gives whether models that were trained as the recipe says foretold each judged row."""
        from textxfer.training.loop import fit

        encoded = prepared.encoded["train"]
        assert encoded.targets is not None
        right = np.zeros(len(self.part), dtype=bool)
        for unseen in self._held_out():
            some = part_of(prepared, np.flatnonzero(~unseen))
            training = assemble(some, self.accelerator)
            fit(training.start(True).stepper, some.plan, Progress())
            held_out, _ = encoded.of_rows(np.flatnonzero(unseen))
            right[unseen] = _foretold(training, some, held_out, self.accelerator) == encoded.targets[unseen]
            self.accelerator.free_memory()
        return right[self.part >= 0]

    def _held_out(self) -> Iterator[np.ndarray]:
        return (self.part == number for number in range(self.part.max() + 1))


def _foretold(training: Training, prepared: Prepared, encoded: Encoded, accelerator: Accelerator) -> np.ndarray:
    """Gives the label ids that a model finds most probable."""
    from textxfer.modeling.inference import for_inference

    outputs = forward(
        for_inference(pooled_only(training.model)),
        prepared.rows.task,
        replace(encoded, targets=None),
        pad_token_id=training.network.pad_token_id,
        accelerator=accelerator,
    )
    found: np.ndarray = outputs.reduced["logits"].argmax(axis=1)
    return found


def part_of(prepared: Prepared, rows: np.ndarray) -> Prepared:
    """Gives a run that has some of the training rows (by their places), and no other splits."""
    whole, labels = prepared.rows, prepared.rows.labels
    encoded, _ = prepared.encoded["train"].of_rows(rows)
    assert labels is not None
    assert encoded.targets is not None
    some = replace(whole, splits=Splits(whole.splits.train.select(rows)), labels=_counted(labels, encoded.targets))
    return planned_anew(replace(prepared, rows=some, encoded={"train": encoded}), prepared.recipe)


def _counted(labels: LabelSet, targets: np.ndarray) -> LabelSet:
    return LabelSet(labels.names, tuple(np.bincount(targets, minlength=len(labels)).tolist()))


def _operations(prepared: Prepared, parameters: int) -> float:
    """Gives the arithmetic of training on a road: two operations a parameter and token forward, four backward."""
    few, train = prepared.recipe.small_data, prepared.encoded["train"]
    texts = prepared.plan.steps * prepared.plan.batch_size
    if few.road == "contrastive":
        texts = (few.steps or 0) * GROUPS * TEXTS
    return 6.0 * parameters * texts * float(train.lengths.mean())
