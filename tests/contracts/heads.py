"""What every head of textxfer's promises, as functions that a plugin's own tests can call.

    case = make_case(HeadChoice("mine", {"width": 3}), checkpoint_folder)
    for check in CHECKS:
        check(case, tmp_path)

Each raises AssertionError where a promise is broken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.trained import BAD, GOOD
from textxfer.heads import HeadChoice
from textxfer.labels import LabelSet
from textxfer.modeling.build import build
from textxfer.modeling.checkpoint import Checkpoint, open_checkpoint
from textxfer.modeling.saving import save_model

TOLERANCE = 1e-5
LABELS = LabelSet(("c", "a", "b"))
TEXTS = [*GOOD, *BAD, "no"]


@dataclass(frozen=True)
class Case:
    """A head on a backbone.

    Attributes:
        choice: The head.
        checkpoint: Of the backbone.
        model: With random weights, large enough that logits differ; in eval mode.
    """

    choice: HeadChoice
    checkpoint: Checkpoint
    model: Any

    def logits(self, texts: list[str], pad_to: int | None = None) -> Any:
        """Gives the logits of texts in one batch, padded to the longest of them or to more."""
        import torch

        with torch.no_grad():
            return self.model(**self.inputs(texts, pad_to)).logits

    def inputs(self, texts: list[str], pad_to: int | None = None) -> dict[str, Any]:
        padding: dict[str, Any] = {"padding": "max_length", "max_length": pad_to} if pad_to else {"padding": True}
        return dict(self.checkpoint.tokenizer(texts, return_tensors="pt", **padding))


def make_case(choice: HeadChoice, folder: Path) -> Case:
    """Builds a head on the backbone of a checkpoint."""
    import torch

    checkpoint = open_checkpoint(str(folder))
    model: Any = build(checkpoint, "", LABELS, head=choice).model
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    return Case(choice, checkpoint, model.eval())


def batched_equals_unbatched(case: Case, folder: Path) -> None:
    """A text's logits are the same alone and among others."""
    import torch

    together = case.logits(TEXTS)
    assert together.shape == (len(TEXTS), len(LABELS))
    assert float((together.max(dim=0).values - together.min(dim=0).values).max()) > 0.01, "logits that never differ"
    alone = torch.cat([case.logits([text]) for text in TEXTS])
    torch.testing.assert_close(together, alone, atol=TOLERANCE, rtol=TOLERANCE)


def padding_does_not_change_logits(case: Case, folder: Path) -> None:
    """Padding on the right is not looked at."""
    import torch

    torch.testing.assert_close(case.logits(TEXTS, 48), case.logits(TEXTS), atol=TOLERANCE, rtol=TOLERANCE)


def saved_and_loaded_gives_the_same_logits(case: Case, folder: Path) -> None:
    """A saved model says what it is, and keeps its head and labels."""
    import torch

    expected = case.logits(TEXTS)
    save_model(case.model, case.checkpoint.tokenizer, folder / "model", {"task": "topic", "max_length": 48})
    opened = open_checkpoint(str(folder / "model"))
    assert opened.head == case.choice
    assert opened.label_names == LABELS.names
    built = build(opened, "", LABELS, head=opened.head, seed=7)
    assert (built.new, built.dropped) == ((), None)
    again = Case(case.choice, case.checkpoint, built.model.eval())
    torch.testing.assert_close(again.logits(TEXTS), expected, atol=0, rtol=0)


def gradient_reaches_every_parameter(case: Case, folder: Path) -> None:
    """Nothing in the model is there for nothing."""
    output = case.model(**case.inputs(TEXTS))
    output.logits.square().sum().backward()
    without = [name for name, weight in case.model.named_parameters() if weight.grad is None or not weight.grad.any()]
    case.model.zero_grad()
    assert not without


def the_token_is_all_that_it_looks_at(case: Case, folder: Path) -> None:
    """Where a head names the one token that it looks at, the others may be missing."""
    import torch

    if case.model.head.token is None:
        return
    states, mask = torch.randn(2, 5, case.model.config.hidden_size), torch.tensor([[1, 1, 1, 0, 0], [1] * 5])
    place = torch.tensor([0, 0]) if case.model.head.token == "first" else mask.sum(dim=1) - 1
    short = states[torch.arange(2), place][:, None]
    with torch.no_grad():
        whole, alone = case.model.head(states, mask), case.model.head(short, torch.ones(2, 1, dtype=torch.long))
    torch.testing.assert_close(whole, alone, atol=TOLERANCE, rtol=TOLERANCE)


def the_last_layer_gives_the_logits(case: Case, folder: Path) -> None:
    """What `last` gives is what the model gives: a probe and a temperature go there."""
    if case.model.head.last is None:
        return
    given: list[Any] = []
    handle = case.model.head.last.register_forward_hook(lambda _, __, output: given.append(output))
    logits = case.logits(TEXTS)
    handle.remove()
    assert bool((given[0] == logits).all())


CHECKS: tuple[Callable[[Case, Path], None], ...] = (
    batched_equals_unbatched,
    padding_does_not_change_logits,
    saved_and_loaded_gives_the_same_logits,
    gradient_reaches_every_parameter,
    the_token_is_all_that_it_looks_at,
    the_last_layer_gives_the_logits,
)
