"""Names of metrics in plain words."""

from __future__ import annotations

TITLES = {
    "macro_f1": "Macro F1",
    "micro_f1": "Micro F1",
    "weighted_f1": "Weighted F1",
    "f1": "F1",
    "matthews": "Matthews correlation",
    "answer_f1": "Answer F1",
    "has_answer_exact_match": "Exact match, answerable",
    "no_answer_exact_match": "Exact match, unanswerable",
    "has_answer_answer_f1": "Answer F1, answerable",
    "no_answer_answer_f1": "Answer F1, unanswerable",
    "calibration_error": "Calibration error",
}
MEANINGS = {
    "calibration_error": "How far stated probabilities and the share that is right lie apart on average; 0 is best.",
    "loss": "The mean of -log(probability given to the reference); lower is better.",
}


def title(metric: str) -> str:
    """Gives a metric's name as a heading."""
    return TITLES.get(metric, metric.replace("_", " ").capitalize())


def within(metric: str) -> str:
    """Gives a metric's name as it stands within a sentence: "macro F1"."""
    name = title(metric)
    return name if name[1:2].isupper() or name[1:2].isdigit() else name[:1].lower() + name[1:]


def meaning(metric: str) -> str:
    """Gives what a metric says, in a sentence; "" where nothing is known of it."""
    from textxfer import registry
    from textxfer.errors import TextxferError

    if metric in MEANINGS:
        return MEANINGS[metric]
    try:
        return str(registry.load("metrics", metric).summary)
    except TextxferError:  # of a plugin that is not there
        return ""
