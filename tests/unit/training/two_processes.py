"""What two processes do together, each writing down what it saw.

Run by test_two_processes.py under torchrun as `two_processes.py JOB_FILE FOLDER`, one start for all jobs, since
starting is what takes time.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.unit.training.steps import our_step, ready, train_through
from textxfer.errors import OutputError
from textxfer.run import leave
from textxfer.training import roads
from textxfer.training.precision import make_accelerator
from textxfer.training.processes import on_main
from textxfer.training.stopping import StopRequested, StopSignal

Write = Callable[[str, Any], None]


def steps(jobs: list[dict[str, Any]], write: Write) -> None:
    """Takes the first step of every job; each process writes its own gradients and weights."""
    for job in jobs:
        run = ready(Path(job["checkpoint"]), job["rows"], **job["sections"])
        result = our_step(run, np.array(job["indices"]))
        shares = run.accelerator.reduce(torch.tensor(result["loss"]), reduction="mean")
        write(job["name"], result | {"loss": float(shares)})


def evaluations(jobs: list[dict[str, Any]], write: Write) -> None:
    """Evaluates the validation rows of every job."""
    for job in jobs:
        run = ready(Path(job["checkpoint"]), job["rows"], **job["sections"])
        found = run.training.judge.final("validation") if job["final"] else run.training.judge("validation")
        values = {"scores": dict(found.scores.values), "loss": found.scores.loss, "ids": list(found.predictions.ids)}
        write(job["name"], values | {"probabilities": found.predictions.probabilities.tolist()})


def few_rows(job: dict[str, Any], write: Write) -> None:
    """Chooses a road, and carries a contrastive start out."""
    roads.LEAST_COMPARED = 8
    run = ready(Path(job["checkpoint"]), job["rows"], small_data="auto", **job["sections"])
    road = roads.choose_road(run.prepared, run.accelerator).to_dict()
    few, without = job["contrastive"], job["without"]
    run = ready(Path(job["checkpoint"]), job["rows"], small_data=few, without=without, **job["sections"])
    weights = {name: value.detach().clone() for name, value in run.training.model.named_parameters()}
    write(job["name"], {"road": road, "weights": weights})


def phases(job: dict[str, Any], write: Write) -> None:
    """Takes all steps of a run of several phases."""
    run = ready(Path(job["checkpoint"]), job["rows"], without=("epochs",), **job["sections"])
    write(job["name"], train_through(run)[-1])


def stop(write: Write) -> None:
    """Sends a signal to the second process only; both are to stop at the same step."""
    accelerator = make_accelerator("fp32")
    step = 0
    with StopSignal(accelerator) as listening:
        try:
            for step in range(1, 6):
                if step == 3 and accelerator.process_index == 1:
                    os.kill(os.getpid(), signal.SIGTERM)
                    os.kill(os.getpid(), signal.SIGTERM)  # as a launcher does, that passes on what the terminal sent
                listening.check_alone()
                listening.check()
        except StopRequested as request:
            write("stop", {"step": step, "signal": request.signal_number})


def failure(write: Write) -> None:
    """Fails on the main process only; both are to know."""

    def fail() -> None:
        raise OutputError("the disk is full", "and so is the other")

    accelerator = make_accelerator("fp32")
    result = on_main(accelerator, lambda: {"of": accelerator.process_index})
    try:
        on_main(accelerator, fail)
    except OutputError as error:
        write("failure", {"result": result, "message": str(error), "code": error.exit_code})


def main() -> None:
    jobs, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    rank = int(os.environ["RANK"])

    def write(name: str, value: Any) -> None:
        torch.save(value, folder / f"{name}.{rank}.pt")

    assert make_accelerator("fp32").num_processes == 2
    steps(jobs["steps"], write)
    evaluations(jobs["evaluations"], write)
    few_rows(jobs["few_rows"], write)
    phases(jobs["phases"], write)
    stop(write)
    failure(write)
    leave(0)


if __name__ == "__main__":
    main()
