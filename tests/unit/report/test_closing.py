"""The closing lines of a run."""

from __future__ import annotations

import re
from pathlib import Path

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


def test_the_summary_of_seeds_says_where_the_page_is() -> None:
    cell = {"mean": 0.5, "sd": 0.1, "values": [0.4, 0.6]}
    metrics = {"seeds": [1, 2], "test": {"accuracy": cell}, "best_seed": 2}
    text = summary(Path("runs/two"), Path("runs/two/seed-2/model"), metrics)
    assert "accuracy    0.5000 +- 0.1000" in text
    assert "report: runs/two/report.html" in text
