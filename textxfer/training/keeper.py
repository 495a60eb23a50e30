"""`Keeper`: keeps an unfinished run on disk, so that it can be gone on with."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from textxfer.errors import Interrupted, OutputError, TextxferError
from textxfer.training import resume
from textxfer.training.best import Best
from textxfer.training.environment import is_recipe_of, precision_of
from textxfer.training.observers import JsonLines
from textxfer.training.processes import on_main
from textxfer.training.progress import Progress
from textxfer.training.run_folder import ENVIRONMENT, RunFolder
from textxfer.training.stopping import StopRequested

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

SECONDS_BETWEEN_SAVES = 60.0
"""`save_every: epoch` saves at most this often; a number of steps is kept to exactly."""


class Trained(Protocol):
    """What is trained, and kept while it is unfinished."""

    @property
    def model(self) -> torch.nn.Module:
        """The model."""
        ...

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """Of its trained weights."""
        ...

    @property
    def best(self) -> Best | None:
        """The best weights so far."""
        ...


class Keeper:
    """Opens a run's folder, and saves the run's state in it. The main process alone writes; its failure stops all.

    Args:
        folder: Of the run.
        training: Whose state is saved.
        accelerator: Of the run.

    Attributes:
        progress: How far the run is; `open` finds it.
        saved_step: Step of the newest state, or None.
        opened: Whether the folder holds this run.
    """

    def __init__(self, folder: RunFolder, training: Trained, accelerator: Accelerator) -> None:
        self.folder, self.training, self.accelerator = folder, training, accelerator
        self.named = dict(training.model.named_parameters())
        self.progress = Progress()
        self.saved_step: int | None = None
        self.saved_at = time.monotonic()
        self.opened = False

    def open(self, identity: Mapping[str, str]) -> list[str]:
        """Takes the folder for this process, and restores the saved state where there is one to go on from.

        Args:
            identity: What must be the same for the run to be the same: hashes of recipe, data and weights.

        Returns:
            What the user should know.

        Raises:
            OutputError: The folder cannot be used, or holds a run of another recipe, data set or checkpoint.
        """
        resumes = on_main(self.accelerator, self.folder.claim)
        notes = self._refuse_another(identity) if resumes else []
        state = self._read() if resumes else None
        if state is None:
            if resumes:
                notes.append(f"{self.folder.path}: holds no whole saved state: the run starts anew")
        else:
            self._restore(state)
            notes.append(f"goes on after step {self.progress.step}")
            self.opened = True
        return notes

    def begin(
        self, recipe: Mapping[str, Any], environment: Mapping[str, Any], choices: Mapping[str, Any] | None = None
    ) -> None:
        """Puts a new run in the folder, just before its first step; does nothing where a run goes on.

        Args:
            recipe: Resolved, for recipe.yaml.
            environment: For environment.json.
            choices: For choices.json.

        Raises:
            OutputError: The folder cannot be written.
        """
        if not self.opened:
            on_main(self.accelerator, lambda: self.folder.begin(recipe, environment, choices))
        self.opened = True

    def save(self, least_seconds: float = 0.0) -> None:
        """Saves the state of the run between two steps.

        Args:
            least_seconds: Does nothing where the last save is not longer ago.

        Raises:
            OutputError: It cannot be written; the states saved before are still there.
        """
        if on_main(self.accelerator, lambda: self._write(least_seconds)):
            self.saved_step = self.progress.step

    @contextmanager
    def explaining(self, steps: int, what: str = "stopped") -> Iterator[None]:
        """Saves a run that is asked to stop, and adds to whatever ends it early what is saved and how to go on.

        Args:
            steps: Of the whole run.
            what: What is said of one that was asked to stop.
        """
        try:
            with self._saving(steps, what):
                yield
        except KeyboardInterrupt:
            raise Interrupted(signal.SIGINT, "stopped at once", *self._what_is_left()) from None
        except TextxferError as error:
            error.reword(*error.lines, *self._what_is_left())
            raise
        except Exception as error:
            for line in self._what_is_left():
                error.add_note(line)
            raise

    @contextmanager
    def _saving(self, steps: int, what: str) -> Iterator[None]:
        try:
            yield
        except StopRequested as request:
            if not self.opened:
                raise Interrupted(request.signal_number, "stopped before the first step; nothing was written") from None
            self.save()
            at = f"{what} after step {self.progress.step} of {steps}"
            raise Interrupted(request.signal_number, at) from None

    def _what_is_left(self) -> list[str]:
        if not self.opened:
            return []
        path, previous = self.folder.path, self.folder.previous
        if self.saved_step is None:
            lines = [f"no state of the run was saved; --overwrite begins it anew in {path}"]
        else:
            lines = [
                f"the run up to step {self.saved_step} is saved in {path}: --resume goes on from there with the same "
                "recipe, --overwrite begins anew"
            ]
        if previous.exists():
            lines.append(f"the run before it is kept in {previous} until a new one has finished")
        return lines

    def _restore(self, state: resume.State) -> None:
        resume.restore(state, self.training.model, self.training.optimizer, self.accelerator.scaler)
        if self.training.best is not None:
            self.training.best.weights = dict(state.best)
        self.progress, self.saved_step = state.progress, state.progress.step
        log = JsonLines(self.folder.path / "log.jsonl")
        on_main(self.accelerator, lambda: log.cut_after(self.progress.step, self.progress.evaluated_step))

    def _write(self, least_seconds: float) -> bool:
        if time.monotonic() - self.saved_at < least_seconds:
            return False
        best = self.training.best.weights if self.training.best is not None else {}
        scaler = self.accelerator.scaler
        state = resume.capture(self.named, self.training.optimizer, self.progress, best, scaler)
        resume.write_state(self.folder.resume_folder, state)
        self.saved_at = time.monotonic()
        return True

    def _read(self) -> resume.State | None:
        """Gives the newest whole state, the same on all processes."""
        state = resume.read_state(self.folder.resume_folder)
        if self.accelerator.num_processes > 1:
            from accelerate.utils import gather_object

            if len(set(gather_object([state.progress.step if state else None]))) > 1:
                raise OutputError(
                    f"{self.folder.path}: the processes do not see the same saved state; it must be a folder that all "
                    "machines share"
                )
        return state

    def _refuse_another(self, identity: Mapping[str, str]) -> list[str]:
        known = self.folder.read_json(ENVIRONMENT).get("fingerprints", {})
        changed = {
            "recipe": not is_recipe_of(identity["recipe"], known),
            "data": known.get("data") != identity["data"],
            "checkpoint's weights": known.get("weights") != identity["weights"],
        }
        if any(changed.values()):
            what = next(name for name, is_other in changed.items() if is_other)
            raise OutputError(
                f"{self.folder.path}: cannot be resumed: the {what} changed since the run began; --overwrite "
                "begins anew"
            )
        notes, begun = [], self.folder.read_json(ENVIRONMENT)
        if known.get("processes") != identity["processes"]:
            notes.append("the number of processes changed")
        was = f"{begun.get('precision')} on {begun.get('device', {}).get('type')}"
        now = f"{precision_of(self.accelerator)} on {self.accelerator.device.type}"
        if was != now:
            notes.append(f"it began in {was} and goes on in {now}")
        return [f"{note}: the run goes on, but not bit for bit as it would have" for note in notes]
