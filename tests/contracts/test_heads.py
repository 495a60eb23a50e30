"""Every head on the shelf keeps its promises, on every family of checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from tests.contracts.heads import CHECKS, Case, batched_equals_unbatched, make_case, padding_does_not_change_logits
from textxfer import registry
from textxfer.heads import HeadChoice, is_stock

OPTIONS: dict[str, list[dict[str, Any]]] = {
    "mean": [{"dropout": 0.1}],
    "mlp": [
        {"pooling": "cls", "hidden": [8], "activation": "tanh", "dropout": 0.1},
        {"pooling": "mean", "hidden": [8, 6], "activation": "gelu", "dropout": 0.0},
        {"pooling": "last", "hidden": [], "activation": "gelu", "dropout": 0.1},
        {"pooling": "max", "hidden": [64], "activation": "relu", "dropout": 0.1},
    ],
}
"""What a head is tried with; one that is not named here is tried with its defaults."""
CASES = [
    (name, options)
    for name in registry.names("heads")
    if not is_stock(name)
    for options in OPTIONS.get(name, [registry.config("heads", name)().model_dump(exclude={"name", "start"})])
]


def name_of(value: Any) -> str:
    return str(value.get("pooling", "-")) if isinstance(value, dict) else str(value)


@pytest.fixture(scope="module")
def case_of(checkpoints: Callable[[str], Path]) -> Callable[..., Case]:
    """Makes a head's case on a family's tiny checkpoint, once."""
    made: dict[str, Case] = {}

    def get(name: str, options: dict[str, Any], family: str) -> Case:
        key = f"{name} {options} {family}"
        if key not in made:
            made[key] = make_case(HeadChoice(name, options), checkpoints(family))
        return made[key]

    return get


@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize(("name", "options"), CASES, ids=name_of)
def test_head_keeps_its_promises(name: str, options: dict[str, Any], family: str, case_of: Any, tmp_path: Path) -> None:
    case = case_of(name, options, family)
    for check in CHECKS:
        check(case, tmp_path / check.__name__)


def test_broken_promises_are_noticed(case_of: Any, tmp_path: Path) -> None:
    """A head that looks at padding, or at the other texts of its batch, is caught."""
    from dataclasses import replace

    import torch

    case = case_of("mean", {"dropout": 0.1}, "bert")

    class Careless(torch.nn.Module):
        def __init__(self, batch: bool) -> None:
            super().__init__()
            self.inner, self.batch = case.model.head, batch

        def forward(self, hidden: Any, mask: Any) -> Any:
            logits = self.inner(hidden, mask if self.batch else torch.ones_like(mask))
            return logits - logits.mean(dim=0) if self.batch else logits

    for batch, check in ((True, batched_equals_unbatched), (False, padding_does_not_change_logits)):
        model = type(case.model)(case.model.backbone, Careless(batch), case.choice).eval()
        with pytest.raises(AssertionError):
            check(replace(case, model=model), tmp_path)
