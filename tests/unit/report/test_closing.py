"""The closing lines of a run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.report.dom import Page
from tests.unit.report.made import write_json
from textxfer.report.closing import summary


def test_a_summary_has_a_dash_where_a_split_lacks_a_metric() -> None:
    timing = {"train_seconds": 61.2, "total_seconds": 75.0}
    metrics = {
        "validation": {"exact_match": 0.5, "no_answer_exact_match": 1.0},
        "test": {"exact_match": 0.25},
        "num_examples": {"train": 8, "validation": 2, "test": 4},
        "best_step": 3, "steps": 4, "timing": timing,
    }  # fmt: skip
    text = summary(Path("runs/qa"), Path("runs/qa/model"), metrics)
    assert re.search(r"^no_answer_exact_match +1\.0000 +-$", text, re.MULTILINE)
    assert "best step 3 of 4; 61 s of training, 75 s in all" in text
    assert "question='...', context='...'" in text


def test_a_model_of_pairs_is_shown_a_pair() -> None:
    timing = {"train_seconds": 1.0, "total_seconds": 1.0}
    metrics = {"per_label": {}, "num_examples": {"train": 8}, "best_step": 3, "steps": 4, "timing": timing}
    for pairs, call in (True, "({'text': 'your text', 'text_pair': 'its pair'}))\""), (False, "('your text'))\""):
        assert summary(Path("runs/a"), Path("runs/a/model"), metrics, pairs).endswith(call)


@pytest.mark.parametrize(
    ("dataset", "call"),
    [({"text_pair": "b"}, 'model({"text": "Your text.", "text_pair": "Its pair."})'), ({}, 'model("Your text.")')],
)
def test_the_report_shows_how_its_model_is_called(
    dataset: dict[str, str], call: str, report: Callable[[Path], Page], tmp_path: Path
) -> None:
    write_json(tmp_path, "metrics.json", {"format": 1, "test": {"accuracy": 0.8}})
    (tmp_path / "recipe.yaml").write_text(json.dumps({"dataset": dataset, "task": {"name": "topic"}}))
    assert call in report(tmp_path).words("origin")


def test_the_summary_of_seeds_says_where_the_page_is() -> None:
    cell = {"mean": 0.5, "sd": 0.1, "values": [0.4, 0.6]}
    metrics = {"seeds": [1, 2], "test": {"accuracy": cell}, "best_seed": 2}
    text = summary(Path("runs/two"), Path("runs/two/seed-2/model"), metrics)
    assert "accuracy    0.5000 +- 0.1000" in text
    assert "report: runs/two/report.html" in text
