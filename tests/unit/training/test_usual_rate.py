"""The learning rate of a recipe that names none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers
import yaml

from tests.unit.training.helpers import Watcher, log, splits
from textxfer.modeling.anatomy import usual_rate
from textxfer.recipe.loading import load_recipe
from textxfer.run import run_recipe
from textxfer.training.few_rows import on_road
from textxfer.training.phases import how_it_trains
from textxfer.training.prepare import planned_anew, prepare


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (transformers.BertConfig(), 5e-5),
        (transformers.BertConfig(hidden_size=384), 1e-4),
        (transformers.BertConfig(hidden_size=1024), 3.8e-5),
        (transformers.DistilBertConfig(), 5e-5),
        (transformers.GPT2Config(n_embd=768), 5e-5),
        (transformers.T5Config(d_model=768), 2e-4),
        (transformers.T5Config(d_model=512), 3e-4),
    ],
)
def test_wider_checkpoints_learn_at_lower_rates(config: Any, expected: float) -> None:
    assert usual_rate(config) == pytest.approx(expected)


@pytest.mark.parametrize(("lora", "times"), [(None, 1), ({"rank": 2}, 10)])
def test_a_run_takes_the_checkpoints_rate_and_writes_it_down(
    lora: dict[str, Any] | None, times: int, recipe: Callable[..., dict[str, Any]], reviews: list[dict[str, Any]]
) -> None:
    sections = recipe(lora=lora) if lora is not None else recipe()
    sections["train"] = {"epochs": 1, "log_every": 1, "warmup_ratio": 0.0, "schedule": "constant"}
    watcher = Watcher()
    result = run_recipe(sections, splits=splits(), observers=[watcher])
    width = transformers.AutoConfig.from_pretrained(sections["checkpoint"]).hidden_size
    expected = pytest.approx(5e-5 * 768 / width * times, rel=0.05)
    assert log(result.folder)[0]["learning_rate"] == expected
    resolved = yaml.safe_load((Path(result.folder) / "recipe.yaml").read_text(encoding="utf-8"))
    assert float(resolved["train"]["learning_rate"]) == expected
    [said] = [note for note in watcher.notes if note.startswith("trains in ")]
    assert f"at a rate up to {float(resolved['train']['learning_rate']):g} (train.learning_rate: auto); " in said


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"train": {"learning_rate": 1e-3}}, "fp32 on cpu, at a rate up to 0.001; "),
        ({"train": {"phases": [{"epochs": 1, "learning_rate": 0.01}]}}, "fp32 on cpu, at a rate up to 0.01; "),
        ({"train": {"phases": [{"epochs": 1}]}}, "fp32 on cpu, at a rate up to 0.0024 (train.learning_rate: auto); "),
        ({"head": {"start": "probe"}, "freeze": {"layers": "all"}}, "fp32 on cpu"),
        ({"small_data": "contrastive", "head": {"name": "native"}}, "fp32 on cpu, at a rate up to 0.0024 (train."),
        ({"small_data": {"road": "contrastive", "learning_rate": 0.01}}, "fp32 on cpu, at a rate up to 0.01"),
    ],
    ids=str,
)
def test_how_a_run_trains_is_told(sections: dict[str, Any], expected: str, bert: Path) -> None:
    mapping = {"checkpoint": str(bert), "task": {"name": "sentiment", "max_length": 32}} | sections
    asked = load_recipe(mapping, rows_given=True)
    prepared = prepare(asked, splits())
    done = on_road(prepared.recipe, "contrastive", "native", 28) if "small_data" in sections else prepared.recipe
    plan = planned_anew(prepared, done).plan
    said = how_it_trains(asked, done, plan, "fp32 on cpu").removeprefix("trains in ")
    assert said.startswith(expected)
    assert ("auto" in said) == ("auto" in expected or "train." in expected)
    assert ("padding" in said) == bool(plan.steps)
