"""`adapt`: a checkpoint and texts to an adapted checkpoint, in a folder like a run's that can be resumed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textxfer.adaptation.work import Work, digest, head_plan, notes
from textxfer.errors import OutputError, TrainingDiverged
from textxfer.modeling.checkpoint import NO_LIMIT
from textxfer.recipe.sections import Adapt
from textxfer.records import Scores
from textxfer.training.observers import JsonLines, Observer, tell
from textxfer.training.plan import Plan
from textxfer.training.run_folder import ENVIRONMENT, METRICS, RunFolder

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

    from textxfer.adaptation.network import TextNetwork
    from textxfer.modeling.build import Built
    from textxfer.training.best import Best
    from textxfer.training.keeper import Keeper
    from textxfer.training.progress import Progress
    from textxfer.training.stopping import StopSignal


@dataclass(frozen=True)
class Adapted:
    """An adapted checkpoint.

    Attributes:
        folder: With `model` and metrics.json in it.
        metrics: What metrics.json says: `metrics["after"]["perplexity"]`.
        reused: Whether it was there already.
    """

    folder: Path
    metrics: dict[str, Any]
    reused: bool = False

    @property
    def model(self) -> Path:
        """The checkpoint's folder."""
        return self.folder / "model"

    def __str__(self) -> str:
        before, after = (self.metrics[name]["perplexity"] for name in ("before", "after"))
        held_back = self.metrics["texts"]["held_back"]
        return f"perplexity of {held_back:,} texts held back: {before:.2f} before, {after:.2f} after"


def adapt(
    work: Work,
    folder: Path,
    accelerator: Accelerator,
    *,
    resume: bool = False,
    overwrite: bool = False,
    observers: Sequence[Observer] = (),
) -> Adapted:
    """Goes on with a checkpoint's pretraining, and saves it; the weights with the best perplexity are kept.

    Args:
        work: As `prepare` gives it.
        folder: Where to.
        accelerator: Says on which device, in which precision.
        resume: Go on with an unfinished adaptation; start where there is none, do nothing where it is finished.
        overwrite: Begin anew where there is one.
        observers: Who is told of steps and scores.

    Raises:
        TextxferError: One of its kinds.
    """
    place = RunFolder(folder, resume=resume, overwrite=overwrite)
    try:
        if resume and place.finished:
            if place.read_json(ENVIRONMENT).get("fingerprints", {}).get("recipe") != work.key:
                raise OutputError(
                    f"{folder}: holds another adaptation; --overwrite begins anew, -o names another folder"
                )
            return Adapted(folder, place.read_json(METRICS), reused=True)
        return _adapt(work, place, accelerator, list(observers))
    finally:
        place.release()
        accelerator.free_memory()  # it holds on to the model and the moments, which a task has no use for


def _adapt(work: Work, place: RunFolder, accelerator: Accelerator, observers: list[Observer]) -> Adapted:
    from textxfer.adaptation.network import TextNetwork
    from textxfer.modeling.freezing import freeze
    from textxfer.modeling.language_model import build_language_model
    from textxfer.training.best import Best
    from textxfer.training.keeper import Keeper
    from textxfer.training.optimizer import adamw
    from textxfer.training.stopping import StopSignal

    settings, began = work.settings, time.monotonic()
    stop = StopSignal(accelerator)
    built = build_language_model(work.checkpoint, settings.seed)
    model: Any = built.model.to(accelerator.device)
    pad = work.checkpoint.tokenizer.pad_token_id
    frozen = freeze(model, settings.freeze.layers, settings.freeze.embeddings)
    make = partial(TextNetwork, model, encoded=work.encoded, pad_token_id=pad, objective=work.objective)
    network = make(frozen, seed=settings.seed)
    optimizer = adamw(model, settings.learning_rate, settings.weight_decay)
    best = Best(model, lambda: network.measure(accelerator, stop), "perplexity", greater_is_better=False)
    keeper = Keeper(place, _Training(model, optimizer, best), accelerator)
    for note in notes(work, built):
        tell(observers, "on_note", note)
    tell(observers, "on_model", frozen)
    run = _Run(work, built, network, accelerator, keeper, stop, observers, began)
    with stop, keeper.explaining(work.plan.steps, "adaptation stopped"):
        try:
            return run.to_the_end(optimizer, best)
        except TrainingDiverged as error:
            raise TrainingDiverged(*map(_of_adapt, error.lines)) from error


def _of_adapt(line: str) -> str:
    """Gives a sentence about fields of `train` as one about those of `adapt`, which has all but the precision."""
    for name in Adapt.model_fields:
        line = line.replace(f"train.{name}", f"adapt.{name}")
    return line


@dataclass(frozen=True)
class _Training:
    """What `Keeper` keeps."""

    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    best: Best | None


@dataclass(frozen=True)
class _Run:
    """An adaptation with its weights."""

    work: Work
    built: Built
    network: TextNetwork
    accelerator: Accelerator
    keeper: Keeper
    stop: StopSignal
    observers: list[Observer]
    began: float

    def to_the_end(self, optimizer: torch.optim.Optimizer, best: Best) -> Adapted:
        from textxfer.training.processes import on_main

        before = self._begin()
        tell(self.observers, "on_note", f"perplexity of the texts held back, before: {before['perplexity']:.2f}")
        earlier, progress = self.keeper.progress.seconds, self.keeper.progress
        log = [JsonLines(self.keeper.folder.path / "log.jsonl")] if self.accelerator.is_main_process else []
        self._fit(
            self.network,
            optimizer,
            self.work.plan,
            progress,
            best=best,
            save=self._save,
            observers=self.observers + log,
        )
        best.restore()
        metrics = self._metrics(before, self.network.measure(self.accelerator, self.stop), earlier)
        on_main(self.accelerator, lambda: self._write(metrics))
        return Adapted(self.keeper.folder.path, metrics)

    def _begin(self) -> dict[str, float]:
        """Opens the folder; a new head learns alone before a first step, and again never. Gives the scores before."""
        from textxfer.modeling.device import reuse_freed_memory
        from textxfer.training import environment

        work, model = self.work, self.built.model
        identity = {
            "recipe": work.key,
            "resolved": work.key,
            "data": digest(work.texts.train, work.texts.held_back),
            "weights": environment.weight_fingerprint(model),
            "processes": str(self.accelerator.num_processes),
        }
        for note in self.keeper.open(identity):
            tell(self.observers, "on_note", note)
        if self.accelerator.device.type == "cpu":
            reuse_freed_memory(model)
        if self.keeper.opened:
            return dict(self.keeper.folder.read_json(ENVIRONMENT)["before"])
        if self.built.new:
            self._train_head()
        before = _scored(self.network.measure(self.accelerator, self.stop))
        about = environment.describe(self.accelerator, work.settings.seed, work.checkpoint)
        recipe = {"checkpoint": work.checkpoint.id, "adapt": work.settings.model_dump(mode="json")}
        self.keeper.begin(recipe, about | {"fingerprints": identity, "before": before})
        return before

    def _train_head(self) -> None:
        """Trains what is new on the fixed backbone, so that its noise does not tear at what was pretrained."""
        from textxfer.adaptation.network import TextNetwork
        from textxfer.modeling.freezing import freeze
        from textxfer.training.optimizer import adamw
        from textxfer.training.progress import Progress

        model, plan = self.built.model, head_plan(self.work)
        trained = {parameter: parameter.requires_grad for parameter in model.parameters()}
        frozen = freeze(model, "all", embeddings=True)
        pad, objective = self.network.pad_token_id, self.work.objective
        network = TextNetwork(model, frozen, self.work.encoded, pad, objective, self.work.settings.seed)
        optimizer = adamw(model, plan.learning_rate, self.work.settings.weight_decay)
        self._fit(network, optimizer, plan, Progress(), observers=self.observers)
        for parameter, was_trained in trained.items():
            parameter.requires_grad_(was_trained)

    def _fit(self, network: TextNetwork, optimizer: Any, plan: Plan, progress: Progress, **how: Any) -> None:
        from textxfer.training.loop import fit
        from textxfer.training.step import Stepper

        network.module, wrapped = self.accelerator.prepare(network.module, optimizer)
        loss, seed = self.work.objective.loss, self.work.settings.seed
        stepper = Stepper(network, wrapped, loss, self.accelerator, seed=seed)
        fit(stepper, plan, progress, check_stop=self.stop.check, name_rows=self._names, **how)

    def _names(self, places: Any) -> list[str]:
        return [f"text {row + 1}" for row in self.work.encoded["train"].rows[places]]

    def _save(self) -> None:
        from textxfer.training.keeper import SECONDS_BETWEEN_SAVES

        self.keeper.save(SECONDS_BETWEEN_SAVES)

    def _metrics(self, before: dict[str, float], after: Scores, earlier: float) -> dict[str, Any]:
        work, progress = self.work, self.keeper.progress
        seconds = {"train_seconds": progress.seconds, "total_seconds": earlier + time.monotonic() - self.began}
        sizes = self.network.frozen
        return {
            "format": 1,
            "objective": work.objective.name,
            "before": before,
            "after": _scored(after),
            "new_head": bool(self.built.new),
            "head_steps": head_plan(work).steps if self.built.new else 0,
            "steps": progress.step,
            "best_step": progress.best_step,
            "texts": {"train": len(work.texts.train), "held_back": len(work.texts.held_back)},
            "tokens": {"train": len(work.encoded["train"].input_ids)},
            "trainable_parameters": sizes.trainable,
            "total_parameters": sizes.total,
            "timing": {name: round(value, 3) for name, value in seconds.items()},
        }

    def _write(self, metrics: dict[str, Any]) -> None:
        from textxfer.modeling.saving import save_model

        checkpoint, folder = self.work.checkpoint, self.keeper.folder
        about = {
            "from": checkpoint.id,
            "objective": self.work.objective.name,
            "perplexity": metrics["after"]["perplexity"],
        }
        length = checkpoint.most_tokens or NO_LIMIT  # a run's own length is none
        save_model(
            self.built.model, checkpoint.tokenizer, folder.path / "model", {"adapted": about, "max_length": length}
        )
        folder.finish(metrics)


def _scored(scores: Scores) -> dict[str, float]:
    assert scores.loss is not None
    return {"perplexity": scores.values["perplexity"], "loss": scores.loss}
