"""The contrastive start of a backbone: texts of one label come together, those of two move apart, as SetFit does first.

What is trained is the vector of a text that the head's last linear layer will see. An example is a group of texts that
is drawn anew in each step, two or more of each of some labels, so that no table of pairs is needed; all pairs within a
group count (Tunstall et al. 2022 draw single pairs). A step's loss is a sum over groups: cutting it into micro-batches
or over processes changes nothing.

Letters in shapes: G groups, M texts of a group, D values of a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from textxfer.data.batching import collate
from textxfer.modeling.anatomy import last_linear, pooled_token
from textxfer.modeling.features import HeadInputs
from textxfer.modeling.freezing import Frozen
from textxfer.records import Batch, Encoded
from textxfer.training.few_rows import GROUPS, TEXTS
from textxfer.training.loop import fit
from textxfer.training.network import Network
from textxfer.training.observers import Observer
from textxfer.training.optimizer import adamw
from textxfer.training.plan import Plan
from textxfer.training.progress import Progress
from textxfer.training.step import Stepper

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator


def contrast(
    model: torch.nn.Module,
    frozen: Frozen,
    encoded: Encoded,
    accelerator: Accelerator,
    *,
    steps: int,
    learning_rate: float,
    weight_decay: float = 0.01,
    micro_batch_size: int | Literal["auto"] = "auto",
    bulk_dropout: bool = True,
    pad_token_id: int = 0,
    seed: int = 0,
    check_stop: Callable[[], None] = lambda: None,
    observers: Sequence[Observer] = (),
) -> None:
    """Trains a classifier's weights below its last linear layer, those that are not frozen, in place.

    Args:
        model: A stock classifier on its device.
        frozen: What is not trained of it.
        encoded: Training examples with one label each, of two labels at least.
        accelerator: Of the run.
        steps: Optimizer steps.
        learning_rate: The highest; it rises in a tenth of the steps and falls to nothing.
        weight_decay: Of AdamW.
        micro_batch_size: Texts of a forward pass, in whole groups and one group at least; `auto`: see `Stepper`.
        bulk_dropout: See `Stepper`.
        pad_token_id: Of the tokenizer.
        seed: Of groups and dropout.
        check_stop: Called between two steps; may raise to stop.
        observers: Told of the steps.

    Raises:
        TrainingDiverged: A loss or a gradient is not finite.
    """
    layer = last_linear(model)
    trained = [parameter for parameter in layer.parameters() if parameter.requires_grad]
    layer.requires_grad_(False)  # it stands above what is trained
    try:
        network = TextGroups(model, frozen, encoded, pad_token_id, seed)
        module, optimizer = accelerator.prepare(network.module, adamw(model, learning_rate, weight_decay))
        network.module = module
        stepper = Stepper(
            network,
            optimizer,
            network.loss,
            accelerator,
            micro_batch_size="auto" if micro_batch_size == "auto" else network.groups.within(micro_batch_size),
            seed=seed,
            bulk_dropout=bulk_dropout,
        )
        plan = _plan(encoded.lengths, steps, learning_rate, seed)
        fit(stepper, plan, Progress(), check_stop=check_stop, observers=observers)
    finally:
        accelerator.free_memory()  # it holds on to the moments
        for parameter in trained:
            parameter.requires_grad_(True)


def _plan(lengths: np.ndarray, steps: int, learning_rate: float, seed: int) -> Plan:
    plan = Plan(
        lengths,
        batch_size=GROUPS,
        learning_rate=learning_rate,
        max_steps=steps,
        save_every="never",
        batching="random",
        seed=seed,
    )
    return replace(plan, epochs=-(-steps // plan.steps_per_epoch))


class TextGroups(Network):
    """What the contrastive start computes of a classifier: the vectors of groups of texts.

    Args:
        model: Stock, on its device.
        frozen: What is not trained of it.
        encoded: Training examples with one label each, of two labels at least.
        pad_token_id: Of the tokenizer.
        seed: Of what is drawn, with the step and the example.
    """

    def __init__(
        self, model: torch.nn.Module, frozen: Frozen, encoded: Encoded, pad_token_id: int = 0, seed: int = 0
    ) -> None:
        super().__init__(model, frozen, {"train": encoded}, pad_token_id)
        assert encoded.targets is not None
        self.groups, self.texts = Groups(encoded.targets, seed), replace(encoded, targets=None)
        self.module = HeadInputs(self.module, last_linear(model), pooled_token(model))

    def batch(self, split: str, indices: Any, device: Any, step: int | None = None) -> Batch:
        """Gives the groups that some rows stand at the head of, one group after the other."""
        places = np.concatenate([self.groups.draw(row, step or 0) for row in indices.tolist()])
        batch = collate(self.texts, places, pad_token_id=self.pad_token_id, device=device)
        return replace(batch, indices=indices)

    def loss(self, vectors: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Gives the loss of the vectors (G M, D), summed over groups.

        The cosine of two texts is to be 1 where they have one label and 0 where they have two; half of a group's loss
        is the mean squared error of the one kind of pairs, half that of the other.
        """
        import torch

        unit = torch.nn.functional.normalize(vectors.float(), dim=1).unflatten(0, (len(batch), -1))
        places = torch.arange(unit.shape[1], device=unit.device)
        label = places // self.groups.each
        first, second = torch.triu_indices(len(places), len(places), offset=1, device=unit.device)
        cosines = (unit[:, first] * unit[:, second]).sum(dim=2)
        same = label[first] == label[second]
        near, apart = (1 - cosines[:, same]) ** 2, cosines[:, ~same] ** 2
        return (near.mean(dim=1) + apart.mean(dim=1)).sum() / 2


class Groups:
    """Groups of rows, each a function of its first row, the step and the seed.

    Args:
        targets: Label id of each row (N,), of two labels at least.
        seed: Of what is drawn.

    Attributes:
        labels: Labels in a group.
        each: Texts of each of them.
    """

    def __init__(self, targets: np.ndarray, seed: int = 0) -> None:
        self.targets, self.seed = targets, seed
        self.rows = {label: np.flatnonzero(targets == label) for label in np.unique(targets).tolist()}
        assert len(self.rows) > 1, "texts of one label cannot be moved apart"
        self.labels = min(len(self.rows), TEXTS // 2)
        self.each = TEXTS // self.labels

    def within(self, texts: int) -> int:
        """Gives how many groups have so many texts or fewer, one at least."""
        return max(texts // (self.labels * self.each), 1)

    def draw(self, row: int, step: int) -> np.ndarray:
        """Gives the rows of a group (M,), label by label, those of the given row's label first.

        All other labels have the same chance to be in it. A label with too few rows gives some of them twice: dropout
        makes two vectors of one text (Gao et al. 2021).
        """
        rng = np.random.default_rng((self.seed, step, row))
        own = int(self.targets[row])
        fellows = self.rows[own][self.rows[own] != row]
        chosen = [_some(fellows if len(fellows) else np.array([row]), self.each - 1, rng)]
        others = rng.permutation([label for label in self.rows if label != own])
        chosen += [_some(self.rows[label], self.each, rng) for label in others[: self.labels - 1].tolist()]
        return np.concatenate([[row], *chosen])


def _some(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    return rng.choice(rows, count, replace=len(rows) < count)
