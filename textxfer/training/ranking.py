"""Which of several checkpoints suits a recipe's rows best, by what each makes of a sample of the training rows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textxfer.errors import CheckpointError, MissingExtra, RecipeError
from textxfer.modeling.checkpoint import Checkpoint, open_checkpoint
from textxfer.modeling.device import clear_memory, is_out_of_memory
from textxfer.recipe.merging import id_and_revision, place_of
from textxfer.recipe.schema import relative_place
from textxfer.training.looks import Look, Sample, Tell, draw_sample, look
from textxfer.training.prepare import check_fit
from textxfer.training.rows import Rows
from textxfer.training.seen import OwnRows, flattered

if TYPE_CHECKING:
    from accelerate import Accelerator

    from textxfer.evaluation.probing import ProbeScore
    from textxfer.modeling.features import Pooling
    from textxfer.recipe.schema import Recipe

TIED = 2.0
"""Standard errors of the difference from the best accuracy, below which the order is LogME's."""
CAVEAT = "Frozen features foretell fine-tuned scores roughly, not surely: where it matters, train the first two."


@dataclass(frozen=True)
class Ranked:
    """What was found of a checkpoint.

    Attributes:
        checkpoint: As it was named.
        accuracy: Of probes on rows that they did not see.
        sd: Of the accuracies of the parts.
        log_evidence: LogME.
        h_score: None where there are no more rows than dimensions.
        neighbours: Accuracy of the nearest other rows.
        seconds: From the texts to their vectors.
        parameters: Of the whole model.
        layers: Of the backbone.
        tokens_per_word: Tokens that a word takes.
        fragments: Share of the words that are cut.
        seen: How it was trained on the rows already ("was trained on this data set"), which flatters it; None where
            nothing is known of it.
    """

    checkpoint: str
    accuracy: float
    sd: float
    log_evidence: float
    h_score: float | None
    neighbours: float
    seconds: float
    parameters: int
    layers: int
    tokens_per_word: float
    fragments: float
    seen: str | None = None

    @property
    def marked(self) -> str:
        """Its name as tables show it, with a star where it was trained on the rows already."""
        return self.checkpoint if self.seen is None else f"{self.checkpoint} *"


@dataclass(frozen=True)
class Failed:
    """A checkpoint that cannot be used, and why."""

    checkpoint: str
    reason: str


@dataclass(frozen=True)
class Ranking:
    """Checkpoints in their order.

    Attributes:
        ranked: The best first.
        tied: How many of the first cannot be told apart by the probe.
        failed: Those that could not be ranked.
        rows: Training rows that were looked at.
        of: Training rows that there are.
        pooling: How token vectors became one.
    """

    ranked: tuple[Ranked, ...]
    tied: int
    failed: tuple[Failed, ...]
    rows: int
    of: int
    pooling: str

    @property
    def best(self) -> Ranked:
        """The first."""
        return self.ranked[0]

    def to_dict(self) -> dict[str, Any]:
        """Gives plain data."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Ranking:
        """Takes back what `to_dict` gave."""
        ranked, failed = (Ranked(**each) for each in told["ranked"]), (Failed(**each) for each in told["failed"])
        return cls(**{**told, "ranked": tuple(ranked), "failed": tuple(failed)})

    def relative_to(self, folder: Path) -> Ranking:
        """Gives the ranking with paths as they are seen from a folder."""
        return self._renamed(lambda name: relative_place(name, folder))

    def absolute_from(self, folder: Path) -> Ranking:
        """Gives the ranking with absolute paths, where they are seen from a folder."""
        return self._renamed(lambda name: place_of(name, folder))

    def _renamed(self, change: Callable[[str], str]) -> Ranking:
        ranked = (dataclasses.replace(each, checkpoint=change(each.checkpoint)) for each in self.ranked)
        failed = (
            Failed(change(each.checkpoint), each.reason.replace(each.checkpoint, change(each.checkpoint)))
            for each in self.failed
        )
        return dataclasses.replace(self, ranked=tuple(ranked), failed=tuple(failed))

    def lines(self) -> Iterator[str]:
        """Gives the table, what could not be ranked, how far to trust it, and the line for the recipe."""
        pooled = {"mean": "mean over tokens", "cls": "first token", "last": "last token"}[self.pooling]
        yield f"ranked on {self.rows:,} of {self.of:,} training rows, by the {pooled}, the mean of all layers:"
        yield from _table(self.ranked)
        yield from (flattered(each.checkpoint, each.seen) for each in self.ranked if each.seen is not None)
        for each in self.failed:
            yield f"not ranked: {each.reason}"
        yield _rule(self.tied, len(self.ranked))
        yield CAVEAT
        yield f"checkpoint: {self.best.checkpoint}"


def rank_checkpoints(
    recipe: Recipe,
    rows: Rows,
    names: Sequence[str],
    accelerator: Accelerator,
    *,
    pooling: Pooling = "mean",
    between: Tell | None = None,
) -> Ranking:
    """Ranks checkpoints by their cross-validated probes; those level with the best one (paired by rows) by LogME.

    Only training rows are looked at, 2,000 at most: the mean over layers of their pooled states, which foretells better
    than the last layer what training all of them comes to (Garbas et al. 2024, arXiv:2409.05997). A checkpoint that
    cannot be opened or loaded, or has not what the recipe asks for, is reported and passed over.

    Args:
        recipe: For which.
        rows: Its rows.
        names: Checkpoints, each `id` or `id@revision`.
        accelerator: Of the run: its device and precision.
        pooling: How token vectors become one.
        between: Called with the share that is done; may raise to stop.

    Raises:
        CheckpointError: None of them can be ranked; a line for each.
        DataError: The rows do not have one label each, or are too few; no checkpoint is opened then.
    """
    sample, own = draw_sample(rows), OwnRows(recipe, rows.splits)
    found: list[tuple[Ranked, ProbeScore]] = []
    failed: list[Failed] = []
    for place, name in enumerate(names):
        share = _share_of(between, place, len(names))
        try:
            checkpoint = open_checkpoint(*id_and_revision(name))
            check_fit(recipe, checkpoint, rows)
            looked = look(checkpoint, rows, sample, accelerator, pooling=pooling, layers="all", between=share)
            ranked, probe = _judged(name, checkpoint, looked, sample)
            found.append((dataclasses.replace(ranked, seen=own.seen_by(checkpoint)), probe))
        except CheckpointError as error:
            failed.append(Failed(name, error.in_one_line))
        except (RecipeError, MissingExtra) as error:
            failed.append(Failed(name, f"{name}: {error.in_one_line}"))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            failed.append(Failed(name, f"{name}: memory ran out"))
        clear_memory()
    if not found:
        raise CheckpointError("none of the checkpoints can be ranked:", *(each.reason for each in failed))
    order, tied = in_order(found)
    return Ranking(tuple(order), tied, tuple(failed), len(sample.labels), sample.of, pooling)


def _judged(name: str, checkpoint: Checkpoint, looked: Look, sample: Sample) -> tuple[Ranked, ProbeScore]:
    from textxfer.data.words import word_cuts
    from textxfer.evaluation.probing import probe_score
    from textxfer.evaluation.transferability import h_score, log_evidence, neighbours_accuracy

    vectors, labels = looked.vectors.mean(axis=1), sample.labels
    probe, variance = probe_score(vectors, labels), h_score(vectors, labels)
    cuts = word_cuts(checkpoint.tokenizer, sample.rows["text"][:])
    ranked = Ranked(
        checkpoint=name,
        accuracy=probe.accuracy,
        sd=probe.sd,
        log_evidence=log_evidence(vectors, labels),
        h_score=None if math.isnan(variance) else variance,
        neighbours=neighbours_accuracy(vectors, labels),
        seconds=round(looked.seconds, 3),
        parameters=looked.parameters,
        layers=int(checkpoint.config.num_hidden_layers),
        tokens_per_word=cuts.tokens_per_word,
        fragments=cuts.fragments,
    )
    return ranked, probe


def in_order(found: Sequence[tuple[Ranked, ProbeScore]]) -> tuple[list[Ranked], int]:
    """Gives the order, and how many of the first cannot be told apart by their probes.

    Args:
        found: Each checkpoint with its probe, all on the same rows.
    """
    _, best = max(found, key=lambda each: each[1].accuracy)
    level: list[Ranked] = []
    others: list[Ranked] = []
    for ranked, probe in found:
        lead, error = best.lead(probe)
        (level if lead <= TIED * error else others).append(ranked)
    level.sort(key=lambda ranked: -ranked.log_evidence)
    others.sort(key=lambda ranked: -ranked.accuracy)
    return level + others, len(level)


def _rule(tied: int, count: int) -> str:
    first = "the most accurate probe first"
    if tied == 1:
        return first if count > 1 else "there is nothing to compare it with"
    return f"{first}; the probes of the first {tied} cannot be told apart, so LogME orders them"


def _share_of(between: Tell | None, place: int, count: int) -> Tell | None:
    return None if between is None else lambda share: between((place + share) / count)


def _table(ranked: Sequence[Ranked]) -> Iterator[str]:
    head = ["checkpoint", "probe", "LogME", "H-score", "kNN", "seconds", "parameters", "tokens/word", "cut words"]
    lines = [head]
    for each in ranked:
        variance = f"{each.h_score:.3f}" if each.h_score is not None else "-"
        lines.append(
            [
                each.marked,
                f"{each.accuracy:.3f} +- {each.sd:.3f}",
                f"{each.log_evidence:.3f}",
                variance,
                f"{each.neighbours:.3f}",
                f"{each.seconds:.1f}",
                f"{each.parameters / 1e6:.1f} M",
                f"{each.tokens_per_word:.2f}",
                f"{each.fragments:.1%}",
            ]
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for first, *others in lines:
        cells = (f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True))
        yield "  ".join([f"{first:<{widths[0]}}", *cells]).rstrip()
