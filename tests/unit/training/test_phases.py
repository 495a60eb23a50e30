"""Phases: which there are, what each trains, and that optimizer, cache and best weights cross their borders."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.training.helpers import Watcher, assert_same_weights, log, make_recipe, rows, splits, weights
from tests.unit.training.plain import classification_loss
from tests.unit.training.steps import Ready, Weights, ready, train_through
from textxfer.errors import RecipeError
from textxfer.recipe.loading import load_recipe
from textxfer.run import run_recipe
from textxfer.training.best import Best
from textxfer.training.phases import phases_of

Small = Callable[..., dict[str, Any]]
ALONE: dict[str, Any] = {"dataset": {"validation_fraction": 0}}
"""Without a validation split, whose scores do not matter here."""


def phase(layers: Any, **fields: Any) -> dict[str, Any]:
    return {"freeze": {"layers": layers}, **fields}


def in_phases(*phases: dict[str, Any], **train: Any) -> dict[str, Any]:
    """Gives a section `train` with phases, which `small` has epochs in."""
    return {"batch_size": 8, "learning_rate": 1e-3, "log_every": 3, "precision": "fp32", "phases": list(phases)} | train


@pytest.fixture
def phased(bert: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Gives a small recipe of some phases."""

    def make(*phases: dict[str, Any], train: dict[str, Any] | None = None, **sections: Any) -> dict[str, Any]:
        recipe = make_recipe(bert, tmp_path / "runs", **sections)
        return recipe | {"train": in_phases(*phases, **(train or {}))}

    return make


def ready_in(checkpoint: Path, **sections: Any) -> Ready:
    """Gives a run of phases before its first step."""
    return ready(checkpoint, {"train": rows(28)}, without=("epochs",), **ALONE, **sections)


def moved(before: Weights, after: Weights) -> set[str]:
    return {name for name, value in before.items() if not value.equal(after[name])}


def of_part(names: set[str]) -> set[str]:
    """Gives the parts of a BERT that weights belong to."""
    words = {"layer.0.": "layer 0", "layer.1.": "layer 1", "embeddings": "embeddings"}
    return {next((part for word, part in words.items() if word in name), "head") for name in names}


# Which phases there are


@pytest.mark.parametrize(
    ("freeze", "train", "probed", "expected"),
    [
        ({"thaw_every": 1}, {"epochs": 9}, False, [("all", 10), (3, 10), (2, 10), (1, 10), (0, 50)]),
        ({"thaw_every": 1}, {"epochs": 9}, True, [("all", 0), (3, 10), (2, 10), (1, 10), (0, 60)]),
        ({"thaw_every": 2}, {"epochs": 5}, False, [("all", 20), (3, 20), (2, 10)]),
        ({"thaw_every": 2, "layers": 2}, {"epochs": 5}, True, [(2, 20), (1, 20), (0, 10)]),
        ({"thaw_every": 1, "layers": 1}, {"epochs": 2}, False, [(1, 10), (0, 10)]),
        ({"thaw_every": 1}, {"epochs": 9, "max_steps": 24}, False, [("all", 10), (3, 10), (2, 4)]),
        ({"thaw_every": 3}, {"epochs": 3}, True, [("all", 0), (3, 30)]),
        ({"thaw_every": 1, "embeddings": False}, {"epochs": 2}, True, [("all", 10), (3, 10)]),
        ({}, {"epochs": 2}, True, [(0, 20)]),
        ({"layers": "all"}, {"epochs": 2}, True, [("all", 0)]),
        ({"layers": "all"}, {"epochs": 2}, False, [("all", 20)]),
        ({"layers": 2}, {"epochs": 2, "max_steps": 7}, True, [(2, 7)]),
    ],
)
def test_the_phases_of_a_recipe(
    freeze: dict[str, Any], train: dict[str, Any], probed: bool, expected: list[tuple[Any, int]], bert: Path
) -> None:
    recipe = load_recipe(make_recipe(bert, Path("unused"), freeze=freeze, train=train), rows_given=True)
    made = phases_of(recipe, depth=4, steps_per_epoch=10, probed=probed)
    assert [(each.layers, each.steps) for each in made] == expected
    assert {each.learning_rate for each in made} == {1e-3}


def test_phases_that_are_written_out(phased: Small) -> None:
    written = [
        phase("all", epochs=2),
        phase("all", steps=3, learning_rate=1e-2),
        phase(1, steps=5),
        phase("all", epochs=1),
    ]
    recipe = load_recipe(phased(*written), rows_given=True)
    for probed, steps in ((False, [20, 3, 5, 10]), (True, [0, 0, 5, 10])):
        made = phases_of(recipe, depth=4, steps_per_epoch=10, probed=probed)
        assert [each.steps for each in made] == steps
        assert [each.learning_rate for each in made] == [1e-3, 1e-2, 1e-3, 1e-3]


# What each phase trains


def test_only_what_a_phase_trains_moves(bert: Path) -> None:
    run = ready_in(bert, train=in_phases(*(phase(layers, steps=2) for layers in ("all", 1, 0, 1, "all", 0))))
    states = train_through(run)
    changed = [of_part(moved(*pair)) for pair in itertools.pairwise(states)]
    head, upper, whole = {"head"}, {"head", "layer 1"}, {"head", "layer 1", "layer 0", "embeddings"}
    assert changed == [head, upper, whole, upper, head, whole]
    sizes = [each.trainable for each in run.training.frozen]
    assert sizes[0] < sizes[1] < sizes[2] == run.training.frozen[0].total
    assert sizes == [*sizes[:3], *sizes[1::-1], sizes[2]]


def test_embeddings_can_be_trained_below_frozen_layers(bert: Path) -> None:
    other = {"freeze": {"layers": 1, "embeddings": False}, "steps": 2}
    states = train_through(ready_in(bert, train=in_phases(phase(1, steps=2), other)))
    first, second = (of_part(moved(*pair)) for pair in itertools.pairwise(states))
    assert second - first == {"embeddings"}


def test_moments_and_their_counts_cross_a_border(bert: Path) -> None:
    """The same steps by plain PyTorch, with an optimizer a phase that is given what the one before knew."""
    train = in_phases(phase(1, steps=3), phase(0, steps=2, learning_rate=5e-4), schedule="constant", warmup_ratio=0.0)
    run = ready_in(bert, train=train | {"weight_decay": 0.1, "prefix_cache": "off"})
    before = copy.deepcopy(run.training.model)
    ours = train_through(run)[-1]

    plan, given = run.prepared.plan, run.prepared.rows
    texts, labels = given.splits.train.rows["text"], given.splits.train.rows["label"]
    ids = [given.labels.label2id[label] for label in labels]  # type: ignore[union-attr]
    model, known = before.train(), {}  # type: ignore[var-annotated]
    batches = list(plan.batches(0))
    for number, rate in ((0, 1e-3), (1, 5e-4)):
        frozen = ("bert.embeddings.", "bert.encoder.layer.0.") if number == 0 else ()
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(not name.startswith(frozen) if frozen else True)
        chosen = [parameter for parameter in model.parameters() if parameter.requires_grad]
        groups = [
            {"params": [each for each in chosen if each.ndim > 1], "weight_decay": 0.1},
            {"params": [each for each in chosen if each.ndim == 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=rate, foreach=False)
        optimizer.state.update({parameter: state for parameter, state in known.items() if parameter.requires_grad})
        first, last = plan.first_step(number), plan.first_step(number) + plan.phases[number].steps
        for batch in batches[first:last]:
            loss = classification_loss(model, run.tokenizer, [texts[i] for i in batch], [ids[i] for i in batch])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(chosen, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        known = dict(optimizer.state)
    for name, parameter in model.named_parameters():
        # AdamW's first steps are as long for a gradient that is nothing but rounding.
        assert torch.isclose(ours[name], parameter, atol=2e-6).float().mean() > 0.98, name
    counts = {name: run.training.optimizer.state[value] for name, value in run.training.model.named_parameters()}
    assert int(counts["classifier.weight"]["step"]) == 5
    assert int(counts["bert.embeddings.word_embeddings.weight"]["step"]) == 2


def test_a_thawed_layer_begins_with_a_first_step_of_its_own(bert: Path) -> None:
    train = in_phases(phase(1, steps=6), phase(0, steps=1), schedule="constant", warmup_ratio=0.0, weight_decay=0.0)
    *_, before, after = train_through(ready_in(bert, train=train))
    name = "bert.encoder.layer.0.attention.self.value.weight"
    # AdamW's first step is as long as the rate, whatever the gradient; a seventh one would not be.
    assert float((after[name] - before[name]).abs().median()) == pytest.approx(1e-3, rel=0.05)


def test_gradual_unfreezing_is_phases(small: Small, phased: Small) -> None:
    thawed = run_recipe(small(freeze={"thaw_every": 1}, train={"epochs": 3}), "name=thawed", splits=splits())
    written = run_recipe(
        phased(*(phase(layers, epochs=1) for layers in ("all", 1, 0))), "name=written", splits=splits()
    )
    assert_same_weights(thawed.folder, written.folder)
    assert log(thawed.folder) == log(written.folder)
    assert thawed.metrics["phases"] == written.metrics["phases"]


def test_each_phase_has_its_own_rate_that_rises_and_falls(phased: Small) -> None:
    recipe = phased(
        phase(1, steps=4), phase(0, steps=4, learning_rate=1e-4), train={"log_every": 1, "warmup_ratio": 0.5}
    )
    lines = [line for line in log(run_recipe(recipe, splits=splits()).folder) if "split" not in line]
    shares = [0.5, 1.0, 1.0, 0.5]
    expected = [1e-3 * share for share in shares] + [1e-4 * share for share in shares]
    assert [line["learning_rate"] for line in lines] == pytest.approx(expected)
    assert [line["phase"] for line in lines] == [1] * 4 + [2] * 4


def test_layers_and_the_head_have_their_shares_in_each_phase(phased: Small) -> None:
    train = {"layer_decay": 0.5, "head_learning_rate": 3e-3}
    watcher = Watcher()
    recipe = phased(phase(1, steps=2), phase(0, steps=2, learning_rate=1e-4), train=train)
    run_recipe(recipe, splits=splits(), observers=[watcher])
    assert [note for note in watcher.notes if "learning rates" in note] == [
        "highest learning rates: layer 1 5.00e-04, head 3.00e-03",
        "highest learning rates: embeddings 1.25e-05, layer 0 2.50e-05, layer 1 5.00e-05, head 3.00e-04",
    ]


# The cache follows


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_stored_states_follow_the_boundary(
    family: str, checkpoints: Callable[[str], Path], tmp_path: Path, phased: Small
) -> None:
    given = [phase(0, steps=2), phase("all", steps=6), phase(1, steps=6), phase(1, steps=5, learning_rate=1e-4)]
    recipe = phased(*given, phase(0, steps=2)) | {"checkpoint": str(checkpoints(family))}
    watcher = Watcher()
    stored = run_recipe(recipe, "name=stored", splits=splits(), observers=[watcher])
    told = [note.split(" is computed")[0] for note in watcher.notes if "is computed once" in note]
    assert told == ["the output of 2 frozen layers", "the output of 1 frozen layer"]  # the fourth phase's are there
    assert stored.metrics["timing"]["prefix_seconds"] > 0
    anew = run_recipe(recipe, "name=anew", "train.prefix_cache=off", splits=splits())
    one, other = weights(stored.folder), weights(anew.folder)
    assert all(torch.allclose(one[name], other[name], atol=2e-5) for name in one)


def test_states_are_let_go_where_nothing_is_frozen_any_more(bert: Path) -> None:
    run = ready_in(bert, train=in_phases(phase(1, steps=6), phase(0, steps=1)))
    network = run.training.network
    assert set(network._stored) == {"train"}
    train_through(run)
    assert not network._stored
    assert network.encoded["train"] is run.prepared.encoded["train"]


def test_a_phase_of_one_epoch_stores_nothing(phased: Small) -> None:
    watcher = Watcher()
    run_recipe(phased(phase(1, epochs=1), phase(0, epochs=1)), splits=splits(), observers=[watcher])
    assert not [note for note in watcher.notes if "computed once" in note]


# Best weights, patience, what is said


def test_the_best_weights_are_those_of_all_that_is_ever_trained(
    phased: Small, bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file

    look = Best.look

    def look_at_falling_scores(self: Best, progress: Any) -> Any:
        evaluate = self.evaluate
        scores = evaluate()
        falling = dataclasses.replace(scores, values={**scores.values, self.select_by: 1 / (1 + progress.step)})
        self.evaluate = lambda: falling
        try:
            return look(self, progress)
        finally:
            self.evaluate = evaluate

    monkeypatch.setattr(Best, "look", look_at_falling_scores)
    recipe = phased(phase(1, epochs=1), phase(0, epochs=1, learning_rate=0.5))  # the second one wrecks the model
    wrecked = run_recipe(recipe, splits=splits())
    alone = run_recipe(phased(phase(1, epochs=1)), "name=alone", splits=splits())
    assert wrecked.metrics["best_step"] == 4
    assert_same_weights(wrecked.folder, alone.folder)
    pretrained = load_file(bert / "model.safetensors")
    assert pretrained["embeddings.LayerNorm.weight"].equal(weights(wrecked.folder)["bert.embeddings.LayerNorm.weight"])


def test_patience_counts_through_all_phases(phased: Small) -> None:
    train = {"learning_rate": 1e-9, "patience": 2, "evaluate_every": 2}
    result = run_recipe(phased(*(phase(layers, steps=4) for layers in (1, 0, 1)), train=train), splits=splits())
    assert (result.metrics["steps"], result.metrics["best_step"], result.metrics["stopped_early"]) == (6, 2, True)
    assert [each["steps"] for each in result.metrics["phases"]] == [4, 2, 0]


def test_the_end_of_a_phase_is_evaluated(phased: Small) -> None:
    result = run_recipe(phased(phase(1, steps=3), phase(0, steps=3), train={"evaluate_every": 50}), splits=splits())
    lines = [line for line in log(result.folder) if line.get("split") == "validation"]
    assert [(line["step"], line["phase"]) for line in lines] == [(3, 1), (6, 2)]


def test_what_is_said_of_phases(phased: Small) -> None:
    watcher = Watcher()
    result = run_recipe(
        phased(phase("all", steps=3), phase(0, epochs=1, learning_rate=1e-4)), splits=splits(), observers=[watcher]
    )
    assert [
        (each.number, each.phases, each.first_step, each.last_step, each.learning_rate) for each in watcher.phases
    ] == [
        (1, 2, 1, 3, 1e-3),
        (2, 2, 4, 7, 1e-4),
    ]
    assert "phase 1 of 2: steps 1 to 3, the whole backbone is frozen, rate up to 0.001" in watcher.notes
    assert "phase 2 of 2: steps 4 to 7, nothing is frozen, rate up to 0.0001" in watcher.notes
    first, second = result.metrics["phases"]
    assert first == {
        "first_step": 1, "steps": 3, "frozen_layers": "all", "frozen_embeddings": True, "learning_rate": 1e-3,
        "trainable_parameters": watcher.phases[0].frozen.trainable,
    }  # fmt: skip
    assert (second["first_step"], second["steps"], second["frozen_layers"]) == (4, 4, 0)
    assert (
        result.metrics["trainable_parameters"] == second["trainable_parameters"] == result.metrics["total_parameters"]
    )
    assert (
        "Layers were trained in phases: all layers frozen for 3 steps; none frozen for 4 steps."
        in (result.model / "README.md").read_text()
    )
    report = (result.folder / "report.html").read_text()
    assert "phase 2" in report
    assert "where a phase begins" in report


def test_a_run_of_one_phase_says_nothing_of_phases(small: Small) -> None:
    result = run_recipe(small(), splits=splits())
    assert "phases" not in result.metrics
    assert not any("phase" in line for line in log(result.folder))
    assert "where a phase begins" not in (result.folder / "report.html").read_text()


def test_the_recipe_of_the_run_repeats_it(phased: Small) -> None:
    result = run_recipe(phased(phase("all", steps=3), phase(0, epochs=1, learning_rate=1e-4)), splits=splits())
    resolved = load_recipe(result.folder / "recipe.yaml", rows_given=True)
    assert resolved.train.phases is not None
    again = run_recipe(resolved.model_copy(update={"name": "again"}), splits=splits())
    assert_same_weights(again.folder, result.folder)


def test_so_does_that_of_gradual_unfreezing(small: Small) -> None:
    recipe = small(freeze={"thaw_every": 1}, train={"epochs": 2})
    result = run_recipe(recipe, splits=splits())
    text = (result.folder / "recipe.yaml").read_text()
    assert "layers: all" in text
    again = run_recipe(
        result.folder / "recipe.yaml", f"output.directory={result.folder.parent}", "name=again", splits=splits()
    )
    assert_same_weights(again.folder, result.folder)


# With a probe, with LoRA


def test_a_probe_stands_in_for_a_first_phase_that_trains_the_head(phased: Small) -> None:
    given = [phase("all", epochs=2), phase(1, epochs=2)]
    watcher = Watcher()
    result = run_recipe(phased(*given, head={"start": "probe"}), splits=splits(), observers=[watcher])
    assert [each["steps"] for each in result.metrics["phases"]] == [0, 8]
    assert "phase 1 of 2 takes no step: with the backbone frozen, the head's probe is the answer" in watcher.notes
    assert log(result.folder)[0]["step"] == 0
    alone = run_recipe(phased(given[1], head={"start": "probe"}), "name=alone", splits=splits())
    assert_same_weights(result.folder, alone.folder)


def test_a_head_that_is_kept_has_its_phase(phased: Small) -> None:
    first = run_recipe(phased(phase(1, steps=1)), "name=first", splits=splits())
    recipe = phased(phase("all", steps=2), phase(1, steps=2), head={"start": "probe"})
    result = run_recipe(recipe | {"checkpoint": str(first.model)}, splits=splits())
    assert [each["steps"] for each in result.metrics["phases"]] == [2, 2]


def test_updates_thaw_like_layers(bert: Path) -> None:
    pytest.importorskip("peft")
    train = in_phases(phase("all", steps=3), phase(1, steps=3), phase(0, steps=3))
    run = ready_in(bert, lora={"rank": 2}, train=train)
    states = train_through(run)
    changed = [moved(*pair) for pair in itertools.pairwise(states)]
    assert [of_part(names) for names in changed] == [{"head"}, {"head", "layer 1"}, {"head", "layer 1", "layer 0"}]
    assert all(".lora_" in name for names in changed for name in names if "encoder" in name)


# Mistakes that the data or the checkpoint show


@pytest.mark.parametrize(
    ("phases", "train", "message"),
    [
        (
            [phase(1, epochs=1), phase(3, epochs=1), phase(4, epochs=1)],
            {},
            "train.phases[1].freeze.layers: is 3, but the checkpoint has 2 layers (0 to 2, or `all`)\n"
            "train.phases[2].freeze.layers: is 4, but the checkpoint has 2 layers (0 to 2, or `all`)",
        ),
        (
            [phase(1, epochs=1), phase(0, epochs=1)],
            {"patience": 2},
            "train.patience: is 2, but the run evaluates 2 times (8 steps, every epoch): it can never fire",
        ),
        (
            [phase("all", epochs=1), phase("all", epochs=1, learning_rate=1e-4)],
            {"layer_decay": 0.5},
            "train.layer_decay: no layer is trained, so nothing has its rate by it; leave it out",
        ),
    ],
)
def test_mistakes(phased: Small, phases: list[dict[str, Any]], train: dict[str, Any], message: str) -> None:
    recipe = phased(*phases, train=train)
    with pytest.raises(RecipeError) as caught:
        run_recipe(recipe, splits=splits())
    assert str(caught.value) == message
    assert not (Path(recipe["output"]["directory"]) / "tiny").exists()


@pytest.mark.parametrize(("train", "epochs"), [({"epochs": 2}, "2"), ({"epochs": 9, "max_steps": 3}, "0.75")])
def test_unfreezing_that_never_thaws(small: Small, train: dict[str, Any], epochs: str) -> None:
    with pytest.raises(RecipeError) as caught:
        run_recipe(small(freeze={"thaw_every": 2}, train=train), splits=splits())
    assert str(caught.value) == (
        f"freeze.thaw_every: is 2, but the run ends after {epochs} epochs: no layer would ever thaw"
    )


def test_more_layers_to_thaw_than_there_are(small: Small) -> None:
    with pytest.raises(RecipeError, match=r"freeze\.layers: is 5, but the checkpoint has 2 layers"):
        run_recipe(small(freeze={"layers": 5, "thaw_every": 1}), splits=splits())


# The plan


def test_the_order_of_examples_goes_on_through_all_phases(bert: Path) -> None:
    run = ready_in(bert, train=in_phases(phase(1, steps=3), phase(0, steps=3)))
    plain = ready(bert, {"train": rows(28)}, **ALONE)
    ours, theirs = list(run.prepared.plan.batches(0)), list(plain.prepared.plan.batches(0))
    assert len(ours) == 6
    assert all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=False))
