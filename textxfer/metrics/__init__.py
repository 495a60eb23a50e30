"""Metrics: predictions and references in, one fraction out.

A metric is a `Metric` (see `_metric.py`) that bears its own name in its module. Some modules hold a family: `MEMBERS`
maps each name to its module.
"""

from textxfer.metrics._evaluate import evaluate_metric
from textxfer.metrics._metric import ANSWERS, LABEL_SETS, LABELS, Counts, Metric

MEMBERS = {
    "f1": "f1",
    "macro_f1": "f1",
    "micro_f1": "f1",
    "weighted_f1": "f1",
    "exact_match": "exact_match",
    "has_answer_exact_match": "exact_match",
    "no_answer_exact_match": "exact_match",
    "answer_f1": "answer_f1",
    "has_answer_answer_f1": "answer_f1",
    "no_answer_answer_f1": "answer_f1",
    "mean_distance": "distance",
    "within_one": "distance",
}

__all__ = ["ANSWERS", "LABELS", "LABEL_SETS", "MEMBERS", "Counts", "Metric", "evaluate_metric"]
