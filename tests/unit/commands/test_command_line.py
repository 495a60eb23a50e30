"""The command line itself: which commands and flags there are, in which order arguments may stand, exit codes."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from textxfer import command_line, commands
from textxfer import run as run_module
from textxfer.errors import Interrupted, OutputError

FLAGS = {
    "adapt": [
        "checkpoint",
        "--texts",
        "--text",
        "--epochs",
        "--steps",
        "--batch-size",
        "--learning-rate",
        "--mask-rate",
        "--max-length",
        "--seed",
        "-o",
        "--output",
        "--resume",
        "--overwrite",
        "--quiet",
    ],
    "check": ["recipe", "overrides", "--fast"],
    "compare": ["runs", "--metric", "--html", "--json", "--rows"],
    "evaluate": [
        "model",
        "--data",
        "--split",
        "--text",
        "--text-pair",
        "--label",
        "--question",
        "--context",
        "--answers",
        "--label-delimiter",
        "--metrics",
        "--slice",
        "--backend",
        "--precision",
        "--batch-tokens",
        "--device",
        "-o",
        "--output",
        "--overwrite",
        "--quiet",
    ],
    "export": [
        "model",
        "--onnx",
        "--int8",
        "-o",
        "--output",
        "--benchmark",
        "--data",
        "--text",
        "--text-pair",
        "--question",
        "--context",
        "--overwrite",
    ],
    "init": ["data", "--task", "--text", "--label", "-o", "--output"],
    "predict": [
        "model",
        "file",
        "-o",
        "--output",
        "--text",
        "--text-pair",
        "--question",
        "--context",
        "--top-k",
        "--columns",
        "--format",
        "--backend",
        "--precision",
        "--batch-tokens",
        "--device",
        "--skip-bad",
        "--harmless",
        "--resume",
        "--overwrite",
        "--quiet",
    ],
    "push": ["run", "repo", "--private", "--revision", "--tag", "--dry-run"],
    "rank": ["recipe", "overrides", "--checkpoints", "--pooling", "--json"],
    "report": ["run"],
    "run": ["recipe", "overrides", "--resume", "--overwrite", "--quiet"],
    "schema": ["--reference"],
    "serve": [
        "model",
        "--host",
        "--port",
        "--backend",
        "--precision",
        "--batch-tokens",
        "--device",
        "--batch-texts",
        "--max-body",
        "--max-texts",
        "--max-characters",
        "--max-waiting",
        "--max-waiting-bytes",
        "--read-timeout",
        "--timeout",
        "--quiet",
    ],
    "suspects": ["recipe", "overrides", "-o", "--output", "--top", "--overwrite"],
}
"""Who changes this changes what other programs call: say so in the change log."""


def names() -> list[str]:
    return [info.name for info in pkgutil.iter_modules(commands.__path__) if not info.name.startswith("_")]


def arguments_of(add_arguments: Callable[[argparse.ArgumentParser], None]) -> list[str]:
    parser = argparse.ArgumentParser(add_help=False)
    add_arguments(parser)
    return [name for action in parser._actions for name in (action.option_strings or [action.dest])]


def test_the_commands_are_these() -> None:
    assert names() == list(FLAGS)


@pytest.mark.parametrize("name", FLAGS)
def test_the_flags_of_a_command_are_these(name: str) -> None:
    module = importlib.import_module(f"textxfer.commands.{name}")
    assert arguments_of(module.add_arguments) == FLAGS[name]


def test_running_the_module_takes_the_same_flags() -> None:
    assert arguments_of(run_module.add_arguments) == FLAGS["run"]


def test_help_names_every_command(shell: Callable[..., Any]) -> None:
    code, out, _ = shell("--help")
    assert code == 0
    for name in FLAGS:
        assert f"    {name} " in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "arguments are required: COMMAND"),
        (["rum"], "invalid choice: 'rum'"),
        (["run"], "arguments are required: recipe"),
        (["run", "r.yaml", "--fast"], "unknown arguments: --fast"),
        (["run", "r.yaml", "--over"], "unknown arguments: --over"),
        (["run", "r.yaml", "--resume", "train.seed=1", "--fast"], "unknown arguments: --fast"),
        (["check", "r.yaml", "--resume"], "unknown arguments: --resume"),
        (["schema", "more"], "unknown arguments: more"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2(words: list[str], message: str, shell: Callable[..., Any]) -> None:
    code, _, err = shell(*words)
    assert code == 2
    assert message in err


ORDERS = [
    ["r.yaml", "train.seed=7", "train.epochs=2", "--quiet", "--overwrite"],
    ["--quiet", "--overwrite", "r.yaml", "train.seed=7", "train.epochs=2"],
    ["r.yaml", "--quiet", "train.seed=7", "--overwrite", "train.epochs=2"],
    ["--quiet", "r.yaml", "--overwrite", "train.seed=7", "train.epochs=2"],
    ["r.yaml", "train.seed=7", "--overwrite", "train.epochs=2", "--quiet"],
]


@pytest.mark.parametrize("words", ORDERS, ids=" ".join)
@pytest.mark.parametrize("entry", ["textxfer run", "python -m textxfer.run"])
def test_flags_and_overrides_stand_in_any_order(entry: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from textxfer.__main__ import main
    from textxfer.commands import run as command

    seen: list[argparse.Namespace] = []

    def note(arguments: argparse.Namespace) -> int:
        seen.append(arguments)
        return 0

    monkeypatch.setattr(command, "execute", note)
    monkeypatch.setattr(run_module, "execute", note)
    assert (main(["run", *words]) if entry == "textxfer run" else run_module.main(words)) == 0
    [arguments] = seen
    assert arguments.recipe == "r.yaml"
    assert arguments.overrides == ["train.seed=7", "train.epochs=2"]
    assert (arguments.quiet, arguments.overwrite, arguments.resume) == (True, True, False)


@pytest.mark.parametrize(
    ("problem", "code", "err"),
    [
        (OutputError("one", "two"), 2, "one\ntwo\n"),
        (Interrupted(15, "saved"), 143, "saved\n"),
        (KeyboardInterrupt(), 130, "stopped\n"),
    ],
    ids=["mistake", "signal", "ctrl-c"],
)
def test_exit_codes(problem: BaseException, code: int, err: str, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(arguments: argparse.Namespace) -> int:
        raise problem

    assert command_line.run_command(fail, argparse.Namespace()) == code
    assert capsys.readouterr().err == err


def test_our_own_bugs_keep_their_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        command_line.run_command(lambda arguments: 1 // 0, argparse.Namespace())


def test_only_the_first_of_several_processes_speaks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(arguments: argparse.Namespace) -> int:
        raise OutputError("one")

    monkeypatch.setenv("RANK", "1")
    assert command_line.run_command(fail, argparse.Namespace()) == 2
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(os.name == "nt", reason="a pipe of the shell")
def test_a_reader_that_stops_is_no_error() -> None:
    command = f"{sys.executable} -m textxfer schema | head -1"
    done = subprocess.run(["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"], capture_output=True, text=True)
    assert done.stdout == "{\n"
    assert done.stderr == ""
    assert done.returncode in (0, 141)  # 0 where all of it fitted into the pipe


def test_schema_prints_the_schema_and_the_reference(shell: Callable[..., Any]) -> None:
    from textxfer.recipe import editor_schema

    code, out, _ = shell("schema")
    assert (code, json.loads(out)) == (0, editor_schema.json_schema())
    code, out, _ = shell("schema", "--reference")
    assert (code, out) == (0, editor_schema.reference())


@pytest.mark.parametrize("entry", [["textxfer", "run"], ["textxfer.run"]], ids=" ".join)
def test_both_entries_tell_a_broken_recipe_alike(entry: list[str], tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("checkpoint: a/b\ndataset: d\ntask: topic\ntrain: {epoch: 1}\n")
    command = [sys.executable, "-m", *entry, "r.yaml", "--quiet", "train.sed=1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0].startswith("r.yaml:4:9: train.epoch: unknown key `epoch`; did you mean `epochs`?")
    assert lines[1] == "    train: {epoch: 1}"
    assert lines[2].startswith("command line: train.sed: unknown key `sed`; did you mean `seed`?")
    assert len(lines) == 3
    assert not (tmp_path / "runs").exists()
