"""`run_recipe`: a recipe to a run folder; also `python -m textxfer.run recipe.yaml`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textxfer.errors import Interrupted, OutputError, TextxferError

if TYPE_CHECKING:
    from textxfer.recipe.schema import Recipe
    from textxfer.training.observers import Observer


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes:
        folder: The run folder.
        metrics: What metrics.json says: `metrics["test"]["accuracy"]`.
    """

    folder: Path
    metrics: Mapping[str, Any]

    @property
    def model(self) -> Path:
        """The model's folder, which `transformers` and `textxfer.pipeline` load."""
        return self.folder / "model"


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
        resume: Go on with an unfinished run of this recipe; start where there is none, do nothing where it has finished.
        overwrite: Begin anew where there is a run.
        observers: Who is told of steps and scores; default: nobody. log.jsonl is always written.

    Returns:
        Where the run is, and its scores.

    Raises:
        TextxferError: One of its kinds, with one line per mistake; nothing that was finished before is lost.
        Interrupted: Ctrl-C or SIGTERM; the run is saved and can be resumed.
    """
    from textxfer.recipe.loading import load_recipe
    from textxfer.recipe.schema import Recipe

    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, *overrides, rows_given=splits is not None)
    elif overrides:
        raise TextxferError("overrides go with a file or a mapping, not with a loaded Recipe")
    return _Run(recipe, splits, resume, overwrite, observers or ()).run()


class _Run:
    """One execution of a recipe, phase by phase."""

    def __init__(
        self, recipe: Recipe, given: Any, resume: bool, overwrite: bool, observers: Sequence[Observer]
    ) -> None:
        from textxfer.training.run_folder import RunFolder

        self.recipe, self.given, self.observers = recipe, given, list(observers)
        self.folder = RunFolder(recipe.folder, resume=resume, overwrite=overwrite)
        self.asked_to_resume = resume
        self.began = time.monotonic()

    def run(self) -> RunResult:
        from textxfer.training.assemble import assemble, prepare
        from textxfer.training.stopping import StopSignal

        if self.asked_to_resume and self.folder.finished:
            self._say(f"{self.folder.path} has finished already")
            return _read_result(self.folder.path)
        self.prepared = prepare(self.recipe, self.given)
        for note in self.prepared.rows.notes:
            self._say(note)
        from textxfer.training.precision import make_accelerator

        self.accelerator = make_accelerator(self.recipe.train.precision)
        with StopSignal(self.accelerator) as self.stop:
            self.training = assemble(self.prepared, self.accelerator, self.stop)
            for note in self.training.notes:
                self._say(note)
            self._tell("on_model", self.training.frozen)
            try:
                return self._train_and_judge()
            finally:
                if self.accelerator.is_main_process:
                    self.folder.release()

    def _train_and_judge(self) -> RunResult:
        from textxfer.training.loop import fit
        from textxfer.training.progress import Progress
        from textxfer.training.stopping import StopRequested

        self.progress = Progress()
        self.identity = self._identity()
        self._open_folder()
        try:
            fit(
                self.training.stepper,
                self.prepared.plan,
                self.progress,
                best=self.training.best,
                stop=self.stop,
                save=self._save_state,
                observers=self.observers,
                name_rows=self._row_ids,
            )
            return self._finish()
        except StopRequested as request:
            self._save_state()
            raise Interrupted(
                request.signal_number,
                f"stopped after step {self.progress.step} of {self.prepared.plan.steps}; saved in {self.folder.path}. "
                "The same command with --resume goes on from here",
            ) from None

    def _identity(self) -> dict[str, str]:
        from textxfer.training import environment

        resolved = self.recipe.resolved(self.folder.path)
        return {
            "recipe": environment.recipe_fingerprint(resolved),
            "data": environment.data_fingerprint(self.prepared.rows.splits),
            "weights": environment.weight_fingerprint(self.training.model),
            "processes": str(self.accelerator.num_processes),
        }

    def _open_folder(self) -> None:
        from textxfer.training import environment, resume
        from textxfer.training.observers import JsonLines

        state = resume.read_state(self.folder.resume_folder) if self.folder.resumes else None
        if state is not None:
            self._refuse_another(state.identity)
            resume.restore(state, self.training.model, self.training.optimizer, self.accelerator.scaler)
            self.progress = state.progress
            if self.training.best is not None:
                self.training.best.weights = dict(state.best)
            self._say(f"goes on after step {self.progress.step}")
        elif self.folder.resumes:
            self._say("there is no whole state to resume from: starts anew")
        if not self.accelerator.is_main_process:
            return
        details = {"seed": self.recipe.train.seed, "checkpoint": self.recipe.checkpoint.id}
        commit = getattr(self.prepared.checkpoint.config, "_commit_hash", None)
        details |= {"checkpoint_revision": commit or self.recipe.checkpoint.revision, "fingerprints": self.identity}
        self.folder.begin(self.recipe.resolved(self.folder.path), environment.describe(self.accelerator) | details)
        self.observers.append(JsonLines(self.folder.path / "log.jsonl", self.progress.step))

    def _refuse_another(self, identity: Mapping[str, str]) -> None:
        for name in ("recipe", "data", "weights"):
            if identity.get(name) != self.identity[name]:
                what = {"weights": "the checkpoint's weights"}.get(name, f"the {name}")
                raise OutputError(
                    f"{self.folder.path}: cannot be resumed: {what} changed since it was interrupted; --overwrite begins anew"
                )
        if identity.get("processes") != self.identity["processes"]:
            self._say("the number of processes changed: the run goes on, but not bit for bit as it would have")

    def _save_state(self) -> None:
        from textxfer.training import resume

        if not self.accelerator.is_main_process:
            return
        best = self.training.best.weights if self.training.best is not None else {}
        state = resume.capture(
            self.training.model, self.training.optimizer, self.progress, best, self.identity, self.accelerator.scaler
        )
        resume.write_state(self.folder.resume_folder, state)

    def _finish(self) -> RunResult:
        from textxfer.modeling.saving import save_model
        from textxfer.publishing.model_card import model_card

        self.accelerator.unwrap_model(self.training.wrapped, keep_fp32_wrapper=False)
        if self.training.best is not None:
            self.training.best.restore()
        clock = time.monotonic()
        splits = [name for name, _ in self.prepared.rows.splits.present() if name != "train"]
        evaluations = {name: self.training.evaluate(name, final=True) for name in splits}
        evaluate_seconds = time.monotonic() - clock
        metrics = self._metrics(evaluations, evaluate_seconds)
        if self.accelerator.is_main_process:
            task, labels = self.prepared.rows.task, self.prepared.rows.labels
            save_model(
                self.training.model, self.prepared.checkpoint.tokenizer, self.folder.path / "model", task.settings()
            )
            if "test" in evaluations:
                self.folder.write_lines("predictions.jsonl", task.records(evaluations["test"].predictions, labels))
            card = model_card(self.recipe, task, labels, metrics, self.prepared.rows.splits)
            self.folder.write_text("model/README.md", card)
            self.folder.finish(metrics)
        self.accelerator.wait_for_everyone()
        return RunResult(self.folder.path, metrics)

    def _metrics(self, evaluations: Mapping[str, Any], evaluate_seconds: float) -> dict[str, Any]:
        scores = {name: evaluation.scores for name, evaluation in evaluations.items()}
        examples = self.prepared.plan.examples(self.progress.step)
        metrics: dict[str, Any] = {"format": 1}
        metrics |= {name: dict(score.values) for name, score in scores.items()}
        if any(score.per_label for score in scores.values()):
            metrics["per_label"] = {name: score.per_label for name, score in scores.items()}
        if any(score.confusion for score in scores.values()):
            metrics["confusion"] = {name: score.confusion for name, score in scores.items() if score.confusion}
        best_step = self.progress.best_step if self.training.best is not None else self.progress.step
        return metrics | {
            "timing": {
                "train_seconds": round(self.progress.seconds, 3),
                "prefix_seconds": 0.0,
                "evaluate_seconds": round(evaluate_seconds, 3),
                "total_seconds": round(time.monotonic() - self.began, 3),
                "examples_per_second": round(examples / max(self.progress.seconds, 1e-9), 3),
            },
            "trainable_parameters": self.training.frozen.trainable,
            "total_parameters": self.training.frozen.total,
            "steps": self.progress.step,
            "best_step": best_step,
            "stopped_early": self.progress.stopped_early,
            "num_examples": {name: len(split) for name, split in self.prepared.rows.splits.present()},
        }

    def _row_ids(self, indices: Any) -> list[str]:
        ids = self.prepared.rows.splits.train.rows["id"]
        return [ids[int(row)] for row in self.prepared.encoded["train"].rows[indices]]

    def _say(self, note: str) -> None:
        self._tell("on_note", note)

    def _tell(self, event: str, *details: Any) -> None:
        from textxfer.training.loop import tell

        tell(self.observers, event, *details)


def _read_result(folder: Path) -> RunResult:
    import json

    return RunResult(folder, json.loads((folder / "metrics.json").read_text()))


def summary(result: RunResult) -> str:
    """Gives the closing lines: a table of scores, where things are, and how to load the model."""
    metrics = result.metrics
    splits = [name for name in ("validation", "test") if name in metrics]
    names = list(dict.fromkeys(name for split in splits for name in metrics[split]))
    width = max(map(len, names), default=0)
    lines = [" " * width + "".join(f"{split:>12}" for split in splits)]
    for name in names:
        cells = (f"{metrics[split][name]:.4f}" if name in metrics[split] else "-" for split in splits)
        lines.append(f"{name:<{width}}" + "".join(f"{cell:>12}" for cell in cells))
    rows = ", ".join(f"{count} {split}" for split, count in metrics["num_examples"].items())
    timing = metrics["timing"]
    lines += [
        f"rows: {rows}; best step {metrics['best_step']} of {metrics['steps']}; "
        f"{timing['train_seconds']:.0f} s of training, {timing['total_seconds']:.0f} s in all",
        f"run:   {result.folder}",
        f"model: {result.model}",
        f'use:   python -c "import textxfer; print(textxfer.pipeline({str(result.model)!r})({_example(result)}))"',
    ]
    return "\n".join(lines)


def _example(result: RunResult) -> str:
    return "'your text'" if "per_label" in result.metrics else "question='...', context='...'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of a run to a parser."""
    parser.add_argument("recipe", help="a recipe (YAML)")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="fields to change: train.epochs=1")
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
        print(summary(result))
    return 0


def _is_first_process() -> bool:
    return int(os.environ.get("RANK", "0")) == 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and gives its exit code: 0, 2 for a user's error, 130 or 143 for a signal."""
    from textxfer.commands import run_command

    parser = argparse.ArgumentParser(prog="python -m textxfer.run", description="Fine-tune, judge and save a model.")
    add_arguments(parser)
    return run_command(execute, parser.parse_intermixed_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
