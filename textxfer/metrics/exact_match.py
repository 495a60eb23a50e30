"""Exact match: the share of answers that equal a reference after SQuAD's normalisation."""

from __future__ import annotations

from textxfer.metrics._answers import mean_of_best, normalised


def _equal(prediction: str, reference: str) -> float:
    return float(normalised(prediction) == normalised(reference))


exact_match = mean_of_best(
    _equal,
    summary="The share of answers that equal one of the references.",
)
has_answer_exact_match = mean_of_best(
    _equal,
    answerable=True,
    summary="Exact match on the questions that have an answer.",
)
no_answer_exact_match = mean_of_best(
    _equal,
    answerable=False,
    summary="The share of unanswerable questions that got no answer.",
)
