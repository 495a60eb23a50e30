"""`Job`: one run of one recipe, from its first step to its report."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textxfer.errors import TextxferError

if TYPE_CHECKING:
    from pathlib import Path

    from accelerate import Accelerator

    from textxfer.data.findings import Findings
    from textxfer.evaluation.overfitting import Overfitting
    from textxfer.modeling.lora import Updates
    from textxfer.recipe.schema import Recipe
    from textxfer.training.assemble import Training
    from textxfer.training.choices import Chosen
    from textxfer.training.judge import Conclusion
    from textxfer.training.keeper import Keeper
    from textxfer.training.observers import Observer
    from textxfer.training.prepare import Prepared
    from textxfer.training.run_folder import RunFolder
    from textxfer.training.step import Stepper
    from textxfer.training.stopping import StopSignal


@dataclass(frozen=True)
class Job:
    """A run that has everything it needs."""

    recipe: Recipe
    prepared: Prepared
    training: Training
    accelerator: Accelerator
    keeper: Keeper
    stop: StopSignal
    observers: list[Observer]
    began: float
    findings: Findings | None = None
    choices: Chosen | None = None

    def run(self) -> dict[str, Any]:
        """Begins, or goes on from what is saved; trains to the end, judges and saves. Gives what metrics.json says."""
        from textxfer.training.processes import on_main

        stepper = self._begin()
        earlier = self.keeper.progress.seconds
        self._train(stepper)
        updates = self._settle_weights()
        conclusion, metrics = self._conclude(earlier)
        on_main(self.accelerator, lambda: self._write(conclusion, metrics, updates))
        on_main(self.accelerator, self._look_for_suspects)
        on_main(self.accelerator, lambda: report(self.keeper.folder.path, self.observers))
        return metrics

    def _begin(self) -> Stepper:
        """Does all that comes before the first step; only then is anything written or moved."""
        from textxfer.recipe.public import hashes_of
        from textxfer.training import environment
        from textxfer.training.observers import tell

        place, splits = self.keeper.folder.path, self.prepared.rows.splits
        asked, done = self.recipe.resolved(place), self.prepared.recipe.resolved(place)
        identity = environment.identity(asked, done, splits, self.training.model, self.accelerator)
        for note in self.keeper.open(identity):
            tell(self.observers, "on_note", note)
        progress, is_new = self.keeper.progress, not self.keeper.opened
        if is_new:
            progress.phase = self.prepared.plan.phase(0)
        started = self.training.start(is_new, progress.phase, self.observers)
        progress.probe_seconds += started.probe_seconds
        for note in started.notes:
            tell(self.observers, "on_note", note)
        about = environment.describe(self.accelerator, self.recipe.train.seed, self.prepared.checkpoint)
        if self.accelerator.is_main_process:
            about["files"] = hashes_of(self.prepared.recipe)
        choices = self.choices.to_dict(place) if self.choices is not None else None
        self.keeper.begin(done, about | {"fingerprints": identity}, choices)
        return started.stepper

    def _train(self, stepper: Stepper) -> None:
        from textxfer.training.changeover import Changeover
        from textxfer.training.keeper import SECONDS_BETWEEN_SAVES
        from textxfer.training.loop import fit
        from textxfer.training.observers import JsonLines

        log: list[Observer] = []
        if self.accelerator.is_main_process:
            log.append(JsonLines(self.keeper.folder.path / "log.jsonl"))
        if self.recipe.train.trackers:
            from textxfer.training.trackers import Trackers

            log.append(Trackers(self.accelerator, self.recipe.name, self.recipe.resolved(self.keeper.folder.path)))
        plan, training, progress = self.prepared.plan, self.training, self.keeper.progress
        observers = [*self.observers, *log]
        phases = Changeover(training.enter, plan, training.frozen, observers, stepper)
        phases.begin(progress.phase)
        least_seconds = SECONDS_BETWEEN_SAVES if self.recipe.train.save_every == "epoch" else 0.0
        fit(
            stepper,
            plan,
            progress,
            best=training.best,
            watch=training.watch,
            enter=phases,
            check_stop=self.stop.check,
            save=lambda: self.keeper.save(least_seconds),
            observers=observers,
            name_rows=self._row_ids,
        )
        phases.leave()

    def _settle_weights(self) -> Updates | None:
        """Makes the model the one that is judged and saved: its best weights, LoRA's updates in them; gives those."""
        from textxfer.modeling.lora import merge_lora

        if self.training.best is not None:
            self.training.best.restore()
        return merge_lora(self.training.model) if self.prepared.recipe.lora is not None else None

    def _conclude(self, earlier_seconds: float) -> tuple[Conclusion, dict[str, Any]]:
        """Calibrates and judges the best weights; gives that, and what metrics.json says of it."""
        from textxfer.training.observers import tell
        from textxfer.training.results import results

        training, progress, rows = self.training, self.keeper.progress, self.prepared.rows
        clock = time.monotonic()
        conclusion = training.judge.conclude()
        for note in conclusion.finished.notes if conclusion.finished is not None else ():
            tell(self.observers, "on_note", note)
        now = time.monotonic()
        metrics = results(
            conclusion,
            labels=rows.labels,
            overfitting=self._overfitting(),
            leaked=self.findings.leaked_test_rows.tolist() if self.findings is not None else (),
            plan=self.prepared.plan,
            progress=progress,
            frozen=training.frozen,
            splits=rows.splits,
            best_step=progress.best_step if training.best is not None else progress.step,
            prefix_seconds=training.network.seconds,
            evaluate_seconds=now - clock,
            total_seconds=earlier_seconds + now - self.began,
        )
        return conclusion, metrics

    def _overfitting(self) -> Overfitting | None:
        from textxfer.evaluation.overfitting import diagnose

        best = self.training.best
        if best is None or self.prepared.plan.steps == 0:
            return None
        lines = self.keeper.folder.read_lines("log.jsonl")
        greater = best.sign > 0
        validation = self.prepared.rows.splits.validation
        rows = len(validation) if validation is not None else None
        step = self.keeper.progress.best_step
        return diagnose(lines, best.select_by, step, rows=rows, greater_is_better=greater)

    def _write(self, conclusion: Conclusion, metrics: Mapping[str, Any], updates: Updates | None) -> None:
        from textxfer.evaluation.verdict import with_texts
        from textxfer.modeling.saving import save_model
        from textxfer.publishing.verify import VERIFICATION, remember

        folder, rows = self.keeper.folder, self.prepared.rows
        model, tokenizer = self.training.model, self.prepared.checkpoint.tokenizer
        settings = rows.task.settings()
        if rows.labels is not None:
            settings["pairs"] = "text_pair" in rows.splits.train.rows.column_names
        if conclusion.finished is not None:
            settings |= conclusion.finished.settings
        save_model(model, tokenizer, folder.path / "model", settings)
        if updates is not None and self.prepared.recipe.lora is not None and not self.prepared.recipe.lora.merge:
            self._write_adapter(updates)
        judged = rows.splits.test or rows.splits.validation or rows.splits.train
        said = remember(model, tokenizer, judged.rows, rows.labels, rows.task.max_length)
        folder.write_json(VERIFICATION, said.to_dict())
        if "test" in conclusion.evaluations and rows.splits.test is not None:
            records = rows.task.records(conclusion.evaluations["test"].predictions, rows.labels)
            folder.write_lines("predictions.jsonl", with_texts(records, rows.splits.test.rows))
        if self.findings is not None:
            folder.write_json("findings.json", self.findings.to_dict())
        write_card(folder, self.observers, metrics)
        folder.finish(metrics)

    def _write_adapter(self, updates: Updates) -> None:
        from textxfer.modeling.adapter import save_adapter
        from textxfer.training.assemble import lora_of

        checkpoint, lora = self.prepared.checkpoint, self.prepared.recipe.lora
        assert lora is not None
        save_adapter(
            self.training.model,
            updates,
            lora_of(lora),
            self.keeper.folder.path / "adapter",
            base=checkpoint.location,
            revision=checkpoint.revision,
            auto_class=self.prepared.rows.task.auto_class,
            tokenizer=checkpoint.tokenizer,
        )

    def _look_for_suspects(self) -> None:
        """Lists training rows whose label is probably wrong; the run has finished, and stands whatever comes of it."""
        from textxfer.evaluation.suspects import is_cheap
        from textxfer.training.observers import tell
        from textxfer.training.run_folder import SUSPECTS
        from textxfer.training.scrutiny import find_suspects, write_suspects
        from textxfer.training.stopping import StopRequested

        prepared, wanted = self.prepared, self.recipe.suspects
        if wanted == "off" or prepared.rows.task.predicts != "labels":
            return
        train, labels = prepared.encoded["train"], prepared.rows.labels
        assert labels is not None
        epochs = self.keeper.progress.step / prepared.plan.steps_per_epoch
        longest = max(zip(prepared.plan.phases, self.training.frozen, strict=True), key=lambda each: each[0].steps)
        if wanted == "auto" and not is_cheap(self.training.model, train, labels.counts, longest[1], epochs):
            return
        began = time.monotonic()
        try:
            found = find_suspects(
                prepared, autocast=self.accelerator.autocast, between=lambda share: self.stop.check_alone()
            )
            write_suspects(found, self.keeper.folder.path)
        except StopRequested:
            tell(self.observers, "on_note", "the look for suspects was stopped; the run has finished")
            return
        except Exception as error:
            tell(self.observers, "on_note", f"no look for suspects ({type(error).__name__}: {error})")
            return
        seconds = time.monotonic() - began
        tell(self.observers, "on_note", f"suspects: {found.told} ({SUSPECTS}; looking took {seconds:.0f} s)")

    def _row_ids(self, indices: Any) -> list[str]:
        ids = self.prepared.rows.splits.train.rows["id"]
        return [ids[int(row)] for row in self.prepared.encoded["train"].rows[indices]]


def report(folder: Path, observers: list[Observer]) -> None:
    """Writes report.html of a finished run, or of several seeds; where that fails, the user is told, no more."""
    from textxfer.report.html import write_report

    with _without_loss(folder, observers, "report"):
        write_report(folder)


def push(folder: Path, recipe: Recipe, observers: list[Observer]) -> None:
    """Pushes the model of a finished run, if its recipe says so.

    Raises:
        PushError: It cannot be pushed; the run stands all the same.
    """
    from textxfer.publishing.hub import push_finished
    from textxfer.training.observers import tell

    pushed = push_finished(folder, recipe.hub)
    if pushed is not None:
        tell(observers, "on_note", f"pushed to {pushed.url}" if pushed.new else f"{pushed.url} has all of it already")


def write_card(folder: RunFolder, observers: list[Observer], metrics: Mapping[str, Any] | None = None) -> None:
    """Writes the model card; where that fails, the run stands all the same, and the user is told.

    Args:
        folder: Of the run, with everything in it but metrics.json and the report.
        observers: Who is told.
        metrics: What metrics.json will say, while it is not there.
    """
    from textxfer.publishing.model_card import README, model_card

    with _without_loss(folder.path, observers, "model card"):
        folder.write_text(f"model/{README}", model_card(folder.path, metrics))


@contextmanager
def _without_loss(folder: Path, observers: list[Observer], what: str) -> Iterator[None]:
    """Tells of whatever goes wrong: what is finished must not be lost for it."""
    from textxfer.training.observers import tell

    try:
        yield
    except Exception as error:
        kind = "" if isinstance(error, TextxferError) else f"{type(error).__name__}: "
        tell(observers, "on_note", f"no {what} was written ({kind}{error}); try `textxfer report {folder}`")
