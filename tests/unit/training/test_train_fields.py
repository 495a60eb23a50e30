"""Every field of `train` does something: law 9."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertForSequenceClassification

from tests.unit.training.helpers import Watcher, assert_same_weights, log, rows, splits, weights
from textxfer.errors import RecipeError
from textxfer.recipe.sections import Train
from textxfer.run import RunResult, run_recipe

Small = Callable[..., dict[str, Any]]

CHANGE_THE_WEIGHTS: dict[str, Any] = {
    "epochs": 1,
    "max_steps": 5,
    "batch_size": 4,
    "batching": "random",
    "learning_rate": 2e-3,
    "head_learning_rate": 2e-3,
    "layer_decay": 0.5,
    "warmup_ratio": 0.5,
    "schedule": "constant",
    "weight_decay": 0.5,
    "max_grad_norm": 0.01,
    "label_smoothing": 0.2,
    "class_weights": {"good": 3.0},
    "dropout": 0.4,
    "precision": "bf16",
    "seed": 1,
}
SEEN_ELSEWHERE = {
    "micro_batch_size": "test_micro_batches_are_as_large_as_the_recipe_says",
    "activation_checkpointing": "test_activations_are_computed_again_in_the_backward_pass",
    "patience": "test_loop.py",
    "evaluate_every": "test_loop.py",
    "save_every": "test_resume.py",
    "log_every": "test_the_log_has_a_line_for_every_so_many_steps",
    "seeds": "test_seeds.py",
    "trackers": "test_seeds.py",
    "cuda_graphs": "test_training_on_gpu.py",
    "phases": "test_phases.py",
    "prefix_cache": "test_frozen_layers_are_computed_once_unless_it_is_off",
}


def test_every_field_is_tested() -> None:
    assert set(CHANGE_THE_WEIGHTS) | set(SEEN_ELSEWHERE) == set(Train.model_fields)


def uneven() -> dict[str, Any]:
    """Gives splits with more good rows than bad, and no validation: the last weights are kept."""
    good = [row for row in rows(40, 300) if row["label"] == "good"]
    return {"train": [*rows(16), *good[:12]], "test": rows(5, 200)}


def train(small: Small, name: str, **fields: Any) -> RunResult:
    return run_recipe(small(dataset={"validation_fraction": 0}, train=fields), f"name={name}", splits=uneven())


def losses(result: RunResult) -> list[float]:
    return [line["loss"] for line in log(result.folder)]


@pytest.mark.parametrize("field", CHANGE_THE_WEIGHTS)
def test_a_field_changes_the_weights(small: Small, field: str) -> None:
    plain = weights(train(small, "plain").folder)
    changed = weights(train(small, "changed", **{field: CHANGE_THE_WEIGHTS[field]}).folder)
    assert any(not tensor.equal(changed[name]) for name, tensor in plain.items())


def test_balanced_weights_are_those_of_scikit_learn(small: Small) -> None:
    import numpy as np
    from sklearn.utils.class_weight import compute_class_weight

    labels = [row["label"] for row in uneven()["train"]]
    names = sorted(set(labels))
    computed = compute_class_weight("balanced", classes=np.array(names), y=labels)
    each = {name: float(weight) for name, weight in zip(names, computed, strict=True)}
    balanced, written = train(small, "one", class_weights="balanced"), train(small, "two", class_weights=each)
    plain = train(small, "three")
    assert losses(balanced) == pytest.approx(losses(written), rel=1e-5)
    assert losses(balanced)[0] != losses(plain)[0]


def test_balanced_label_sets_weigh_the_rows_with_a_label_like_those_without(small: Small) -> None:
    given = uneven()
    for part in given.values():
        for number, row in enumerate(part):
            row["label"] = ["every", *(["rare"] if number % 7 == 0 else [])]
    task, rare = {"name": "topic", "multi_label": True}, sum(len(row["label"]) == 2 for row in given["train"])
    each = {"every": 1.0, "rare": (len(given["train"]) - rare) / rare}

    def losses_with(name: str, weights: Any) -> list[float]:
        data = {"validation_fraction": 0}
        recipe = small(name=name, task=task, dataset=data, train={"class_weights": weights})
        return losses(run_recipe(recipe, splits=given))

    balanced, written, plain = (losses_with(*each) for each in (("one", "balanced"), ("two", each), ("three", "none")))
    assert balanced == pytest.approx(written, rel=1e-5)
    assert balanced[0] != plain[0]


@pytest.mark.parametrize(("field", "value"), [("label_smoothing", 0.2), ("class_weights", {"good": 3.0})])
def test_the_first_loss_says_what_is_made_small(small: Small, field: str, value: Any) -> None:
    plain, changed = train(small, "plain", log_every=1), train(small, "changed", log_every=1, **{field: value})
    assert abs(losses(plain)[0] - losses(changed)[0]) > 1e-4


def test_a_label_smoothed_loss_cannot_fall_to_nothing(small: Small) -> None:
    fields = {"learning_rate": 1e-2, "epochs": 15, "label_smoothing": 0.4, "dropout": 0.0}
    entropy = -(0.8 * torch.tensor(0.8).log() + 0.2 * torch.tensor(0.2).log())
    assert min(losses(train(small, "smooth", **fields))) >= float(entropy) - 1e-4


def test_max_grad_norm_null_never_scales_gradients_down(small: Small) -> None:
    free = train(small, "free", max_grad_norm=None)
    loose = train(small, "loose", max_grad_norm=1e9)
    tight = train(small, "tight", max_grad_norm=1e-3)
    assert all(tensor.equal(weights(loose.folder)[name]) for name, tensor in weights(free.folder).items())
    assert any(not tensor.equal(weights(tight.folder)[name]) for name, tensor in weights(free.folder).items())


@pytest.fixture
def forward_sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the forward passes that train, as they come."""
    forward, sizes = BertForSequenceClassification.forward, []

    def noting(self: Any, input_ids: Any = None, **options: Any) -> Any:
        if self.training:
            sizes.append(len(input_ids))
        return forward(self, input_ids=input_ids, **options)

    monkeypatch.setattr(BertForSequenceClassification, "forward", noting)
    return sizes


def test_micro_batches_are_as_large_as_the_recipe_says(small: Small, forward_sizes: list[int]) -> None:
    train(small, "plain", max_steps=2)
    assert sorted(set(forward_sizes)) in ([8], [4, 8])
    forward_sizes.clear()
    train(small, "changed", max_steps=2, micro_batch_size=3)
    assert set(forward_sizes) <= {3, 2, 1}
    assert max(forward_sizes) == 3


def test_activations_are_computed_again_in_the_backward_pass(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.models.bert import modeling_bert

    intermediate, calls = modeling_bert.BertIntermediate.forward, []

    def noting(self: Any, *inputs: Any) -> Any:
        calls.append(self.training)
        return intermediate(self, *inputs)

    monkeypatch.setattr(modeling_bert.BertIntermediate, "forward", noting)

    def computed(name: str, again: bool) -> tuple[int, RunResult]:
        calls.clear()
        return sum(calls), train(small, name, activation_checkpointing=again, dropout=0.0)

    _, plain = computed("plain", False)
    once = sum(calls)
    _, changed = computed("changed", True)
    assert sum(calls) == 2 * once
    for name, tensor in weights(plain.folder).items():
        assert tensor.allclose(weights(changed.folder)[name], atol=1e-5)
    train(small, "dropped", activation_checkpointing=True, max_steps=1)  # the same numbers are dropped again


def test_the_log_has_a_line_for_every_so_many_steps(small: Small) -> None:
    assert [line["step"] for line in log(train(small, "plain").folder)] == [3, 6, 8]
    assert [line["step"] for line in log(train(small, "changed", log_every=5).folder)] == [5, 8]


def test_frozen_layers_are_computed_once_unless_it_is_off(small: Small) -> None:
    def seconds(cache: str) -> float:
        recipe = small(freeze={"layers": 1}, train={"prefix_cache": cache})
        return run_recipe(recipe, f"name={cache}", splits=splits()).metrics["timing"]["prefix_seconds"]

    assert seconds("off") == 0
    assert seconds("auto") > 0


def test_every_seed_begins_at_the_frozen_boundary(small: Small) -> None:
    watcher = Watcher()
    recipe = small(freeze={"layers": 1}, train={"seeds": [1, 2]})
    found = run_recipe(recipe, splits=splits(), observers=[watcher])
    told = [note.partition(" (")[0] for note in watcher.notes if note.startswith("the output of 1 frozen layer")]
    kept = "the output of 1 frozen layer is computed once and kept in memory"
    assert told == [kept, "the output of 1 frozen layer was computed for an earlier seed"]
    alone = run_recipe(small(name="alone", freeze={"layers": 1}, train={"seed": 2}), splits=splits())
    assert_same_weights(alone.folder, found.folder / "seed-2")


def test_frozen_layers_seen_twice_are_the_same_run(small: Small, tmp_path: Path) -> None:
    recipe = small(freeze={"layers": 1}, train={"dropout": 0.0})
    stored = run_recipe(recipe, "name=stored", splits=splits())
    anew = run_recipe(recipe, "name=anew", "train.prefix_cache=off", splits=splits())
    for name, tensor in weights(stored.folder).items():
        assert tensor.allclose(weights(anew.folder)[name], atol=1e-5), name


def test_an_order_that_the_kept_head_does_not_have_is_told(small: Small) -> None:
    def stars(names: list[str]) -> dict[str, Any]:
        given = splits()
        for part in given.values():
            for number, row in enumerate(part):
                row["label"] = names[number % len(names)]
        return given

    before = run_recipe(small(name="before", task={"name": "topic"}), splits=stars(["1", "10", "2"])).model
    config = json.loads((before / "config.json").read_text())
    config["id2label"] = {"0": "1", "1": "10", "2": "2"}
    config["label2id"] = {"1": 0, "10": 1, "2": 2}
    (before / "config.json").write_text(json.dumps(config))
    ordered = small(checkpoint=str(before), task={"name": "sentiment", "ordered": True})
    with pytest.raises(
        RecipeError, match=r"task\.ordered: .* another order \(1, 10, 2\) than they have here \(1, 2, 10\)"
    ):
        run_recipe(ordered, splits=stars(["1", "10", "2"]))
    new = run_recipe(ordered | {"head": {"name": "mean"}}, splits=stars(["1", "10", "2"]))
    assert json.loads((new.model / "config.json").read_text())["id2label"] == {"0": "1", "1": "2", "2": "10"}
