"""The weights of the best evaluation so far."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textxfer.records import Scores
from textxfer.training.progress import Progress

if TYPE_CHECKING:
    import torch


class Best:
    """Evaluates, remembers the best trained weights (on the CPU), and says when patience has run out.

    Args:
        model: Whose parameters are kept that are trainable now, in whatever phase they are trained.
        evaluate: Gives the scores on validation.
        select_by: The metric that chooses.
        greater_is_better: Whether more of it is better.
        patience: Evaluations without gain before the run stops, or None.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        evaluate: Callable[[], Scores],
        select_by: str,
        greater_is_better: bool = True,
        patience: int | None = None,
    ) -> None:
        self.evaluate, self.select_by, self.patience = evaluate, select_by, patience
        self.sign = 1 if greater_is_better else -1
        self.parameters = {name: value for name, value in model.named_parameters() if value.requires_grad}
        self.weights: dict[str, torch.Tensor] = {}

    def look(self, progress: Progress) -> tuple[Scores, bool]:
        """Evaluates, and keeps the weights if the score is the best; notes all in `progress`.

        Returns:
            The scores, and whether they are the best so far.
        """
        scores = self.evaluate()
        value = scores.values.get(self.select_by, float("-inf") * self.sign)
        best = progress.best_step < 0 or self.sign * value > self.sign * progress.best_score
        if best:
            progress.best_step, progress.best_score, progress.since_best = progress.step, value, 0
            self.weights = {name: tensor.detach().to("cpu", copy=True) for name, tensor in self.parameters.items()}
        else:
            progress.since_best += 1
        progress.evaluated_step = progress.step
        progress.stopped_early = self.patience is not None and progress.since_best >= self.patience
        return scores, best

    def restore(self) -> None:
        """Puts the best weights back into the model."""
        import torch

        with torch.no_grad():
            for name, tensor in self.weights.items():
                self.parameters[name].copy_(tensor)
