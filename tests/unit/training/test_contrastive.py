"""The contrastive start: which groups are drawn, what their loss is, and what a backbone learns of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import tiny
from tests.unit.training.helpers import make_recipe, rows
from tests.unit.training.steps import ready
from textxfer.modeling.anatomy import last_linear
from textxfer.recipe.loading import load_recipe
from textxfer.recipe.small_data_section import unused_fields
from textxfer.training.assemble import Training, assemble
from textxfer.training.contrastive import Groups, TextGroups, contrast
from textxfer.training.head_probe import head_inputs
from textxfer.training.precision import make_accelerator
from textxfer.training.prepare import prepare

FAMILIES = ("bert", "roberta", "distilbert", "mpnet", "electra", "deberta-v2", "modernbert", "gpt2", "t5")


def built(checkpoint: Path, count: int = 24, **sections: Any) -> Training:
    """Gives a run with a new head on rows of two labels, nothing cut off."""
    sections = {"dataset": {"validation_fraction": 0}, "head": {"start": "probe"}} | sections
    recipe = load_recipe(make_recipe(checkpoint, Path("unused"), **sections), rows_given=True)
    return assemble(prepare(recipe, {"train": rows(count)}), make_accelerator("fp32"))


def start(training: Training, **options: Any) -> None:
    encoded = training.network.encoded["train"]
    options = {"steps": 4, "learning_rate": 1e-3, "seed": 1} | options
    contrast(training.model, training.frozen[0], encoded, make_accelerator("fp32"), **options)


@pytest.mark.parametrize(("labels", "each"), [(2, 4), (3, 2), (4, 2), (9, 2)])
def test_a_group_has_texts_of_its_first_label_and_of_others(labels: int, each: int) -> None:
    targets = np.arange(labels * 6) % labels
    groups = Groups(targets, seed=3)
    assert (groups.labels, groups.each) == (min(labels, 4), each)
    for row in range(len(targets)):
        drawn = groups.draw(row, step=5)
        assert drawn[0] == row
        assert len(set(drawn.tolist())) == len(drawn) == groups.labels * each
        of = targets[drawn].reshape(groups.labels, each)
        assert (of == of[:, :1]).all()
        assert len(set(of[:, 0].tolist())) == groups.labels


def test_a_group_is_a_function_of_row_step_and_seed() -> None:
    targets = np.arange(40) % 2
    drawn = [Groups(targets, seed).draw(row, step).tolist() for seed, row, step in
             ((0, 1, 2), (0, 1, 2), (1, 1, 2), (0, 3, 2), (0, 1, 3))]  # fmt: skip
    assert drawn[0] == drawn[1]
    assert all(other != drawn[0] for other in drawn[2:])


def test_rare_labels_are_drawn_as_often_as_others() -> None:
    targets = np.array([0] * 90 + [1] * 5 + [2] * 5 + [3, 4, 5])
    groups = Groups(targets)
    seen = np.concatenate([targets[groups.draw(0, step)][2::2] for step in range(500)])
    np.testing.assert_allclose(np.bincount(seen, minlength=6)[1:] / len(seen), 0.2, atol=0.04)


def test_a_label_with_one_row_pairs_it_with_itself() -> None:
    groups = Groups(np.array([0, 1, 1, 1, 1, 1]))
    assert groups.draw(0, 0)[:4].tolist() == [0] * 4
    assert groups.draw(1, 0)[4:].tolist() == [0] * 4


def test_the_loss_is_that_of_all_pairs(bert: Path) -> None:
    training = built(bert)
    network = TextGroups(training.model, training.frozen[0], training.network.encoded["train"])
    indices = np.array([3, 4, 9])
    batch = network.batch("train", indices, "cpu", 7)
    vectors = torch.randn(24, 5, generator=torch.Generator().manual_seed(0))
    expected, targets = 0.0, network.groups.targets
    for number, row in enumerate(indices.tolist()):
        own = torch.nn.functional.normalize(vectors[number * 8 : number * 8 + 8], dim=1)
        of = targets[network.groups.draw(row, 7)]
        errors: dict[bool, list[float]] = {True: [], False: []}
        for one in range(8):
            for other in range(one):
                same = bool(of[one] == of[other])
                errors[same].append((float(same) - float(own[one] @ own[other])) ** 2)
        assert (len(errors[True]), len(errors[False])) == (12, 16)
        expected += (np.mean(errors[True]) + np.mean(errors[False])) / 2
    assert float(network.loss(vectors, batch)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("head", ["native", "mean"])
@pytest.mark.parametrize("family", FAMILIES)
def test_texts_of_one_label_come_together(family: str, head: str, tmp_path: Path) -> None:
    # What a random backbone makes of texts hardly differs, unless its weights are large.
    large = {"t5": "initializer_factor"}.get(family, "initializer_range")
    checkpoint = tiny.make_checkpoint(tmp_path, family, **{large: 0.5})
    training = built(checkpoint, head={"name": head, "start": "probe"}, train={"dropout": 0.0})
    before = apart(training)
    start(training, steps=40, learning_rate=2e-3)
    assert apart(training) > before + 0.1


def apart(training: Training) -> float:
    """Gives by how much texts of one label are nearer to each other than to those of the other."""
    encoded = training.network.encoded["train"]
    assert encoded.targets is not None
    found = head_inputs(training.network, encoded, np.arange(len(encoded)), make_accelerator("fp32"))
    unit = found / np.linalg.norm(found, axis=1, keepdims=True)
    cosines, same = unit @ unit.T, encoded.targets[:, None] == encoded.targets
    return float(cosines[same].mean() - cosines[~same].mean())


def test_what_is_frozen_and_the_last_layer_keep_their_weights(bert: Path) -> None:
    training = built(bert, freeze={"layers": 1})
    before = {name: value.clone() for name, value in training.model.named_parameters()}
    start(training)
    changed = {name for name, value in training.model.named_parameters() if not value.equal(before[name])}
    frozen = ("bert.embeddings", "bert.encoder.layer.0", "classifier")
    assert changed
    assert not [name for name in changed if name.startswith(frozen)]
    assert any(name.startswith("bert.encoder.layer.1") for name in changed)
    assert all(parameter.requires_grad for parameter in last_linear(training.model).parameters())


def test_cutting_a_step_changes_nothing(bert: Path) -> None:
    whole, parts = built(bert, train={"dropout": 0.0}), built(bert, train={"dropout": 0.0})
    start(whole)
    start(parts, micro_batch_size=24)
    for (name, one), (_, other) in zip(whole.model.named_parameters(), parts.model.named_parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=3e-4, rtol=1e-3, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize(("size", "largest"), [("auto", 32), (17, 16), (3, 8)])
def test_memory_is_saved_as_the_recipe_says(
    size: int | str, largest: int, bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dropped again, where activations are computed again, are the same numbers."""
    from transformers.models.bert import modeling_bert

    layer, sizes = modeling_bert.BertLayer.forward, []

    def noting(self: Any, states: torch.Tensor, *inputs: Any, **options: Any) -> Any:
        sizes.extend([len(states)] if self.training else [])
        return layer(self, states, *inputs, **options)

    monkeypatch.setattr(modeling_bert.BertLayer, "forward", noting)
    train = {"micro_batch_size": size, "activation_checkpointing": True, "dropout": 0.3}
    few = {"road": "contrastive", "steps": 2, "learning_rate": 1e-3}
    run = ready(
        bert,
        {"train": rows(24)},
        small_data=few,
        head={"name": "native", "start": None},
        train=train,
        without=unused_fields("contrastive", "native", own_rate=True),
    )
    assert any("a contrastive start of 2 steps" in note for note in run.notes)
    assert max(sizes) == largest


@pytest.mark.parametrize("change", [{"steps": 5}, {"learning_rate": 2e-3}, {"seed": 2}, {"weight_decay": 0.5}])
def test_every_option_counts(change: dict[str, Any], bert: Path) -> None:
    found = []
    for options in ({}, change):
        training = built(bert)
        start(training, **options)
        found.append(training.model.get_parameter("bert.encoder.layer.0.output.dense.weight"))
    assert not found[0].equal(found[1])
