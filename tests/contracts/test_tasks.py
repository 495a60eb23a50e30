"""Every task on the shelf keeps its promises, on every family of checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from tests.contracts.tasks import CHECKS, Case, batched_equals_unbatched, label_order_survives, make_case
from tests.trained import WINDOW, questions, reviews, topics
from textxfer import registry

SETTINGS: dict[str, list[dict[str, Any]]] = {
    "sentiment": [{"max_length": 32}, {"max_length": 32, "ordered": True, "labels": ["good", "bad"]}],
    "topic": [{"max_length": 32}, {"max_length": 32, "multi_label": True}],
    "question_answering": [WINDOW],
}
"""What a task is tried with; one that is not named here is tried with its defaults."""
CASES = [(name, settings) for name in registry.names("tasks") for settings in SETTINGS.get(name, [{}])]


def name_of(value: Any) -> str:
    return "-".join(key for key, set_ in value.items() if set_ is True) if isinstance(value, dict) else str(value)


@pytest.fixture(scope="module")
def case_of(checkpoints: Callable[[str], Path]) -> Callable[..., Case]:
    """Makes a task's case on a family's tiny checkpoint, once."""
    made: dict[str, Case] = {}

    def get(name: str, settings: dict[str, Any], family: str, written: bool = False) -> Case:
        key = f"{name} {settings} {family} {written}"
        if key not in made:
            task = registry.load("tasks", name)(**settings)
            columns = {}
            if "answers" in task.required_columns:
                rows = questions()[:6] if written else questions()  # each answer is written by itself
            elif task.predicts == "label sets":
                rows, columns = topics(), {"text_pair": "text_pair"}
            else:
                rows = reviews()
            made[key] = make_case(task, rows, checkpoints(family), columns, written)
        return made[key]

    return get


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize(("name", "settings"), CASES, ids=name_of)
def test_task_keeps_its_promises(
    name: str, settings: dict[str, Any], family: str, check: Any, case_of: Any, tmp_path: Path
) -> None:
    check(case_of(name, settings, family), tmp_path)


@pytest.mark.parametrize("check", [check for check in CHECKS if check is not label_order_survives])
@pytest.mark.parametrize(("name", "settings"), [case for case in CASES if not case[1].get("multi_label")], ids=name_of)
def test_task_keeps_its_promises_when_it_is_written(
    name: str, settings: dict[str, Any], check: Any, case_of: Any, tmp_path: Path
) -> None:
    check(case_of(name, settings, "t5", written=True), tmp_path)


def test_broken_promise_is_noticed(case_of: Any, tmp_path: Path) -> None:
    """A task whose predictions depend on the batch is caught."""
    from dataclasses import replace

    case = case_of("sentiment", {"max_length": 32}, "bert")

    class Careless(type(case.task)):  # type: ignore[misc]
        def reduce(self, output: Any, batch: Any, encoded: Any) -> Any:
            return {"logits": output.logits - output.logits.mean(dim=0)}

    with pytest.raises(AssertionError):
        batched_equals_unbatched(replace(case, task=Careless(max_length=32)), tmp_path)
