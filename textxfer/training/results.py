"""What metrics.json says of a finished run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from textxfer.evaluation.evaluate import Evaluation
from textxfer.evaluation.intervals import intervals
from textxfer.evaluation.leaks import without
from textxfer.evaluation.overfitting import Overfitting
from textxfer.evaluation.scoring import score
from textxfer.evaluation.verdict import contexts, scores_by_split, verdict
from textxfer.labels import LabelSet
from textxfer.modeling.freezing import Frozen
from textxfer.records import Splits
from textxfer.training.judge import Conclusion
from textxfer.training.plan import Plan
from textxfer.training.progress import Progress


def results(
    conclusion: Conclusion,
    *,
    labels: LabelSet | None,
    overfitting: Overfitting | None,
    leaked: Sequence[int] = (),
    plan: Plan,
    progress: Progress,
    frozen: Sequence[Frozen],
    splits: Splits,
    best_step: int,
    prefix_seconds: float,
    evaluate_seconds: float,
    total_seconds: float,
) -> dict[str, Any]:
    """Gives the content of metrics.json; its keys are a contract.

    Args:
        conclusion: Of the run.
        labels: None for answers.
        overfitting: What the curves say; None where there are none.
        leaked: Test rows whose text is in train too, or nearly.
        plan: Of the run.
        progress: At its end.
        frozen: What was not trained in each phase.
        splits: Whose rows are counted.
        best_step: The step whose weights were kept.
        prefix_seconds: Time of computing what frozen layers make of the texts.
        evaluate_seconds: Time of the final evaluations.
        total_seconds: Time of everything, in all parts of an interrupted run.
    """
    train_seconds = progress.seconds + prefix_seconds + progress.probe_seconds
    examples_per_second = plan.examples(progress.step) / max(train_seconds, 1e-9)
    timing = {
        "train_seconds": train_seconds,
        "prefix_seconds": prefix_seconds,
        "probe_seconds": progress.probe_seconds,
        "evaluate_seconds": evaluate_seconds,
        "total_seconds": total_seconds,
        "examples_per_second": examples_per_second,
    }
    return {
        "format": 1,
        **scores_by_split(conclusion.evaluations),
        **_trust(conclusion, splits, labels, leaked),
        **({"overfitting": overfitting.to_dict()} if overfitting is not None else {}),
        "timing": {name: round(seconds, 3) for name, seconds in timing.items()},
        "padding_share": round(plan.padding, 4),
        "trainable_parameters": _most_trained(plan, progress, frozen),
        "total_parameters": frozen[0].total,
        **({"phases": list(_phases(plan, progress, frozen))} if len(plan.phases) > 1 else {}),
        "steps": progress.step,
        "best_step": best_step,
        "stopped_early": progress.stopped_early,
        "num_examples": {name: len(split) for name, split in splits.present(reserved=True)},
    }


def _most_trained(plan: Plan, progress: Progress, frozen: Sequence[Frozen]) -> int:
    """Gives the parameters of the phase that trained the most, among those that the run has come to."""
    reached = plan.phase(max(progress.step - 1, 0))
    return max(each.trainable for each in frozen[: reached + 1])


def _phases(plan: Plan, progress: Progress, frozen: Sequence[Frozen]) -> Iterator[dict[str, Any]]:
    """Gives what each phase was; steps are those that were taken, the first counted from 1 as in log.jsonl."""
    for number, (phase, its_frozen) in enumerate(zip(plan.phases, frozen, strict=True)):
        first = plan.first_step(number)
        yield {
            "first_step": first + 1,
            "steps": min(max(progress.step - first, 0), phase.steps),
            "frozen_layers": phase.layers,
            "frozen_embeddings": its_frozen.embeddings,
            "learning_rate": phase.learning_rate,
            "trainable_parameters": its_frozen.trainable,
        }


def _trust(conclusion: Conclusion, splits: Splits, labels: LabelSet | None, leaked: Sequence[int]) -> dict[str, Any]:
    """Gives how far the scores and probabilities can be trusted."""
    metrics: dict[str, Any] = {}
    if "test" in conclusion.evaluations and splits.test is not None:
        tested = conclusion.evaluations["test"]
        metrics |= verdict(tested, tested.scores.values, labels, contexts(splits.test.rows)).to_metrics("test")
        if len(leaked):
            metrics["without_leaks"] = _without(tested, leaked, labels)
    if conclusion.finished is not None:
        metrics["calibration"] = conclusion.finished.calibration.to_dict()
    return metrics


def _without(tested: Evaluation, leaked: Sequence[int], labels: LabelSet | None) -> dict[str, Any]:
    """Gives the scores of the test rows that are not in train."""
    left = without(tested.predictions, leaked)
    scores = score(left, tested.scores.values, labels).values if len(left) else {}
    sure = intervals(left, scores, labels).low_high
    return {"rows": len(left), "test": dict(scores), "intervals": {name: list(ends) for name, ends in sure.items()}}
