"""One step equals a plain PyTorch step, however it is cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from tests.unit.training.helpers import rows
from tests.unit.training.plain import classification_loss, plain_step, span_loss
from tests.unit.training.steps import RATE, Ready, our_step, ready

ALL = np.arange(32)


def plain(run: Ready, max_norm: float | None = 1.0, chosen: np.ndarray = ALL) -> dict[str, Any]:
    """Takes the same step without textxfer."""
    split = run.prepared.rows.splits.train.rows
    labels = run.prepared.rows.labels
    assert labels is not None
    texts = [split["text"][int(row)] for row in chosen]
    ids = [labels.label2id[split["label"][int(row)]] for row in chosen]
    weights = [split["weight"][int(row)] for row in chosen] if "weight" in split.column_names else None

    def loss(model: Any) -> torch.Tensor:
        return classification_loss(model, run.tokenizer, texts, ids, weights)

    return plain_step(run.untouched, loss, RATE, 0.1, max_norm)


def assert_same_step(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-6)
    assert ours["norm"] == pytest.approx(theirs["norm"], abs=1e-5)
    assert ours["gradients"].keys() == theirs["gradients"].keys()
    for name, gradient in theirs["gradients"].items():
        assert (ours["gradients"][name] - gradient).abs().max() <= 1e-6, name
    for name, weight in theirs["weights"].items():
        # A gradient of about 0 may have either sign, and AdamW's first step is as long as the rate for each.
        certain = theirs["gradients"][name].abs() > 1e-5
        assert ((ours["weights"][name] - weight).abs()[certain] <= 1e-4).all(), name


def without_validation(**sections: Any) -> dict[str, Any]:
    return {"dataset": {"validation_fraction": 0}} | sections


@pytest.mark.parametrize("size", [32, 8, 5, 1, "auto"])
def test_a_step_in_micro_batches_is_a_plain_step(bert: Path, size: Any) -> None:
    run = ready(bert, rows(32), **without_validation(train={"batch_size": 32, "micro_batch_size": size}))
    assert_same_step(our_step(run, ALL), plain(run))


@pytest.mark.parametrize("size", [4, 8])
@pytest.mark.parametrize("family", ["gpt2", "t5", "roberta"])
def test_other_families_step_plainly_too(checkpoints: Callable[[str], Path], family: str, size: int) -> None:
    sections = without_validation(train={"batch_size": 8, "micro_batch_size": size})
    run = ready(checkpoints(family), rows(8), **sections)
    assert_same_step(our_step(run, ALL[:8]), plain(run, chosen=ALL[:8]))


@pytest.mark.parametrize("layers", [1, 2, "all"])
def test_a_step_above_stored_states_is_a_plain_step(bert: Path, layers: Any) -> None:
    train = {"batch_size": 32, "micro_batch_size": 8, "epochs": 2}
    run = ready(bert, rows(32), **without_validation(train=train, freeze={"layers": layers}))
    assert run.training.network.seconds > 0
    assert_same_step(our_step(run, ALL), plain(run))


@pytest.mark.parametrize("size", [20, 6])
def test_a_question_answering_step_is_a_plain_step(bert: Path, questions: list[dict[str, Any]], size: int) -> None:
    sections = without_validation(
        task={"name": "question_answering", "max_length": 60, "stride": 8},
        train={"batch_size": 20, "micro_batch_size": size},
    )
    run = ready(bert, questions, **sections)
    assert len(run.prepared.encoded["train"]) == 20
    theirs = plain_step(run.untouched, lambda model: span_loss(model, run.tokenizer, questions), RATE, 0.1, 1.0)
    assert_same_step(our_step(run, np.arange(20)), theirs)


@pytest.mark.parametrize("norm", [None, 0.05, 1e9])
def test_gradients_are_clipped_as_the_recipe_says(bert: Path, norm: float | None) -> None:
    sections = without_validation(train={"batch_size": 32, "max_grad_norm": norm})
    run = ready(bert, rows(32), **sections)
    ours = our_step(run, ALL)
    assert_same_step(ours, plain(run, max_norm=norm))
    length = float(torch.stack([gradient.square().sum() for gradient in ours["gradients"].values()]).sum().sqrt())
    assert length == pytest.approx(min(ours["norm"], norm or ours["norm"]), rel=1e-3)


def test_frozen_parts_have_no_gradients_and_no_dropout(bert: Path) -> None:
    train = {"batch_size": 32, "dropout": 0.5, "prefix_cache": "off"}
    run = ready(bert, rows(32), **without_validation(train=train, freeze={"layers": 1}))
    run.stepper.gradients(ALL, 0)
    modules = dict(run.training.network.module.named_modules())
    assert not modules["bert.embeddings.dropout"].training
    assert not modules["bert.encoder.layer.0.output.dropout"].training
    assert modules["bert.encoder.layer.1.output.dropout"].training
    assert modules["dropout"].training
    with_gradients = {name for name, value in run.training.model.named_parameters() if value.grad is not None}
    assert with_gradients == {name for name, value in run.training.model.named_parameters() if value.requires_grad}
    assert not any("embeddings" in name or "layer.0" in name for name in with_gradients)


def test_dropout_is_drawn_from_seed_and_step(bert: Path) -> None:
    sections = without_validation(train={"batch_size": 32, "dropout": 0.5, "seed": 3})
    run = ready(bert, rows(32), **sections)

    def loss(step: int) -> float:
        torch.manual_seed(int(torch.randint(1000, ())))  # whatever was drawn before
        value = float(run.stepper.gradients(ALL, step).loss)
        run.stepper.optimizer.zero_grad()
        return value

    assert loss(0) == loss(0)
    assert loss(0) != loss(1)


def out_of_memory_above(monkeypatch: pytest.MonkeyPatch, most: int, message: str) -> list[int]:
    """Makes forward passes of more than some examples fail; gives the list of sizes that were tried."""
    from transformers import BertForSequenceClassification

    forward, sizes = BertForSequenceClassification.forward, []

    def small_forward(self: Any, input_ids: Any = None, **options: Any) -> Any:
        sizes.append(len(input_ids))
        if len(input_ids) > most:
            raise RuntimeError(message)
        return forward(self, input_ids=input_ids, **options)

    monkeypatch.setattr(BertForSequenceClassification, "forward", small_forward)
    return sizes


@pytest.mark.parametrize(
    "message",
    [
        "CUDA out of memory. Tried to allocate 20.00 MiB",
        "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried",
    ],
)
def test_auto_halves_when_memory_runs_out_and_repeats_the_step(
    bert: Path, monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    run = ready(bert, rows(32), **without_validation(train={"batch_size": 32}))
    theirs = plain(run)
    sizes = out_of_memory_above(monkeypatch, 8, message)
    assert_same_step(our_step(run, ALL), theirs)
    assert sizes == [32, 16, 8, 8, 8, 8, 8, 8, 8, 8]  # found once, then kept
    assert run.stepper.micro_batch_size == 8


def test_memory_that_runs_out_half_way_leaves_no_gradients_behind(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ready(bert, rows(32), **without_validation(train={"batch_size": 32}))
    theirs = plain(run)
    backward, calls = Accelerator.backward, []

    def backward_once_too_large(self: Accelerator, loss: Any) -> None:
        backward(self, loss)
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("CUDA out of memory.")

    monkeypatch.setattr(Accelerator, "backward", backward_once_too_large)
    assert_same_step(our_step(run, ALL), theirs)


def test_a_number_is_kept_to_where_memory_runs_out(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sections = without_validation(train={"batch_size": 32, "micro_batch_size": 16})
    run = ready(bert, rows(32), **sections)
    out_of_memory_above(monkeypatch, 8, "CUDA out of memory.")
    with pytest.raises(RuntimeError, match="out of memory"):
        our_step(run, ALL)


def test_one_example_that_does_not_fit_is_an_error(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ready(bert, rows(32), **without_validation(train={"batch_size": 32}))
    sizes = out_of_memory_above(monkeypatch, 0, "CUDA out of memory.")
    with pytest.raises(RuntimeError, match="out of memory"):
        our_step(run, ALL)
    assert sizes == [32, 16, 8, 4, 2, 1]


def test_another_error_is_not_taken_for_one_of_memory(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ready(bert, rows(32), **without_validation(train={"batch_size": 32}))
    sizes = out_of_memory_above(monkeypatch, 0, "shapes do not fit")
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        our_step(run, ALL)
    assert sizes == [32]


def test_long_examples_come_first_so_that_memory_runs_out_at_once(bert: Path) -> None:
    sections = without_validation(train={"batch_size": 32, "micro_batch_size": 4})
    run = ready(bert, rows(32), **sections)
    stepper = run.stepper
    parts = stepper._parts(ALL, 0, 1)
    lengths = [int(stepper.lengths[part].max()) for part, _ in parts]
    assert lengths == sorted(lengths, reverse=True)
    assert sorted(np.concatenate([part for part, _ in parts]).tolist()) == ALL.tolist()
