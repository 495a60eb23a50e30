"""`python -m textxfer.run`: what it prints, its exit codes, signals, full disks, several processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.training.helpers import assert_same_run, left_behind, log, splits
from textxfer.run import main, run_recipe

ROOT = Path(__file__).parents[2]


@pytest.fixture
def recipe_file(bert: Path, tmp_path: Path, write_csv: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe of eight steps with its data; the current folder is the one it is in."""
    for name, rows in splits().items():
        write_csv(tmp_path / "data" / f"{name}.csv", rows)
    (tmp_path / "small.yaml").write_text(
        f"checkpoint: {bert}\ndataset: data\ntask: {{name: sentiment, max_length: 32}}\n"
        "train: {epochs: 2, batch_size: 8, learning_rate: 1e-3, log_every: 3, precision: fp32}\n"
    )
    monkeypatch.chdir(tmp_path)
    return Path("small.yaml")


def command(*arguments: Any, processes: int = 1) -> list[str]:
    """Gives the command line of a run."""
    several = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    return [sys.executable, *(several if processes > 1 else []), "-m", "textxfer.run", *map(str, arguments)]


def environment() -> dict[str, str]:
    import torch

    # Without a GPU, processes must find each other without being told that it is the CPU.
    cpu = {"ACCELERATE_USE_CPU": "1"} if torch.cuda.is_available() else {}
    return os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"} | cpu


def ran(*arguments: Any, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=300, env=environment(), **options
    )


# What it prints


def test_scores_go_to_standard_output_and_the_rest_to_standard_error(
    recipe_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(recipe_file)]) == 0
    out, err = capsys.readouterr()
    assert re.search(r"^ +validation +test +95 % interval$", out, re.MULTILINE)
    assert re.search(r"^accuracy +[01]\.\d{4} +[01]\.\d{4} +[01]\.\d{4} to [01]\.\d{4}$", out, re.MULTILINE)
    assert "rows: 28 train, 7 validation, 5 test; best step" in out
    assert "report: runs/small/report.html\nmodel:  runs/small/model\n" in out
    assert "use:    python -c " in out
    assert re.search(r"^step 3/8  loss \d\.", err, re.MULTILINE)
    assert re.search(r"epoch 0\.0, step 0: validation accuracy [01]\.\d+ .*\(best so far\)", err)
    assert "trained" in err
    assert "\x1b" not in err  # plain lines: it is no terminal
    assert "\r" not in err


def test_quiet_shows_the_final_scores_only(recipe_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quiet", str(recipe_file)]) == 0
    out, err = capsys.readouterr()
    assert "accuracy" in out
    assert err == ""


def test_flags_and_overrides_stand_in_any_order(recipe_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quiet", "train.max_steps=1", str(recipe_file)]) == 2  # the recipe comes first
    capsys.readouterr()
    assert main([str(recipe_file), "train.max_steps=1", "--quiet", "name=other", "--overwrite"]) == 0
    found = json.loads(Path("runs/other/metrics.json").read_text())
    assert found["steps"] == 1


def test_the_line_that_loads_the_model_works(recipe_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(recipe_file), "--quiet", "train.max_steps=1"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("use:"))
    done = subprocess.run(
        line.removeprefix("use:").strip().replace("python", sys.executable, 1),
        shell=True, capture_output=True, text=True, env=environment() | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "'label': '" in done.stdout


def test_only_the_first_process_speaks(
    recipe_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    assert main([str(recipe_file), "train.max_steps=1"]) == 0
    assert capsys.readouterr() == ("", "")


def test_help_names_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    assert set(re.findall(r"--\w+", capsys.readouterr().out)) == {"--help", "--resume", "--overwrite", "--quiet"}


def test_flags_cannot_be_shortened(recipe_file: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        main([str(recipe_file), "--over"])
    assert caught.value.code == 2


# Mistakes


def test_an_existing_run_is_an_error_without_a_traceback(recipe_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(recipe_file), "--quiet"]) == 0
    capsys.readouterr()
    assert main([str(recipe_file), "--quiet"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "runs/small: holds a finished run; --resume leaves it as it is, --overwrite begins anew (and deletes the old "
        "one when the new one has finished)\n"
    )
    assert main([str(recipe_file), "--quiet", "--resume"]) == 0
    assert "accuracy" in capsys.readouterr().out
    assert main([str(recipe_file), "--quiet", "--resume", "--overwrite"]) == 2
    assert "exclude each other" in capsys.readouterr().err


def test_a_loaded_recipe_takes_no_overrides(recipe_file: Path) -> None:
    from textxfer.errors import TextxferError
    from textxfer.recipe.loading import load_recipe

    with pytest.raises(TextxferError, match="overrides go with a file or a mapping"):
        run_recipe(load_recipe(recipe_file), "train.epochs=1")


def test_divergence_is_an_error_without_a_traceback(recipe_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = ["train.learning_rate=1e38", "train.schedule=constant", "train.max_grad_norm=null"]
    assert main([str(recipe_file), "--quiet", *overrides]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert re.match(r"step \d+: the loss is \S+ \(learning rate 1\.00e\+38, gradient norm \S+, rows \S+", lines[0])
    assert lines[1] == "no state of the run was saved; --overwrite begins it anew in runs/small"
    assert len(lines) == 2


def test_more_processes_than_work_together_are_refused(
    recipe_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accelerate.Accelerator.num_processes", 1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert main([str(recipe_file), "--quiet"]) == 2
    assert "2 processes were started, but 1 work together; start them by `torchrun" in capsys.readouterr().err
    assert not Path("runs").exists()


# Whole processes


class Started:
    """A run in a process of its own, which can be sent signals at some point of its log."""

    def __init__(self, *arguments: Any, processes: int = 1) -> None:
        self.process = subprocess.Popen(
            command(*arguments, processes=processes), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=environment() | {"PYTHONPATH": str(ROOT)}, start_new_session=True,
        )  # fmt: skip

    def wait_for(self, place: Path, lines: int) -> None:
        """Waits until a log has some lines."""
        until = time.monotonic() + 240
        while not place.exists() or len(place.read_text().splitlines()) < lines:
            assert self.process.poll() is None, self.process.stderr.read() if self.process.stderr else ""
            assert time.monotonic() < until
            time.sleep(0.01)

    def ended(self) -> tuple[int, str]:
        """Gives the exit code and what was written to standard error."""
        _, err = self.process.communicate(timeout=240)
        return self.process.returncode, err

    def end(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()


@pytest.fixture
def start() -> Iterator[Callable[..., Started]]:
    """Starts runs, and ends those that are left."""
    started: list[Started] = []

    def begin(*arguments: Any, processes: int = 1) -> Started:
        started.append(Started(*arguments, processes=processes))
        return started[-1]

    yield begin
    for each in started:
        each.end()


LONG = ("train.epochs=30", "train.log_every=1", "train.save_every=25")
"""120 steps: time enough for a signal."""


@pytest.mark.slow
def test_signals_give_130_and_143_and_the_run_goes_on_bit_for_bit(
    recipe_file: Path, start: Callable[..., Started]
) -> None:
    whole = run_recipe(recipe_file, *LONG, "name=whole")
    first = start(recipe_file, *LONG)
    first.wait_for(Path("runs/small/log.jsonl"), 10)
    first.process.send_signal(signal.SIGINT)
    code, err = first.ended()
    assert code == 130, err
    assert re.search(
        r"stopped after step \d+ of 120\nthe run up to step \d+ is saved in runs/small: --resume goes on", err
    )
    assert "Traceback" not in err
    second = start(recipe_file, *LONG, "--resume")
    second.wait_for(Path("runs/small/log.jsonl"), len(log(Path("runs/small"))) + 10)
    second.process.send_signal(signal.SIGTERM)
    code, err = second.ended()
    assert code == 143, err
    assert re.search(r"^goes on after step \d+$", err, re.MULTILINE)
    done = ran(recipe_file, *LONG, "--resume")
    assert done.returncode == 0, done.stderr
    assert_same_run(Path("runs/small"), whole.folder)


@pytest.mark.slow
def test_ctrl_c_before_training_leaves_nothing(recipe_file: Path) -> None:
    code = (
        "import sys, signal, textxfer.sources.files as files; from textxfer.run import main\n"
        # A shell without job control starts its background jobs, and so this test, with Ctrl-C ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "load = files.Files.load\n"
        "def interrupted(self):\n    signal.raise_signal(signal.SIGINT)\n    return load(self)\n"
        "files.Files.load = interrupted\n"
        "sys.exit(main(['small.yaml']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          env=environment() | {"PYTHONPATH": str(ROOT)})  # fmt: skip
    assert done.returncode == 130
    assert done.stderr.splitlines()[-1] == "stopped"
    assert "Traceback" not in done.stderr
    assert not Path("runs").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="has no such limit")
def test_a_disk_that_is_full_is_an_error_without_a_traceback(recipe_file: Path) -> None:
    """No file can be longer than 20 kB: the first state, 37 kB of weights, does not fit; the log does."""
    code = (
        "import resource, sys; from textxfer.run import main\n"
        "from textxfer.training import keeper\n"
        "begin = keeper.RunFolder.begin\n"
        "def full(self, *rest):\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))\n"
        "    begin(self, *rest)\n"
        "keeper.RunFolder.begin = full\n"
        "sys.exit(main(['small.yaml', '--quiet', 'train.save_every=2']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          env=environment() | {"PYTHONPATH": str(ROOT)})  # fmt: skip
    assert done.returncode == 2, done.stderr
    first, second = done.stderr.splitlines()
    assert first.startswith("runs/small/resume: the state of the run cannot be saved: ")
    assert "File too large" in first
    assert second == "no state of the run was saved; --overwrite begins it anew in runs/small"
    assert list(Path("runs/small/resume").iterdir()) == []
    whole = run_recipe(recipe_file, "name=whole")
    assert main(["small.yaml", "--quiet", "train.save_every=2", "--resume"]) == 0
    assert_same_run(Path("runs/small"), whole.folder)


@pytest.mark.slow
def test_two_processes_train_one_run(recipe_file: Path, start: Callable[..., Started]) -> None:
    whole = start(recipe_file, *LONG, "name=whole", processes=2)
    code, err = whole.ended()
    assert code == 0, err
    alone = run_recipe(recipe_file, *LONG, "name=alone")
    found = json.loads(Path("runs/whole/metrics.json").read_text())
    assert set(found) == set(alone.metrics)
    assert set(found["test"]) == set(alone.metrics["test"])
    assert found["num_examples"] == alone.metrics["num_examples"]
    assert left_behind(Path("runs/whole")) == []
    assert [line["step"] for line in log(Path("runs/whole"))] == [line["step"] for line in log(Path("runs/alone"))]
    assert err.count("epoch 1.0, step 4: validation") == 1  # one process speaks
    about = json.loads(Path("runs/whole/environment.json").read_text())
    assert about["device"]["processes"] == 2

    stopped = start(recipe_file, *LONG, processes=2)
    stopped.wait_for(Path("runs/small/log.jsonl"), 10)
    os.killpg(stopped.process.pid, signal.SIGINT)  # as a terminal does: to torchrun and to both
    code, err = stopped.ended()
    assert code != 0
    assert err.count("stopped after step") == 1, err
    assert "KeyboardInterrupt" not in err.partition("stopped after step")[0]
    assert not Path("runs/small/metrics.json").exists()
    again = start(recipe_file, *LONG, "--resume", processes=2)
    code, err = again.ended()
    assert code == 0, err
    assert "goes on after step" in err
    assert_same_run(Path("runs/small"), Path("runs/whole"))


@pytest.mark.slow
def test_a_mistake_under_two_processes_is_told_once(recipe_file: Path, start: Callable[..., Started]) -> None:
    Path("runs/small").mkdir(parents=True)
    Path("runs/small/thesis.txt").touch()
    code, err = start(recipe_file, processes=2).ended()
    assert code != 0
    assert err.count("runs/small: is there, but is no run") == 1
