"""F1 of answers: the overlap of their words with a reference's, after SQuAD's normalisation."""

from __future__ import annotations

from collections import Counter

from textxfer.metrics._answers import mean_of_best, normalised


def _overlap(prediction: str, reference: str) -> float:
    given, gold = normalised(prediction).split(), normalised(reference).split()
    if not given or not gold:
        return float(given == gold)
    common = sum((Counter(given) & Counter(gold)).values())
    return 2 * common / (len(given) + len(gold))


answer_f1 = mean_of_best(
    _overlap,
    summary="The mean F1 of answers' words, against the reference that fits best.",
)
has_answer_answer_f1 = mean_of_best(
    _overlap,
    answerable=True,
    summary="The F1 of answers on the questions that have one.",
)
no_answer_answer_f1 = mean_of_best(
    _overlap,
    answerable=False,
    summary="The share of unanswerable questions that got no answer.",
)
