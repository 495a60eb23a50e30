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
