"""`run_recipe`: a recipe to a run folder; also `python -m textxfer.run recipe.yaml`."""

from __future__ import annotations

import argparse
import functools
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textxfer.command_line import add_recipe_arguments, run_command
from textxfer.errors import OutputError, TextxferError

if TYPE_CHECKING:
    from textxfer.modeling.prefix_cache import Stored
    from textxfer.recipe.schema import Recipe
    from textxfer.training.choices import Chosen
    from textxfer.training.observers import Observer
    from textxfer.training.run_folder import RunFolder

SECONDS_TO_SPEAK = 10
"""The first process tells of a mistake for all. One that ends before it makes the launcher end that one unheard."""


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes:
        folder: The run folder.
        metrics: What metrics.json says: `metrics["test"]["accuracy"]`. For several seeds what seeds.json says:
            `metrics["test"]["accuracy"]["mean"]`.
    """

    folder: Path
    metrics: Mapping[str, Any]

    @property
    def model(self) -> Path:
        """The model's folder, which `transformers` and `textxfer.pipeline` load.

        Of several seeds it is that of the one that did best on validation.
        """
        seed = self.metrics.get("best_seed")
        return self.folder / "model" if seed is None else self.folder / f"seed-{seed}" / "model"


def run_recipe(
    recipe: str | os.PathLike[str] | Mapping[str, Any] | Recipe,
    *overrides: str,
    splits: Any = None,
    resume: bool = False,
    overwrite: bool = False,
    observers: Sequence[Observer] | None = None,
) -> RunResult:
    """Fine-tunes, judges and saves a model as a recipe says.

    Args:
        recipe: A file, a mapping with the same keys, or a loaded `Recipe`.
        *overrides: As on the command line: "train.epochs=1".
        splits: Rows from Python instead of `dataset.path` or `dataset.hub`: {"train": rows, "validation": rows, "test":
            rows} or rows alone; a list of dicts, a pandas DataFrame or a `datasets.Dataset`.
        resume: Go on with an unfinished run of this recipe; start where there is none, do nothing where it is finished.
        overwrite: Begin anew where there is a run.
        observers: Who is told of steps and scores: `[textxfer.Console()]` shows what the command shows. Default:
            nobody; log.jsonl is always written.

    Returns:
        Where the run is, and its scores.

    Raises:
        TextxferError: One of its kinds, with one line per mistake; nothing that was finished before is lost. A
            `PushError` after training leaves a finished run, and says how to push it again.
        Interrupted: Ctrl-C or SIGTERM; the run is saved and can be resumed.
    """
    from textxfer.job import push
    from textxfer.publishing.hub import check_push
    from textxfer.recipe.loading import load_recipe
    from textxfer.recipe.schema import Recipe

    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, *overrides, rows_given=splits is not None)
    elif overrides:
        raise TextxferError("overrides go with a file or a mapping, not with a loaded Recipe")
    if splits is not None:  # what is written of the run must not name data that were not used
        recipe = recipe.model_copy(update={"dataset": recipe.dataset.model_copy(update={"path": None, "hub": None})})
    told = list(observers or ()) if _is_first_process() else []
    if _is_first_process():
        check_push(recipe.hub)
    _check_place(recipe)
    run = _run_seeds if recipe.train.seeds is not None else _run_once
    result = run(recipe, splits, told, resume=resume, overwrite=overwrite)
    if _is_first_process():
        push(result.model.parent, recipe, told)
    return result


def _check_place(recipe: Recipe) -> None:
    """Stops before a run and several seeds share a folder; --overwrite replaces each by its own kind only."""
    from textxfer.training.run_folder import RECIPE, SEEDS

    folder, one = recipe.folder, recipe.train.seeds is None
    if (folder / (SEEDS if one else RECIPE)).is_file():
        there, new = ("several seeds", "a run with one") if one else ("a run with one seed", "several")
        other = f"name={recipe.name}-{'one' if one else 'seeds'}"
        raise OutputError(
            f"{folder}: holds {there}, which {new} cannot replace; change `name` (as in {other}) or output.directory"
        )


def _run_seeds(recipe: Recipe, given: Any, observers: list[Observer], **how: bool) -> RunResult:
    """Runs a recipe with each of its seeds, in folders of their own, and gives mean and spread of their scores."""
    from textxfer import registry
    from textxfer.evaluation.seeds import over_seeds
    from textxfer.job import report
    from textxfer.recipe.checks import chosen_metric
    from textxfer.training.choices import Chosen
    from textxfer.training.observers import tell
    from textxfer.training.run_folder import write_seeds

    seeds, found, settled = recipe.train.seeds or (), {}, Chosen()
    states: dict[str, Stored] = {}
    for number, seed in enumerate(seeds):
        tell(observers, "on_note", f"seed {seed} ({number + 1} of {len(seeds)})")
        train = recipe.train.model_copy(update={"seeds": None, "seed": seed})
        output = recipe.output.model_copy(update={"directory": str(recipe.folder)})
        one = recipe.model_copy(update={"name": f"seed-{seed}", "train": train, "output": output})
        shared = Path(recipe.output.directory)
        found[seed] = _run_once(one, given, observers, **how, settled=settled, shared=shared, states=states).metrics
        settled = settled | Chosen.read(one.folder)
    select_by = chosen_metric(recipe)
    greater_is_better = registry.load("metrics", select_by).greater_is_better
    metrics = over_seeds(found, select_by, greater_is_better=greater_is_better)
    if _is_first_process():
        write_seeds(recipe.folder, metrics)
        report(recipe.folder, observers)
    return RunResult(recipe.folder, metrics)


def _run_once(
    recipe: Recipe,
    splits: Any,
    told: list[Observer],
    *,
    resume: bool,
    overwrite: bool,
    settled: Chosen | None = None,
    shared: Path | None = None,
    states: dict[str, Stored] | None = None,
) -> RunResult:
    """Runs a recipe with one seed.

    Args:
        recipe: With one seed.
        splits: See `run_recipe`.
        told: Observers.
        resume: See `run_recipe`.
        overwrite: See `run_recipe`.
        settled: What a run beside it chose where the recipe leaves something open.
        shared: Folder of what runs share; default: the one that the run folder goes to.
        states: Of frozen layers, which runs share too.
    """
    from textxfer.training.choices import Chosen, known_choices
    from textxfer.training.run_folder import RunFolder

    folder = RunFolder(recipe.folder, resume=resume, overwrite=overwrite)
    folder.keeps(recipe.dataset.drop, "dataset.drop")
    try:
        if resume and folder.finished:
            return _finished_before(recipe, folder, told)
        known = (settled or Chosen()) | known_choices(recipe, folder)
        return _run(recipe, splits, folder, told, known, shared or Path(recipe.output.directory), states)
    finally:
        folder.release()


def _finished_before(recipe: Recipe, folder: RunFolder, observers: list[Observer]) -> RunResult:
    """Gives the result of a run that has finished, if it is one of this recipe."""
    from textxfer.job import report
    from textxfer.training.environment import is_recipe_of, recipe_fingerprint
    from textxfer.training.observers import tell
    from textxfer.training.run_folder import ENVIRONMENT, METRICS

    known = folder.read_json(ENVIRONMENT).get("fingerprints", {})
    if not is_recipe_of(recipe_fingerprint(recipe.resolved(folder.path)), known):
        raise OutputError(
            f"{folder.path}: holds a finished run of another recipe; --overwrite begins anew, or change `name`"
        )
    folder.tidy()
    tell(observers, "on_note", f"{folder.path} has finished already")
    if not (folder.path / "report.html").exists():  # it was cut off between the scores and the report
        report(folder.path, observers)
    return RunResult(folder.path, folder.read_json(METRICS))


def _run(
    recipe: Recipe,
    given: Any,
    folder: RunFolder,
    observers: list[Observer],
    known: Chosen,
    shared: Path,
    states: dict[str, Stored] | None,
) -> RunResult:
    """Prepares, trains, judges and saves; where something ends it early, says what is saved."""
    from textxfer.adaptation.texts import collect
    from textxfer.job import Job
    from textxfer.training.assemble import assemble
    from textxfer.training.choices import Choices
    from textxfer.training.environment import precision_of
    from textxfer.training.keeper import Keeper
    from textxfer.training.observers import tell
    from textxfer.training.phases import how_it_trains
    from textxfer.training.precision import make_accelerator
    from textxfer.training.prepare import encode_rows
    from textxfer.training.rows import load_rows
    from textxfer.training.scrutiny import look_at
    from textxfer.training.stopping import StopSignal
    from textxfer.training.trackers import check_trackers

    began = time.monotonic()
    trackers = recipe.train.trackers
    if trackers:
        check_trackers(trackers)
    rows = load_rows(recipe, given)
    texts = collect(recipe.adapt, rows.splits) if recipe.adapt is not None else None
    at_hand = functools.cache(partial(make_accelerator, recipe.train.precision, trackers, folder.path / "trackers"))
    choices = Choices(known, at_hand, observers)
    prepared = encode_rows(choices.checkpoint(recipe, rows), rows)
    accelerator, work = at_hand(), None
    if recipe.adapt is not None and texts is not None:
        from textxfer.adaptation.before_task import adapted
        from textxfer.adaptation.work import prepare

        work = prepare(prepared.checkpoint, texts, recipe.adapt, accelerator.mixed_precision)
    for note in prepared.rows.notes:
        tell(observers, "on_note", note)
    findings = look_at(prepared) if _is_first_process() else None
    for line in findings.lines() if findings is not None else ():
        tell(observers, "on_note", f"data: {line}")
    if work is not None:
        prepared = replace(prepared, checkpoint=adapted(work, shared, accelerator, observers))
    stop = StopSignal(accelerator)
    prepared = choices.depth(choices.road(prepared, recipe))
    training = assemble(prepared, accelerator, stop, states)
    for note in training.notes:
        tell(observers, "on_note", note)
    where = f"{precision_of(accelerator)} on {accelerator.device.type}"
    tell(observers, "on_note", how_it_trains(recipe, prepared.recipe, prepared.plan, where))
    tell(observers, "on_model", training.frozen[prepared.plan.phase(0)])
    keeper = Keeper(folder, training, accelerator)
    job = Job(recipe, prepared, training, accelerator, keeper, stop, observers, began, findings, choices.made)
    with stop, keeper.explaining(prepared.plan.steps):
        return RunResult(folder.path, job.run())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of a run to a parser."""
    add_recipe_arguments(parser, "train.epochs=1")
    parser.add_argument("--resume", action="store_true", help="go on with an unfinished run")
    parser.add_argument("--overwrite", action="store_true", help="begin anew where there is a run")
    parser.add_argument("--quiet", action="store_true", help="show the final scores only")


def execute(arguments: argparse.Namespace) -> int:
    """Runs a recipe from parsed arguments; prints what happens to standard error, the scores to standard output."""
    from textxfer.recipe.loading import load_recipe

    recipe = load_recipe(arguments.recipe, *arguments.overrides)
    from textxfer.training.observers import Console

    observers = [] if arguments.quiet else [Console()]
    result = run_recipe(recipe, resume=arguments.resume, overwrite=arguments.overwrite, observers=observers)
    if _is_first_process():
        from textxfer.report.closing import summary

        print(summary(result.folder, result.model, result.metrics, pairs=recipe.dataset.text_pair is not None))
    return 0


def _is_first_process() -> bool:
    return int(os.environ.get("RANK", "0")) == 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and gives its exit code: 0, 2 for a user's error, 130 or 143 for a signal."""
    about = "Fine-tune, judge and save a model."
    parser = argparse.ArgumentParser(prog="python -m textxfer.run", description=about, allow_abbrev=False)
    add_arguments(parser)
    return run_command(execute, parser.parse_intermixed_args(arguments))


def leave(code: int) -> None:
    """Ends the process; one of several without taking the interpreter down, where threads that talked may abort it."""
    if "RANK" not in os.environ:
        sys.exit(code)
    sys.stdout.flush()
    sys.stderr.flush()
    if code == 2 and not _is_first_process():
        time.sleep(SECONDS_TO_SPEAK)
    os._exit(code)


if __name__ == "__main__":
    leave(main())
