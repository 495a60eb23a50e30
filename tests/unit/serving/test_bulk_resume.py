"""Predictions that were stopped, however, go on to the very file that they would have given without a stop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.warm import run_python
from textxfer.errors import Interrupted, OutputError
from textxfer.modeling.checkpoint import Checkpoint
from textxfer.serving._known_model import _fingerprint
from textxfer.serving.bulk import BulkResult, predict_file

ROOT = Path(__file__).parents[3]
ENDINGS = ("jsonl", "csv", "parquet")
Predict = Callable[..., BulkResult]


def lines(rows: int) -> str:
    return "".join(
        json.dumps({"id": row, "text": f'film\n"{row}" was {"so " * (row % 7)}rude'}) + "\n" for row in range(rows)
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "in.jsonl").write_text(lines(100))
    return tmp_path / "in.jsonl"


@pytest.fixture
def predict(trained: Any, source: Path) -> Predict:
    def call(target: Path, **options: Any) -> BulkResult:
        return predict_file(
            **{"model": trained("bert"), "file": source, "output": target, "batch_tokens": 20} | options
        )

    return call


def stop_at(wanted: int) -> Callable[[int, Any], None]:
    """Presses Ctrl-C when so many rows are done."""

    def press(rows: int, share: Any) -> None:
        if rows >= wanted:
            signal.raise_signal(signal.SIGINT)

    return press


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("at", [1, 50, 100])
def test_ctrl_c_keeps_what_is_done(at: int, ending: str, predict: Predict, tmp_path: Path) -> None:
    target, whole = tmp_path / f"out.{ending}", tmp_path / f"whole.{ending}"
    predict(whole)
    with pytest.raises(Interrupted) as caught:
        predict(target, on_rows=stop_at(at))
    done = {1: 20, 50: 60, 100: 100}[at]
    assert caught.value.exit_code == 130
    assert caught.value.lines == (
        f"stopped after {done} rows",
        f"{target}: the first {done} rows are kept; --resume goes on from there",
    )
    assert predict(target, resume=True).resumed_at == done
    assert target.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["in.jsonl", target.name, whole.name])


def test_ctrl_c_before_anything_is_done_leaves_nothing(predict: Predict, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    with pytest.raises(Interrupted, match=r"stopped after 0 rows\n.*out.csv: nothing was written"):
        predict(target, on_rows=stop_at(0))
    assert not list(tmp_path.glob("out*"))
    target.write_bytes(b"precious")
    with pytest.raises(Interrupted):
        predict(target, overwrite=True, on_rows=stop_at(0))
    assert target.read_bytes() == b"precious"


def test_stopped_again_and_again(predict: Predict, tmp_path: Path) -> None:
    predict(tmp_path / "whole.csv")
    for at in (20, 40, 60, 80, 100):
        with pytest.raises(Interrupted):
            predict(tmp_path / "out.csv", resume=True, on_rows=stop_at(at))
    result = predict(tmp_path / "out.csv", resume=True)
    assert (result.rows, result.resumed_at) == (100, 100)
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.parametrize("ending", ENDINGS)
def test_resume_begins_where_there_is_nothing(ending: str, predict: Predict, tmp_path: Path) -> None:
    assert predict(tmp_path / f"out.{ending}", resume=True).rows == 100


@pytest.mark.parametrize("ending", ENDINGS)
def test_overwrite_begins_anew(ending: str, predict: Predict, tmp_path: Path) -> None:
    target, whole = tmp_path / f"out.{ending}", tmp_path / f"whole.{ending}"
    predict(whole)
    with pytest.raises(Interrupted):
        predict(target, columns="none", on_rows=stop_at(60))
    assert predict(target, overwrite=True).resumed_at == 0
    assert target.read_bytes() == whole.read_bytes()


@pytest.fixture
def half(predict: Predict, tmp_path: Path) -> Path:
    """An output with sixty of a hundred rows."""
    with pytest.raises(Interrupted):
        predict(tmp_path / "out.jsonl", on_rows=stop_at(60))
    return tmp_path / "out.jsonl"


def test_half_a_line_is_dropped(half: Path, predict: Predict, tmp_path: Path) -> None:
    """As a machine that lost its power leaves it."""
    predict(tmp_path / "whole.jsonl")
    with half.open("ab") as file:
        file.write(b'{"id": 60, "text": "fil')
    predict(half, resume=True)
    assert half.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"top_k": 2}, "was begun with another --top-k; give the same to go on with it, or --overwrite"),
        ({"columns": ["text"], "precision": "auto"}, "was begun with another --columns and another --precision"),
        ({"text": "id"}, "was begun with another --text, --text-pair, --question or --context"),
    ],
)
def test_other_arguments_are_refused(changes: dict[str, Any], said: str, half: Path, predict: Predict) -> None:
    before = half.read_bytes()
    with pytest.raises(OutputError) as caught:
        predict(half, resume=True, **changes)
    assert str(caught.value).startswith(f"{half}: {said}")
    assert half.read_bytes() == before


def test_another_model_is_refused(half: Path, predict: Predict, stock: Any) -> None:
    model = stock("bert", "AutoModelForSequenceClassification")
    with pytest.raises(OutputError, match=r"out.jsonl: was begun with another MODEL; give the same"):
        predict(half, resume=True, model=model)


def test_another_adapter_of_the_same_base_is_another_model(tmp_path: Path) -> None:
    for name in ("base", "one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "adapter_model.safetensors").write_text(name)

    def fingerprint(adapter: str | None, revision: str | None) -> str:
        folder = str(tmp_path / adapter) if adapter is not None else None
        return _fingerprint(Checkpoint("model", str(tmp_path / "base"), revision, None, None, adapter=folder))

    for revision in (None, "0123abcd"):
        found = [fingerprint(adapter, revision) for adapter in (None, "one", "other")]
        assert len(set(found)) == 3
        assert fingerprint("one", revision) == found[1]


def test_another_file_is_refused_and_rows_to_come_may_change(half: Path, predict: Predict, source: Path) -> None:
    rows = source.read_text().splitlines()
    for changed in (["{}", *rows[1:]], [*rows[:59], '{"text": "new"}', *rows[60:]], rows[:59]):
        source.write_text("\n".join(changed))
        with pytest.raises(
            OutputError, match=r"its first 60 rows are not of .*in.jsonl as it is now; only rows beyond"
        ):
            predict(half, resume=True, skip_bad=True)
    source.write_text("\n".join([*rows[:60], '{"text": "new"}']))
    assert predict(half, resume=True).rows == 61


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("out.jsonl", b'{"id', "out.jsonl: was changed since it was begun; --overwrite begins anew"),
        ("out.jsonl.state", b'{"format": 1', "out.jsonl.state: cannot be read: "),
        ("out.jsonl.state", b'{"format": 2}', "out.jsonl.state: cannot be read: it is of format 2; --overwrite begins"),
    ],
)
def test_what_was_damaged_in_between(
    name: str, content: bytes, said: str, half: Path, predict: Predict, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(OutputError) as caught:
        predict(half, resume=True)
    assert str(caught.value).startswith(f"{tmp_path}/{said}")
    assert predict(half, overwrite=True).rows == 100


def test_parts_that_are_gone(predict: Predict, tmp_path: Path) -> None:
    target = tmp_path / "out.parquet"
    with pytest.raises(Interrupted):
        predict(target, on_rows=stop_at(60))
    assert not target.exists(), "a Parquet file appears when it is finished"
    (tmp_path / "out.parquet.parts" / "1.parquet").unlink()
    with pytest.raises(OutputError, match="was changed since it was begun"):
        predict(target, resume=True)


@pytest.mark.slow
@pytest.mark.parametrize("ending", ENDINGS)
def test_killed_before_any_change_of_the_disk_it_goes_on_byte_for_byte(
    ending: str, trained: Any, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "tests.unit.serving.bulk_killing", str(trained("bert")), str(tmp_path), ending]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) > 25


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_killed_command_goes_on(number: int, code: int, trained: Any, tmp_path: Path, source: Path) -> None:
    source.write_text(lines(6000))
    command = ["-m", "textxfer", "predict", str(trained("bert")), str(source), "--batch-tokens", "128", "-o"]
    where: Any = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(ROOT)}}
    started = subprocess.Popen([sys.executable, *command, "out.csv"], **where, text=True, stderr=subprocess.PIPE)
    state = tmp_path / "out.csv.state"
    while started.poll() is None and not (state.exists() and json.loads(state.read_text())["done"]["rows"]):
        time.sleep(0.01)
    started.send_signal(number)
    _, err = started.communicate()
    assert started.returncode == code, err
    if code == 130:
        assert err.splitlines()[-1].endswith("rows are kept; --resume goes on from there")
        assert "Traceback" not in err
    for arguments in (["out.csv", "--resume"], ["whole.csv", "--quiet"]):
        done = run_python([*command, *arguments], **where)
        assert done.returncode == 0, done.stderr
        assert ("6,000 rows (" in done.stderr) == ("--resume" in arguments)
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert not state.exists()
