"""`textxfer export`: what it says, and what it refuses before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "say --onnx to write a model for ONNX Runtime, or --benchmark to measure"),
        (["--benchmark", "--int8"], "--int8 goes with --onnx; --benchmark alone writes nothing"),
        (["--benchmark", "-o", "x"], "-o goes with --onnx; --benchmark alone writes nothing"),
        (["--benchmark", "--overwrite"], "--overwrite goes with --onnx; --benchmark alone writes nothing"),
        (["--onnx", "--text-pair", "b"], "--text-pair names a column of --data FILE; name that too"),
        (["--onnx"], "none: is no folder that the exported model could go into; name one by -o"),
        (["--onnx", "-o", "x"], "none: is neither a folder here nor"),
    ],
)
def test_mistakes(words: list[str], message: str, shell: Any) -> None:
    code, out, err = shell("export", "none", *words)
    assert (code, out) == (2, "")
    assert message in err or "none: is no folder here, and the Hub cannot be reached" in err
    assert list(shell.folder.iterdir()) == []


def test_export_and_benchmark_on_the_rows_of_a_file(trained: Any, shell: Any) -> None:
    rows = [{"body": f"the film number {number} was rude"} for number in range(30)]
    (shell.folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = ["--data", "rows.jsonl", "--text", "body"]
    code, out, err = shell("export", str(trained()), "--onnx", "-o", "out", "--benchmark", *data)
    assert (code, err) == (0, "")
    told = out.splitlines()
    assert told[0].startswith("wrote out (")
    assert told[1].startswith("checked on 30 rows of rows.jsonl: logits differ by ")
    assert told[1].endswith("100.0% predicted as in torch")
    assert told[2] == 'use it: textxfer.pipeline("out", backend="onnx")'
    assert told[3].startswith("30 rows of rows.jsonl; torch on cpu")
    table = {line[:12].strip(): line[12:].split() for line in told[5:-1]}
    assert {"torch fp32", "onnx", "onnx int8"} <= set(table)
    assert table["torch fp32"][1:3] == ["1.00", "100.00%"]
    assert all(float(cells[0].replace(",", "")) > 0 for cells in table.values())
    assert float(table["onnx int8"][3]) <= float(table["onnx"][3])
    assert any(told[-1].startswith(f"fastest here: {way} (") for way in table)
    assert {path.name for path in Path("out").iterdir()} >= {"model.onnx", "config.json", "tokenizer.json"}
    code, _, err = shell("export", str(trained()), "--onnx", "-o", "out")
    assert (code, err) == (2, "out: holds an exported model; --overwrite replaces it, or name another by -o\n")
    code, _, err = shell("export", str(trained()), "--benchmark", "--data", "rows.jsonl")
    assert code == 2
    assert "unknown column `text`" in err
    assert "say `--text COLUMN`" in err
