"""`Judge`: a run's evaluations, while it trains and when it has ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from textxfer.evaluation.evaluate import Evaluation, evaluate, evaluate_logits
from textxfer.evaluation.finishing import Finished, Labelled, finish
from textxfer.modeling.anatomy import pooled_only
from textxfer.records import Batch, Scores
from textxfer.training.stopping import StopSignal

if TYPE_CHECKING:
    import numpy as np
    from accelerate import Accelerator

    from textxfer.training.network import Network
    from textxfer.training.prepare import Prepared

LEAST_WATCHED, MOST_WATCHED = 100, 2000


@dataclass(frozen=True)
class Conclusion:
    """What is known when a run has ended.

    Attributes:
        evaluations: Of validation and test, where they are, by the model that is saved.
        finished: What was done to the model after training; None where that was nothing.
    """

    evaluations: Mapping[str, Evaluation]
    finished: Finished | None


class Judge:
    """Evaluates the splits of a run.

    Args:
        prepared: The run.
        network: What is computed of its model.
        accelerator: Of the run.
        stop: Asked between two batches.
    """

    def __init__(
        self, prepared: Prepared, network: Network, accelerator: Accelerator, stop: StopSignal | None = None
    ) -> None:
        self.prepared, self.network, self.accelerator = prepared, network, accelerator
        self._options: dict[str, Any] = {
            "accelerator": accelerator,
            "between": stop.check_alone if stop is not None else None,
        }

    def __call__(self, split: str) -> Evaluation:
        """Evaluates a split as the run computes: in its precision, with the states that are stored."""
        return self._evaluate(
            self._as_trained,
            self.network.encoded[split],
            getattr(self.prepared.rows.splits, split).rows,
            autocast=self.accelerator.autocast,
            batch_of=self._batches(split),
        )

    def watch(self) -> Scores:
        """Scores a sample of the training rows: a twentieth, 100 at least, no more than validation has."""
        split, rows = "train", self._watched
        encoded, places = self.network.encoded[split].of_rows(rows)
        batch_of = self._batches(split)
        return self._evaluate(
            self._as_trained,
            encoded,
            self.prepared.rows.splits.train.rows.select(rows),
            autocast=self.accelerator.autocast,
            batch_of=lambda indices: replace(batch_of(places[indices]), indices=indices),
        ).scores

    def conclude(self) -> Conclusion:
        """Calibrates the model, and evaluates it on every split but train: whole and in fp32, as others will load it.

        The test rows are looked at once, and last.
        """
        rows, finished = self.prepared.rows, None
        evaluations = {"validation": self.final("validation")} if rows.splits.validation is not None else {}
        calibrates = self.prepared.recipe.calibrate == "auto" and rows.labels is not None
        if evaluations and calibrates and evaluations["validation"].logits is not None:
            reserved = self._labelled(self.final("reserved")) if rows.splits.reserved is not None else None
            finished = finish(self.network.model, rows.task, self._labelled(evaluations["validation"]), reserved)
            evaluations["validation"] = self._calibrated(evaluations["validation"], finished)
        if rows.splits.test is not None:
            evaluations["test"] = self.final("test")
        return Conclusion(evaluations, finished)

    @property
    def _as_trained(self) -> Any:
        """What the run computes, with the weights that it has now; not wrapped for training.

        What the accelerator wraps keeps a forward pass that is bound to the wrapped module, of which a view for
        inference would be no view: it would go on in training mode.
        """
        from accelerate.utils import convert_outputs_to_fp32

        from textxfer.modeling.inference import for_inference

        precision = self.accelerator.mixed_precision
        module: Any = for_inference(self.network.part(), bf16=precision == "bf16")
        if precision != "no":
            module.forward = convert_outputs_to_fp32(module.forward)
        return module

    @cached_property
    def _watched(self) -> np.ndarray:
        import numpy as np

        splits = self.prepared.rows.splits
        assert splits.validation is not None
        train, validation = len(splits.train), len(splits.validation)
        size = min(train, validation, MOST_WATCHED, max(LEAST_WATCHED, train // 20))
        return np.sort(np.random.default_rng(0).permutation(train)[:size])

    def _batches(self, split: str) -> Callable[[np.ndarray], Batch]:
        return lambda indices: self.network.batch(split, indices, self.accelerator.device)

    def final(self, split: str) -> Evaluation:
        """Evaluates a split with the whole model in fp32."""
        from textxfer.modeling.inference import for_inference

        rows = getattr(self.prepared.rows.splits, split).rows
        model = for_inference(pooled_only(self.network.model))
        return self._evaluate(model, self.prepared.encoded[split], rows)

    def _evaluate(self, model: Any, encoded: Any, rows: Any, **options: Any) -> Evaluation:
        task, labels, names = self.prepared.rows.task, self.prepared.rows.labels, self._metrics
        pad = self.network.pad_token_id
        return evaluate(model, task, encoded, rows, labels, names, pad_token_id=pad, **self._options, **options)

    def _labelled(self, evaluation: Evaluation) -> Labelled:
        assert evaluation.logits is not None
        return Labelled(evaluation.logits, evaluation.predictions.references)

    def _calibrated(self, validation: Evaluation, finished: Finished) -> Evaluation:
        """Gives the evaluation of validation by the model as it is now."""
        import numpy as np

        prepared = self.prepared
        assert validation.logits is not None
        assert prepared.rows.labels is not None
        assert prepared.rows.splits.validation is not None
        logits = validation.logits / np.array(finished.calibration.temperature or 1.0)
        encoded, rows = prepared.encoded["validation"], prepared.rows.splits.validation.rows
        return evaluate_logits(logits, prepared.rows.task, encoded, rows, prepared.rows.labels, self._metrics)

    @property
    def _metrics(self) -> tuple[str, ...]:
        return tuple(self.prepared.recipe.evaluate.metrics or ())
