"""`textxfer predict`: arguments, exit codes, what is shown where, how it starts and how much memory it takes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from textxfer.commands import predict

ROOT = Path(__file__).parents[3]
Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture
def model(trained: Any) -> str:
    return str(trained("bert"))


@pytest.fixture
def source(tmp_path: Path) -> str:
    (tmp_path / "in.csv").write_text("id,review\n1,rude\n2,a delight\n3,=1+1\n")
    return "in.csv"


def run(*arguments: str, folder: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs the command in a process of its own."""
    command = [sys.executable, "-m", "textxfer", "predict", *arguments]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    where = {"cwd": folder, "env": env, "stderr": subprocess.PIPE, "text": True, "check": False}
    return subprocess.run(command, **({"stdout": subprocess.PIPE} | where | options))


def test_to_standard_output_by_default(shell: Shell, model: str, source: str) -> None:
    code, out, err = shell("predict", model, source, "--text", "review")
    rows = [json.loads(line) for line in out.splitlines()]
    assert (code, [list(row) for row in rows]) == (0, [["id", "review", "label", "score"]] * 3)
    assert err.startswith("3 rows; ")
    assert shell("predict", model, source, "--text", "review", "-o", "-", "--quiet") == (0, out, "")


def test_precision_of_an_exported_model(shell: Shell, model: str, source: str) -> None:
    code, _, err = shell("predict", model, source, "--backend", "onnx", "--precision", "auto")
    assert code == 2
    assert "--precision is for torch; an exported model has the precision it was exported with" in err


def test_to_a_file(shell: Shell, model: str, source: str, tmp_path: Path) -> None:
    code, out, err = shell("predict", model, source, "--text", "review", "--columns", "id", "-o", "out.csv")
    assert (code, out) == (0, "")
    assert err.endswith("; wrote out.csv\n")
    assert (tmp_path / "out.csv").read_text().splitlines()[0] == "id,label,score"


def test_from_standard_input(shell: Shell, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for text, options in (('{"text": "rude"}\n', []), ("text\nrude\n", ["--format", "csv"])):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        code, out, _ = shell("predict", model, "-", *options)
        assert (code, json.loads(out)["text"]) == (0, "rude")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b""), write_through=True))
    assert shell("predict", model, "-") == (2, "", "input: has no rows\n")


def test_every_flag_reaches_the_work(shell: Shell, trained: Any, model: str, source: str, tmp_path: Path) -> None:
    """Each changes what is done; `predict_file`'s tests say how."""
    (tmp_path / "bad.csv").write_text("id,review\n1,rude\nx\n")
    plain = ["predict", model, source, "--text", "review", "-o"]
    assert shell(*plain, "a.csv")[0] == 0
    before = (tmp_path / "a.csv").read_text()
    assert shell(*plain, "a.csv")[0] == 2
    assert shell(*plain, "a.csv", "--resume")[0] == 2
    assert shell(*plain, "a.csv", "--overwrite")[0] == 0
    assert (tmp_path / "a.csv").read_text() == before
    for flags in (["--harmless"], ["--top-k", "2"], ["--columns", "none"]):
        assert shell(*plain, "b.csv", "--overwrite", *flags)[0] == 0
        assert (tmp_path / "b.csv").read_text() != before
    assert shell("predict", model, "bad.csv", "--text", "review")[0] == 2
    code, out, err = shell("predict", model, "bad.csv", "--text", "review", "--skip-bad")
    assert (code, json.loads(out.splitlines()[1])["label"]) == (0, None)
    assert err.startswith("2 rows; 1 without a prediction; ")
    assert shell(*plain, "c.csv", "--device", "cpu", "--precision", "auto", "--batch-tokens", "8")[0] == 0
    code, _, err = shell(*plain, "d.csv", "--backend", "onnx")
    assert (code, "has no model.onnx; make it by `textxfer export" in err) == (2, True)
    (tmp_path / "q.jsonl").write_text('{"q": "when?", "c": "the library opens at nine"}\n')
    questions = str(trained("bert", "question_answering"))
    code, out, _ = shell("predict", questions, "q.jsonl", "--question", "q", "--context", "c")
    assert (code, list(json.loads(out))) == (0, ["q", "c", "answer", "score", "start", "end"])
    code, other, _ = shell("predict", model, source, "--text", "review", "--text-pair", "id")
    assert json.loads(other.splitlines()[0])["score"] != json.loads(shell(*plain, "-")[1].splitlines()[0])["score"]


@pytest.mark.parametrize("flag", ["--top-k", "--batch-tokens"])
@pytest.mark.parametrize("value", ["0", "-3", "x", "1.5"])
def test_numbers_are_counts(flag: str, value: str, shell: Shell) -> None:
    code, _, err = shell("predict", "m", "f.csv", flag, value)
    assert code == 2
    assert f"argument {flag}: invalid whole number from 1 on value: '{value}'" in err


def test_mistakes_are_told_without_a_traceback(shell: Shell, model: str, source: str) -> None:
    code, out, err = shell("predict", model, source, "--text", "reviw")
    assert (code, out) == (2, "")
    assert err == "in.csv: has unknown column `reviw`; did you mean `review`? (there are: id, review) (--text)\n"
    assert shell("predict", model, "none.csv")[2] == "none.csv: there is no such file\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("flags", "shown"), [([], True), (["--quiet"], False)])
def test_a_bar_on_a_terminal_only(
    flags: list[str], shown: bool, shell: Shell, model: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "%" not in shell("predict", model, source, "--text", "review")[2]
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    shell("predict", model, source, "--text", "review", *flags)
    text = terminal.getvalue()
    assert ("predicting" in text and "rows/s" in text and "100%" in text) == shown


def test_the_bar_goes_on_after_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    bar = predict._Bar()
    for rows, share in ((500, 0.5), (600, 0.6), (1000, 1.0)):
        bar(rows, share)
        assert (bar.bar.n, bar.bar.total, bar.bar.initial) == (rows, 1000, 500)
    bar.close()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["m", "none.csv"], 2),
        (["m", "in.csv", "-o", "out.xlsx"], 2),
        (["m", "in.csv", "-o", "in.jsonl"], 2),
        (["m", "in.csv", "--text", "none"], 2),
        (["m", "in.csv", "--format", "xlsx"], 2),
        (["m", "in.csv", "--top-k", "0"], 2),
        (["m", "in.csv", "--harmless"], 2),
    ],
)
def test_mistakes_of_arguments_come_before_torch(arguments: list[str], code: int, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("id,review\n1,rude\n")
    (tmp_path / "in.jsonl").write_text("{}")
    look = (
        "import sys\nfrom textxfer.__main__ import main\ncode = None\n"
        "try:\n    code = main(['predict', *sys.argv[1:]])\nexcept SystemExit as stop:\n    code = stop.code\n"
        "heavy = [name for name in ('torch', 'transformers', 'datasets', 'numpy', 'pandas') if name in sys.modules]\n"
        "print(repr((code, heavy)), file=sys.stderr)"
    )
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", look, *arguments], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.stderr.splitlines()[-1] == repr((code, [])), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device here")
def test_standard_output_that_is_full_or_closed(model: str, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("rude\n" * 20_000)
    with open("/dev/full", "wb") as full:
        done = run(model, "in.txt", folder=tmp_path, stdout=full)
    assert (done.returncode, done.stderr) == (2, "<stdout>: cannot be written: No space left on device\n")
    command = f"{sys.executable} -m textxfer predict {model} in.txt | head -n 1"
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, shell=True, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert json.loads(done.stdout)["text"] == "rude"
    assert done.stderr == ""


PEAKS = """
import re, sys
from pathlib import Path
from textxfer.serving.bulk import predict_file

for source, target in zip(sys.argv[2::2], sys.argv[3::2]):
    predict_file(sys.argv[1], source, target)
    print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text()).group(1))
"""


def megabytes(model: str, *files: Path) -> list[float]:
    """Gives the most memory a process has taken after each prediction of a file, whose output follows it.

    `ru_maxrss` would count the process that starts it too.
    """
    done = subprocess.run(
        [sys.executable, "-c", PEAKS, model, *map(str, files)],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [int(line) / 2**10 for line in done.stdout.split()]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from there")
@pytest.mark.parametrize("ending", ["csv", "jsonl", "txt", "parquet"])
def test_memory_does_not_grow_with_the_file(ending: str, model: str, tmp_path: Path) -> None:
    """Both files are several pieces long; the larger one holds twenty megabytes more."""
    import pyarrow as pa
    from pyarrow import parquet

    files = []
    for rows in (4_000, 60_000):
        path = tmp_path / f"{rows}.{ending}"
        texts = [f"the film number {row} was {'rude' * 80}" for row in range(rows)]  # many letters, and few tokens
        if ending == "parquet":
            parquet.write_table(pa.table({"text": texts}), path)
        elif ending == "jsonl":
            path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        else:
            path.write_text("\n".join(["text", *texts]))
        files += [path, path.with_name(f"out{rows}.{'parquet' if ending == 'parquet' else 'csv'}")]
    peaks = megabytes(model, *files)
    assert peaks[1] < peaks[0] + 12, f"{peaks[0]:.0f} MB for 4,000 rows, {peaks[1]:.0f} MB for 60,000"
