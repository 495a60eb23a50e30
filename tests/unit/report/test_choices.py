"""What the run chose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.unit.report.dom import Page
from tests.unit.report.made import write_json
from textxfer.training.seen import flattered

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

ROAD = {
    "head": "mean",
    "road": "contrastive",
    "sentence": "of roads, contrastive does best",
    "scores": [
        {"head": "mean", "road": road, "accuracy": score, "error": error, "seconds": 2.5}
        for road, score, error in (("probe", 0.6, 0.03), ("contrastive", 0.8, 0.0))
    ],
    "rows": 100,
    "of": 120,
    "labels": 6,
}


def test_the_curve_and_the_table_are_shown(report: Report, tmp_path: Path) -> None:
    write_json(tmp_path, "metrics.json", {"format": 1, "test": {"accuracy": 0.8}})
    write_json(tmp_path, "choices.json", {"depth": DEPTH, "checkpoint": {"ranked": RANKED, "rows": 1200}})
    words = report(tmp_path).words("choices")
    assert "2 of 3 layers are frozen: the probe stops rising at layer 2." in words
    assert "Of 2 checkpoints this one was ranked first." in words
    assert "first/one 0.800 −0.123 1.500 0.700 22,700,000 second/one 0.800 −0.123 – 0.700" in words
    assert "probes on 1,200 training rows" in words
    assert "From 0.500 on the embeddings to 0.800 on layer 3; 2 frozen." in words


def test_the_roads_are_shown(report: Report, tmp_path: Path) -> None:
    write_json(tmp_path, "metrics.json", {"format": 1, "test": {"accuracy": 0.8}})
    write_json(tmp_path, "choices.json", {"road": ROAD})
    words = report(tmp_path).words("choices")
    said = "the run took the road contrastive with the head mean: of roads, contrastive does best."
    assert f"With 120 training rows of 6 labels {said}" in words
    assert "mean probe 0.600 0.030 2.500 mean contrastive 0.800 0.000 2.500" in words
    assert "judged on 100 that were held out; the cheapest within one standard error of the best was taken" in words
    write_json(tmp_path, "choices.json", {"road": ROAD | {"scores": []}})
    assert "took the road contrastive" in report(tmp_path).words("choices")


def test_heads_that_were_compared_are_no_roads(report: Report, tmp_path: Path) -> None:
    write_json(tmp_path, "metrics.json", {"format": 1, "test": {"accuracy": 0.8}})
    score = {"road": "probe", "accuracy": 0.6, "error": 0.0, "seconds": 2.5}
    probes = [score | {"head": head} for head in ("mean", "native")]
    write_json(tmp_path, "choices.json", {"road": ROAD | {"scores": probes}})
    words = report(tmp_path).words("choices")
    assert "The heads were compared by probes, cross-validated on 100 training rows" in words
    assert "No roads were compared." in words
    assert "carried out" not in words
    write_json(tmp_path, "choices.json", {"road": ROAD | {"scores": probes[:1]}})
    words = report(tmp_path).words("choices")
    assert "A probe was cross-validated on 100 training rows; the less it lacks, the less" in words
    assert "compared" not in words


def test_one_of_both_and_none(report: Report, tmp_path: Path) -> None:
    write_json(tmp_path, "metrics.json", {"format": 1, "test": {"accuracy": 0.8}})
    assert "What the run chose" not in report(tmp_path).text
    write_json(tmp_path, "choices.json", {"depth": DEPTH})
    words = report(tmp_path).words("choices")
    assert "2 of 3 layers are frozen" in words
    assert "ranked" not in words


def test_a_checkpoint_that_was_trained_on_the_rows_is_marked(report: Report, tmp_path: Path) -> None:
    write_json(tmp_path, "metrics.json", {"format": 1, "test": {"accuracy": 0.8}})
    ranked = [RANKED[0] | {"seen": "was trained on this data set"}, RANKED[1] | {"seen": None}]
    write_json(tmp_path, "choices.json", {"checkpoint": {"ranked": ranked, "rows": 1200}})
    words = report(tmp_path).words("choices")
    assert "first/one * 0.800" in words
    assert flattered("first/one", "was trained on this data set") in words, "as `textxfer rank` words it"
    assert "second/one 0.800" in words
