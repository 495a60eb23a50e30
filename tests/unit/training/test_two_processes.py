"""Two processes make the step that one makes, and stop, fail and evaluate together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.training.helpers import rows
from tests.unit.training.plain import span_loss
from tests.unit.training.steps import RATE, ready, train_through
from tests.unit.training.test_step import ALL, assert_same_step, plain, plain_step, without_validation
from textxfer.recipe.small_data_section import unused_fields

ROOT = Path(__file__).parents[3]
QUESTIONS = {"name": "question_answering", "max_length": 60, "stride": 8}

FEW: dict[str, Any] = {"dataset": {"validation_fraction": 0}, "head": {"name": "native", "start": "probe"}}
CONTRASTIVE = {"road": "contrastive", "steps": 3, "learning_rate": 1e-3}
UNUSED = unused_fields("contrastive", "native", own_rate=True)

Pair = tuple[dict[str, Any], dict[str, Any]]


def torchrun(*arguments: str, timeout: int = 300, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a script in two processes on the CPU."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    if torch.cuda.is_available():  # elsewhere the processes must find each other without being told
        environment["ACCELERATE_USE_CPU"] = "1"
    return subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=timeout, **options
    )


def step_jobs(
    checkpoints: Callable[[str], Path], questions: list[dict[str, Any]], reviewed: Path
) -> list[dict[str, Any]]:
    """Gives the steps that are compared: name, family, rows, micro-batch size, which rows."""
    jobs = []
    for name, family, size, indices in (
        ("whole", "bert", "auto", range(32)),
        ("micro_batches", "bert", 4, range(32)),
        ("uneven_micro_batches", "bert", 5, range(32)),
        ("uneven", "bert", 2, range(7)),
        ("fewer_rows_than_processes", "bert", "auto", range(1)),
        ("gpt2", "gpt2", 3, range(8)),
        ("t5", "t5", 3, range(7)),
    ):
        train = {"batch_size": len(indices), "micro_batch_size": min(size, len(indices)) if size != "auto" else size}
        sections = without_validation(train=train)
        jobs.append({"name": name, "checkpoint": str(checkpoints(family)), "rows": rows(32), "sections": sections,
                     "indices": list(indices)})  # fmt: skip
    frozen = jobs[0] | {"name": "stored_states"}
    frozen["sections"] = without_validation(train={"batch_size": 32, "epochs": 2}, freeze={"layers": 1})
    fitted = jobs[0] | {"name": "probe"}
    fitted["sections"] = without_validation(train={"batch_size": 32}, head={"start": "probe"})
    answers = jobs[0] | {"name": "answers", "rows": questions, "indices": list(range(20))}
    answers["sections"] = without_validation(task=QUESTIONS, train={"batch_size": 20, "micro_batch_size": 7})
    weighed = jobs[1] | {"name": "weighed"}
    weighed["sections"] = {"dataset": {"validation_fraction": 0, "drop": str(reviewed)}, "train": {"batch_size": 32}}
    return [*jobs, frozen, fitted, answers, weighed]


def evaluation_jobs(bert: Path) -> list[dict[str, Any]]:
    """Gives validation splits of even, odd and single rows."""
    jobs = []
    for count, final in ((41, True), (41, False), (2, True), (400, True)):
        data = {"train": rows(8), "validation": rows(count, 50)}
        about = {"name": f"evaluation_{count}_{final}", "sections": {}, "final": final}
        jobs.append(about | {"checkpoint": str(bert), "rows": data})
    return jobs


def phases_job(bert: Path) -> dict[str, Any]:
    """Gives a run whose layers thaw, with stored states before and after, and are frozen again."""
    layers = [("all", 2), (1, 3), (0, 2), (1, 2)]
    phases = [{"freeze": {"layers": count}, "steps": steps} for count, steps in layers]
    sections = without_validation(train={"batch_size": 24, "phases": phases})
    return {"name": "phases", "checkpoint": str(bert), "rows": rows(32), "sections": sections}


@pytest.fixture(scope="module")
def jobs(checkpoints: Callable[[str], Path], bert: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All jobs, done."""
    folder = tmp_path_factory.mktemp("two")
    questions = many_questions()
    reviewed = folder / "reviewed.csv"
    reviewed.write_text("id,weight\ntrain-1,0.2\ntrain-4,0.5\ntrain-30,0.1\n")
    few: dict[str, Any] = {"name": "few_rows", "checkpoint": str(bert), "rows": rows(24), "sections": FEW}
    few |= {"contrastive": CONTRASTIVE, "without": UNUSED}
    made = {"steps": step_jobs(checkpoints, questions, reviewed), "evaluations": evaluation_jobs(bert), "few_rows": few}
    made["phases"] = phases_job(bert)
    (folder / "jobs.json").write_text(json.dumps(made))
    done = torchrun(str(Path(__file__).with_name("two_processes.py")), str(folder / "jobs.json"), str(folder))
    assert done.returncode == 0, done.stderr
    told = (*made["steps"], *made["evaluations"], few, made["phases"])
    return {"folder": folder} | {job["name"]: job for job in told}


def many_questions() -> list[dict[str, Any]]:
    """Gives twenty questions of different lengths, a fifth without an answer."""
    made = []
    for number in range(20):
        context = f"the library opens at nine {'so ' * (number % 4)}and closes at six. we loved the view."
        answer = ("nine", "six", "the view", "the library")[number % 4]
        answers = {"text": [answer], "answer_start": [context.index(answer)]}
        empty: dict[str, Any] = {"text": [], "answer_start": []}
        row = {"id": str(number), "question": "who wrote the book?", "context": f"{context} {number}"}
        made.append(row | {"answers": empty if number % 5 == 0 else answers})
    return made


def seen(jobs: dict[str, Any], name: str) -> Pair:
    """Gives what each process wrote."""
    one, other = (torch.load(jobs["folder"] / f"{name}.{rank}.pt") for rank in (0, 1))
    return one, other


CLASSIFICATION = [
    "whole", "micro_batches", "uneven_micro_batches", "uneven", "fewer_rows_than_processes", "gpt2", "t5",
    "stored_states", "weighed",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSIFICATION)
def test_two_processes_make_a_plain_step(jobs: dict[str, Any], name: str) -> None:
    job = jobs[name]
    run = ready(Path(job["checkpoint"]), job["rows"], **job["sections"])
    theirs = plain(run, chosen=np.array(job["indices"]))
    for ours in seen(jobs, name):
        assert_same_step(ours, theirs)


@pytest.mark.slow
def test_two_processes_make_a_plain_question_answering_step(jobs: dict[str, Any]) -> None:
    job = jobs["answers"]
    run = ready(Path(job["checkpoint"]), job["rows"], **job["sections"])
    theirs = plain_step(run.untouched, lambda model: span_loss(model, run.tokenizer, job["rows"]), RATE, 0.1, 1.0)
    for ours in seen(jobs, "answers"):
        assert_same_step(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*CLASSIFICATION, "probe", "answers"])
def test_weights_are_bit_identical_on_both(jobs: dict[str, Any], name: str) -> None:
    one, other = seen(jobs, name)
    assert all(one["weights"][key].equal(other["weights"][key]) for key in one["weights"])


@pytest.mark.slow
def test_two_processes_go_through_the_phases_of_one(jobs: dict[str, Any]) -> None:
    job = jobs["phases"]
    alone = train_through(ready(Path(job["checkpoint"]), job["rows"], without=("epochs",), **job["sections"]))[-1]
    one, other = seen(jobs, "phases")
    assert all(value.equal(other[name]) for name, value in one.items())
    assert all(torch.allclose(value, one[name], atol=1e-5) for name, value in alone.items())


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["evaluation_41_True", "evaluation_41_False", "evaluation_2_True", "evaluation_400_True"]
)
def test_every_row_is_evaluated_once(jobs: dict[str, Any], name: str) -> None:
    job = jobs[name]
    run = ready(Path(job["checkpoint"]), job["rows"])
    alone = run.training.judge.final("validation") if job["final"] else run.training.judge("validation")
    for each in seen(jobs, name):
        assert each["ids"] == list(alone.predictions.ids)
        assert each["scores"] == dict(alone.scores.values)
        assert each["loss"] == pytest.approx(alone.scores.loss, abs=1e-6)
        assert np.abs(np.array(each["probabilities"]) - alone.predictions.probabilities).max() < 1e-6


@pytest.mark.slow
def test_few_rows_take_the_same_road_on_both(jobs: dict[str, Any]) -> None:
    one, other = seen(jobs, "few_rows")
    for each in (one, other):
        for timed in (each["road"], *each["road"]["scores"]):
            timed["seconds"] = 0.0
    assert one["road"] == other["road"]
    assert len(one["road"]["scores"]) == 3
    assert all(one["weights"][name].equal(other["weights"][name]) for name in one["weights"])
    job = jobs["few_rows"]
    run = ready(Path(job["checkpoint"]), job["rows"], small_data=CONTRASTIVE, without=UNUSED, **job["sections"])
    alone = run.training.model
    # The probe's weights are as sensitive as its features are alike. Elsewhere a gradient of about 0 may have either
    # sign, and AdamW's step is as long as the rate for each.
    names = [name for name, _ in alone.named_parameters() if "classifier" not in name]
    apart = [(one["weights"][name] - alone.get_parameter(name)).abs().flatten() for name in names]
    assert float((torch.cat(apart) <= 3e-4).float().mean()) > 0.995


@pytest.mark.slow
def test_a_signal_to_one_stops_both_at_the_same_step(jobs: dict[str, Any]) -> None:
    assert seen(jobs, "stop") == ({"step": 3, "signal": signal.SIGTERM},) * 2


@pytest.mark.slow
def test_what_fails_on_the_main_process_fails_on_both(jobs: dict[str, Any]) -> None:
    told = {"result": {"of": 0}, "message": "the disk is full\nand so is the other", "code": 2}
    assert seen(jobs, "failure") == (told, told)


def test_plain_steps_are_compared_with_all_rows() -> None:
    assert ALL.tolist() == list(range(32))
