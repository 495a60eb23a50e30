"""Reports of runs that have taken place, and the command."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.unit.report.dom import Page
from tests.unit.report.made import write_run
from textxfer.__main__ import main
from textxfer.report.html import render, write_report

ALWAYS = {"scores", "learning", "slices", "rows", "origin"}


@pytest.mark.parametrize(
    ("task", "more"),
    [
        ("sentiment", {"confusion", "labels"}),
        ("topic", {"labels"}),
        ("question_answering", set()),
    ],
)
def test_a_run_has_a_report(trained: Callable[..., Path], task: str, more: set[str]) -> None:
    found = Page(render(trained("bert", task)))
    assert found.wrong == []
    assert set(found.sections) >= ALWAYS | more
    assert "confusion" not in found.sections or task == "sentiment"
    assert f"name: {task}" in found.words("origin")


def test_the_command_writes_the_report(
    trained: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(trained(), tmp_path / "run", ignore=shutil.ignore_patterns("model", "report.html"))
    assert main(["report", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder / 'report.html'}\n"
    assert (folder / "report.html").read_text(encoding="utf-8") == render(folder)


def test_the_command_wants_a_finished_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert (
        printed.err
        == f"{tmp_path}/metrics.json: there is no such file: this is no run folder; name the folder of a finished run\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize("labels", [6, 1000])
def test_ten_thousand_rows_take_seconds_and_little_memory(tmp_path: Path, labels: int) -> None:
    write_run(tmp_path, labels=labels, rows=10_000)
    process = psutil.Process()
    before, clock = process.memory_info().rss, time.process_time()
    page = write_report(tmp_path)
    assert time.process_time() - clock < 10
    assert process.memory_info().rss - before < 500 * 2**20
    assert page.stat().st_size < 2_000_000
