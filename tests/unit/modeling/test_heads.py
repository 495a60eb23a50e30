"""Which heads of a fine-tuned checkpoint are kept, and which are made anew."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests import tiny
from tests.unit.modeling.conftest import (
    ANSWERS,
    CLASSIFICATION,
    LABELS,
    OTHERS,
    named_labels,
    opened,
    same_backbone,
    stored,
)
from textxfer.errors import CheckpointError
from textxfer.labels import LabelSet
from textxfer.modeling.anatomy import backbone_parameters
from textxfer.modeling.build import build, settle_labels
from textxfer.modeling.checkpoint import open_checkpoint


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_classifier_with_many_labels_becomes_an_answer_model(family: str, saved: Any) -> None:
    folder = saved(family, CLASSIFICATION, num_labels=5, problem_type="multi_label_classification")
    model = opened(folder, ANSWERS).model
    head = model.classifier if family == "modernbert" else model.qa_outputs
    assert head.out_features == 2
    assert model.config.num_labels == 2
    assert model.config.problem_type is None


@pytest.mark.parametrize(
    ("source", "auto_class"),
    [
        (CLASSIFICATION, ANSWERS),
        (ANSWERS, CLASSIFICATION),
        ("AutoModelForTokenClassification", CLASSIFICATION),
        ("AutoModelForTokenClassification", ANSWERS),
    ],
)
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_head_of_another_task_is_never_kept(family: str, source: str, auto_class: str, saved: Any) -> None:
    import torch

    folder = saved(family, source, num_labels=2)
    if (family, source) == ("t5", "AutoModelForTokenClassification"):  # an encoder without its decoder
        with pytest.raises(CheckpointError, match="do not fill the backbone"):
            opened(folder, auto_class)
        return
    built = opened(folder, auto_class)
    old = stored(folder)
    for name in built.new:
        assert name not in old or not torch.equal(built.model.get_parameter(name), old[name]), name
    head = {name for name, _ in built.model.named_parameters()} - backbone_parameters(built.model)
    assert {name for name in head if not name.startswith("bert.pooler")} <= set(built.new) <= head
    assert built.dropped == f"it is of a {json.loads((folder / 'config.json').read_text())['architectures'][0]}"


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_same_labels_keep_the_head_and_its_order(family: str, saved: Any) -> None:
    import torch

    folder = named_labels(saved(family, CLASSIFICATION))
    checkpoint = open_checkpoint(str(folder))
    labels = settle_labels(checkpoint, LabelSet(("good", "bad"), counts=(3, 1)))
    assert labels == LABELS
    assert labels is not None
    assert labels.counts == (1, 3)
    built = build(checkpoint, CLASSIFICATION, labels)
    assert (built.new, built.dropped) == ((), None)
    for name, weight in stored(folder).items():
        assert torch.equal(built.model.get_parameter(name), weight), name


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_other_labels_of_the_same_number_get_a_new_head(family: str, saved: Any) -> None:
    import torch

    folder = named_labels(saved(family, CLASSIFICATION))
    built, other = opened(folder, labels=OTHERS), opened(folder, labels=OTHERS, seed=1)
    assert built.dropped == "it knows the labels bad, good, not calm, loud"
    old = stored(folder)
    same_backbone(built.model, folder)
    weights = [name for name in built.new if name.endswith("weight") and "norm" not in name]
    assert weights
    for name in built.new:
        assert not torch.equal(built.model.get_parameter(name), old[name]), name
    for name in weights:
        assert not torch.equal(built.model.get_parameter(name), other.model.get_parameter(name)), "seed"
    inner = {name for name in old if not name.startswith(f"{built.model.base_model_prefix}.")}
    assert set(built.new) == inner
    assert built.model.config.id2label == {0: "calm", 1: "loud"}


def test_another_number_of_labels_gets_a_new_head(saved: Any) -> None:
    built = opened(named_labels(saved("bert", CLASSIFICATION)), labels=LabelSet(("a", "b", "c")))
    assert built.new == ("classifier.bias", "classifier.weight")
    assert built.dropped == "it knows the labels bad, good, not a, b, c"
    assert built.model.classifier.out_features == 3


def test_head_without_names_is_not_taken_for_these_labels(saved: Any) -> None:
    built = opened(saved("bert", CLASSIFICATION))
    assert built.dropped == "it knows the labels LABEL_0, LABEL_1, not bad, good"
    assert built.new == ("classifier.bias", "classifier.weight")
