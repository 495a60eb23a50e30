"""What the run chose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.unit.report.dom import Page
from tests.unit.report.made import write_json

Report = Callable[[Path], Page]
DEPTH = {
    "layers": 2,
    "sentence": "the probe stops rising at layer 2",
    "curve": [{"layer": layer, "accuracy": 0.5 + 0.1 * layer, "sd": 0.01} for layer in range(4)],
    "rows": 1200,
    "of": 5000,
}
RANKED = [
    {"checkpoint": name, "accuracy": 0.8, "log_evidence": -0.123, "h_score": score, "neighbours": 0.7}
    | {"parameters": 22_700_000}
    for name, score in (("first/one", 1.5), ("second/one", None))
]


def test_the_curve_and_the_table_are_shown(report: Report, tmp_path: Path) -> None:
    write_json(tmp_path, "metrics.json", {"format": 1, "test": {"accuracy": 0.8}})
    write_json(tmp_path, "choices.json", {"depth": DEPTH, "checkpoint": {"ranked": RANKED, "rows": 1200}})
    words = report(tmp_path).words("choices")
    assert "2 of 3 layers are frozen: the probe stops rising at layer 2." in words
    assert "Of 2 checkpoints this one was ranked first." in words
    assert "first/one 0.800 −0.123 1.500 0.700 22,700,000 second/one 0.800 −0.123 – 0.700" in words
    assert "probes on 1,200 training rows" in words
    assert "From 0.500 on the embeddings to 0.800 on layer 3; 2 frozen." in words


def test_one_of_both_and_none(report: Report, tmp_path: Path) -> None:
    write_json(tmp_path, "metrics.json", {"format": 1, "test": {"accuracy": 0.8}})
    assert "What the run chose" not in report(tmp_path).text
    write_json(tmp_path, "choices.json", {"depth": DEPTH})
    words = report(tmp_path).words("choices")
    assert "2 of 3 layers are frozen" in words
    assert "ranked" not in words
