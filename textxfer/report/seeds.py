"""The page of several seeds of one recipe: their scores beside each other, and how far luck alone moves them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textxfer.errors import OutputError
from textxfer.report import words
from textxfer.report.pieces import Card, Cards, Column, Head, Section, Table
from textxfer.report.reading import read_mapping, read_run
from textxfer.report.showing import plural, score
from textxfer.report.summary import made_of
from textxfer.training.run_folder import METRICS, SEEDS

ROUGH = 5
"""Seeds: fewer give a rough idea of the spread only."""


@dataclass(frozen=True)
class SeedsFiles:
    """Several seeds of one recipe as seeds.json tells of them.

    Attributes:
        folder: Of the seeds.
        seeds: As they were run.
        best: The one that did best on validation.
        splits: By split and metric {"mean", "sd", "values"}.
    """

    folder: Path
    seeds: Sequence[int]
    best: int
    splits: Mapping[str, Mapping[str, Mapping[str, Any]]]

    @property
    def split(self) -> str | None:
        """The split that the page is about first: test, else validation."""
        return next(iter(self.splits), None)


def has_seeds(folder: Path) -> bool:
    """Gives whether a folder is that of several seeds, and not a run's own."""
    return (folder / SEEDS).is_file() and not (folder / METRICS).exists()


def read_seeds(folder: Path) -> SeedsFiles:
    """Reads seeds.json.

    Raises:
        OutputError: It cannot be read, or is not whole.
    """
    path = folder / SEEDS
    try:
        data = read_mapping(path)
        splits = {split: data[split] for split in ("test", "validation") if split in data}
        seeds = [int(seed) for seed in data["seeds"]]
        for cell in (cell for scores in splits.values() for cell in scores.values()):
            if len(cell["values"]) != len(seeds) or not all(map(math.isfinite, (cell["mean"], cell["sd"]))):
                raise ValueError("a score is missing for one of the seeds")
        return SeedsFiles(folder, seeds, int(data["best_seed"]), splits)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise OutputError(f"{path}: cannot be read: {what}; run the recipe again with --resume") from error


def head(found: SeedsFiles) -> Head:
    """Gives the recipe's name, its mean score, and what the spread says."""
    facts = {"Seeds": ", ".join(map(str, found.seeds))}
    if "validation" in found.splits:
        facts["Best on validation"] = f"seed {found.best}"
    best = found.folder / f"seed-{found.best}"
    if (best / METRICS).is_file():
        facts |= dict(made_of(read_run(best)))
    return Head(found.folder.resolve().name, tuple(_verdict(found)), facts)


def sections(found: SeedsFiles) -> Iterator[Section]:
    """Gives the means, and each split's scores by seed; nothing where no split was scored."""
    if found.split is not None:
        cards = [_card(name, cell) for name, cell in found.splits[found.split].items()]
        reading = "Each score is the mean over the seeds. The sd, the standard deviation, is that of single runs."
        yield Section("scores", "Scores", [Cards(cards)], reading=reading)
        tables = [_table(found, split, scores) for split, scores in found.splits.items()]
        reading = "All seeds have the same rows; each has a report of its own, in its folder."
        yield Section("by-seed", "By seed", tables, reading=reading)


def spread_says(sd: float, number: int) -> str:
    """Gives what the spread over seeds says, in a sentence.

    Two single runs of one recipe differ by less than t * sd * sqrt(2) in 95 of 100 pairs, where t is Student's, with
    as many degrees of freedom as the sd was estimated with.

    Args:
        sd: Of a sample of runs.
        number: Of runs, two at least.
    """
    from scipy.stats import t

    if sd == 0:
        return "The seed changes nothing: all runs score the same."
    least = float(t.ppf(0.975, number - 1)) * sd * math.sqrt(2)
    rough = f"; {number} seeds give a rough idea of that only" if number < ROUGH else ""
    if least >= 1:
        return (
            f"The seed moves the score by {score(sd)} (sd), which {plural(number, 'seed')} are too few to judge: no "
            "difference between two single runs can be told from luck."
        )
    return (
        f"The seed alone moves the score by {score(sd)} (sd): two single runs that differ by less than about "
        f"{score(least)} may differ by luck{rough}."
    )


def _verdict(found: SeedsFiles) -> Iterator[str]:
    scores = found.splits.get(found.split or "", {})
    name = next((name for name in ("accuracy", "exact_match", *scores) if name in scores), None)
    if name is None:
        yield "There was no test and no validation split, so nothing says how good the models are."
        return
    if found.split == "validation":
        yield "There was no test split: the models were chosen by these validation scores, so expect less elsewhere."
    cell = scores[name]
    yield (
        f"Over {plural(len(found.seeds), 'seed')}, {words.within(name)} on {found.split} is {score(cell['mean'])} on "
        f"average, with an sd of {score(cell['sd'])}."
    )
    yield spread_says(cell["sd"], len(found.seeds))


def _card(name: str, cell: Mapping[str, Any]) -> Card:
    values = cell["values"]
    note = f"sd {score(cell['sd'])}; from {score(min(values))} to {score(max(values))}."
    return Card(words.title(name), cell["mean"], words.meaning(name), notes=[note])


def _table(found: SeedsFiles, split: str, scores: Mapping[str, Mapping[str, Any]]) -> Table:
    columns = [Column("Seed"), *(Column(words.title(name), "score") for name in scores)]
    chosen = found.best if "validation" in found.splits else None
    rows: list[Sequence[Any]] = []
    for place, seed in enumerate(found.seeds):
        name = f"{seed} (best)" if seed == chosen else str(seed)
        rows.append((name, *(cell["values"][place] for cell in scores.values())))
    rows += [(title, *(cell[key] for cell in scores.values())) for title, key in (("Mean", "mean"), ("Sd", "sd"))]
    return Table(split.capitalize(), columns, rows)
