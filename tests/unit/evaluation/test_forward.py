"""A model over any number of examples: in order, however they are batched."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests import tiny
from tests.trained import BAD, GOOD, TASKS, questions, topics
from textxfer.evaluation.forward import Outputs, forward
from textxfer.labels import LabelSet
from textxfer.modeling.build import build
from textxfer.modeling.checkpoint import open_checkpoint
from textxfer.records import Encoded
from textxfer.registry import load

LABELS = LabelSet(("bad", "good"))


def texts(count: int = 40) -> list[dict[str, Any]]:
    """Rows whose lengths differ and stand in no order."""
    rng = np.random.default_rng(0)
    words = " ".join(GOOD + BAD).split()
    return [
        {"text": " ".join(rng.choice(words, size=rng.integers(0, 24))), "label": LABELS.names[number % 2]}
        for number in range(count)
    ]


@pytest.fixture(scope="session")
def material(checkpoints: Callable[[str], Path]) -> Callable[..., Any]:
    """Gives a task with a family's model, rows and examples."""
    import datasets

    made: dict[tuple[str, str], Any] = {}

    def get(family: str = "bert", name: str = "sentiment") -> Any:
        if (family, name) not in made:
            checkpoint = open_checkpoint(str(checkpoints(family)))
            options = {key: value for key, value in TASKS[name].items() if key != "name"}
            task = load("tasks", name)(**options)
            labels = {"sentiment": LABELS, "topic": LabelSet(("food", "room", "view"))}.get(name)
            rows = {"sentiment": texts, "topic": topics, "question_answering": questions}[name]()
            dataset = datasets.Dataset.from_list(rows)
            model = build(checkpoint, task.auto_class, labels, multi_label=name == "topic").model
            encoded = task.encode(dataset, checkpoint.tokenizer, labels)
            made[family, name] = SimpleNamespace(
                task=task,
                model=model,
                rows=dataset,
                encoded=encoded,
                labels=labels,
                pad=checkpoint.tokenizer.pad_token_id,
            )
        return made[family, name]

    return get


def run(material: Any, encoded: Encoded | None = None, model: Any = None, **options: Any) -> Outputs:
    model = model or material.model
    return forward(model, material.task, encoded or material.encoded, pad_token_id=material.pad, **options)


def one_by_one(material: Any) -> Outputs:
    return run(material, batch_tokens=1)


def assert_same(first: Outputs, second: Outputs, tolerance: float = 2e-6) -> None:
    assert first.reduced.keys() == second.reduced.keys()
    for name, array in first.reduced.items():
        if array.dtype.kind == "f":
            np.testing.assert_allclose(array, second.reduced[name], atol=tolerance, err_msg=name)
    assert first.loss == pytest.approx(second.loss, abs=tolerance)


@pytest.mark.parametrize("name", ["sentiment", "topic", "question_answering"])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_batches_change_nothing(family: str, name: str, material: Any) -> None:
    made = material(family, name)
    assert len(set(made.encoded.lengths)) > 1
    alone = one_by_one(made)
    for tokens in (None, 50, 10_000):
        assert_same(run(made, batch_tokens=tokens), alone)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_outputs_stand_in_the_order_of_the_examples(family: str, material: Any) -> None:
    import torch

    made = material(family)
    outputs = run(made)
    for place in (0, 7, 39):
        ids = torch.tensor(made.encoded.input_ids[slice(*made.encoded.offsets[place : place + 2])][None]).long()
        with torch.no_grad():
            logits = made.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]
        np.testing.assert_allclose(outputs.reduced["logits"][place], logits.numpy(), atol=2e-6)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_padding_does_not_change_logits(family: str, material: Any) -> None:
    import torch

    from textxfer.data.batching import collate

    made = material(family)
    made.model.eval()
    indices = np.arange(8)
    with torch.no_grad():
        narrow, wide = (
            made.model(**collate(made.encoded, indices, pad_token_id=made.pad, pad_to=to).inputs()).logits
            for to in (1, 48)
        )
    torch.testing.assert_close(narrow, wide, atol=2e-6, rtol=0)


def test_mean_loss_is_that_of_pytorch(material: Any) -> None:
    import torch

    made = material()
    outputs = run(made)
    logits, targets = torch.tensor(outputs.reduced["logits"]), torch.tensor(made.encoded.targets)
    assert outputs.loss == pytest.approx(float(torch.nn.functional.cross_entropy(logits, targets)), abs=1e-6)


def test_unlabelled_rows_have_no_loss(material: Any) -> None:
    made = material()
    assert run(made, replace(made.encoded, targets=None)).loss is None


def test_model_is_left_in_eval_mode_and_without_gradients(material: Any) -> None:
    import torch

    made = material()
    made.model.train()
    first, second = run(made), run(made)
    assert not made.model.training
    assert_same(first, second, tolerance=0)
    made.model.train()
    made.model(
        input_ids=torch.tensor([[2, 5, 3]])
    ).logits.sum().backward()  # nothing that inference left behind is in the way
    made.model.zero_grad()


def test_between_is_called_before_each_batch_and_may_stop(material: Any) -> None:
    made = material()
    calls: list[int] = []
    run(made, batch_tokens=100, between=lambda: calls.append(1))
    assert len(calls) > 5

    def stop() -> None:
        calls.append(2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(made, between=stop)
    assert calls.count(2) == 1


def test_autocast_is_used(material: Any) -> None:
    import torch

    made = material()
    rough = run(made, autocast=lambda: torch.autocast("cpu", dtype=torch.bfloat16))
    exact = run(made)
    difference = np.abs(rough.reduced["logits"] - exact.reduced["logits"]).max()
    assert 0 < difference < 0.05
    assert rough.reduced["logits"].dtype == np.float32


# --- memory runs out


class Small:
    """A model that has memory for few tokens at a time; it says so as a GPU does."""

    def __init__(self, model: Any, most_tokens: int, error: BaseException) -> None:
        self.model, self.most_tokens, self.error = model, most_tokens, error
        self.tried: list[tuple[int, int]] = []
        self.parameters, self.eval = model.parameters, model.eval

    def __call__(self, **inputs: Any) -> Any:
        self.tried.append(tuple(inputs["input_ids"].shape))
        if inputs["input_ids"].numel() > self.most_tokens:
            raise self.error
        return self.model(**inputs)


def out_of_memory() -> BaseException:
    import torch

    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.mark.parametrize("name", ["sentiment", "question_answering"])
@pytest.mark.parametrize("most_tokens", [32, 70, 200])
def test_batches_are_halved_until_they_fit(most_tokens: int, name: str, material: Any) -> None:
    made = material("bert", name)
    small = Small(made.model, most_tokens, out_of_memory())
    assert_same(run(made, model=small), one_by_one(made))
    failed = [rows * tokens > most_tokens for rows, tokens in small.tried]
    assert any(failed)
    assert sum(failed) <= 8, "what was learnt from one batch serves the next"
    assert sum(rows for (rows, _), bad in zip(small.tried, failed, strict=True) if not bad) == len(made.encoded), (
        "what was done is not done again"
    )


def test_cpu_says_it_in_other_words(material: Any) -> None:
    made = material()
    error = RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you"
    )
    assert_same(run(made, model=Small(made.model, 100, error)), one_by_one(made))


def test_one_example_that_does_not_fit_is_an_error(material: Any) -> None:
    import torch

    made = material()
    small = Small(made.model, 5, out_of_memory())
    with pytest.raises(torch.OutOfMemoryError):
        run(made, model=small)
    assert small.tried[-1][0] == 1


def test_other_errors_are_not_tried_again(material: Any) -> None:
    made = material()
    small = Small(made.model, 5, RuntimeError("The size of tensor a must match"))
    with pytest.raises(RuntimeError, match="must match"):
        run(made, model=small)
    assert len(small.tried) == 1


def test_nothing_of_a_failed_batch_is_held_on_to(material: Any) -> None:
    made = material()
    held: list[weakref.ref[Any]] = []
    alive: list[int] = []

    class Holding(Small):
        def __call__(self, **inputs: Any) -> Any:
            alive.append(sum(reference() is not None for reference in held))
            if inputs["input_ids"].numel() > self.most_tokens:
                activation = inputs["input_ids"] * 2.0
                held.append(weakref.ref(activation))
                raise RuntimeError("CUDA out of memory. Tried")
            return self.model(**inputs)

    run(made, model=Holding(made.model, 100, out_of_memory()))
    assert held
    assert not any(alive), "a failed batch's activations must be free before the next try"


# --- several processes


def in_a_process(folder: Path, place: Path, most_tokens: int) -> None:
    """Runs in each of several processes; memory runs out on the first of them only."""
    import datasets
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)  # what the forked process knows is its parent's
    accelerator = Accelerator(cpu=True)
    assert accelerator.num_processes == 2
    checkpoint = open_checkpoint(str(folder))
    task = load("tasks", "sentiment")(max_length=32)
    encoded = task.encode(datasets.Dataset.from_list(texts(21)), checkpoint.tokenizer, LABELS)
    model: Any = build(checkpoint, task.auto_class, LABELS).model
    if accelerator.process_index == 0:
        model = Small(model, most_tokens, out_of_memory())
    pad = checkpoint.tokenizer.pad_token_id
    outputs = forward(model, task, encoded, pad_token_id=pad, batch_tokens=100, accelerator=accelerator)
    np.save(place / f"{accelerator.process_index}.npy", np.append(outputs.reduced["logits"], outputs.loss))


@pytest.mark.parametrize("most_tokens", [40, 1000])
def test_processes_share_the_batches_out_and_all_get_all_outputs(most_tokens: int, bert: Path, tmp_path: Path) -> None:
    import accelerate
    import datasets

    checkpoint = open_checkpoint(str(bert))
    task = load("tasks", "sentiment")(max_length=32)
    encoded = task.encode(datasets.Dataset.from_list(texts(21)), checkpoint.tokenizer, LABELS)
    model = build(checkpoint, task.auto_class, LABELS).model
    alone = forward(model, task, encoded, pad_token_id=checkpoint.tokenizer.pad_token_id, batch_tokens=1)
    accelerate.debug_launcher(in_a_process, (bert, tmp_path, most_tokens), num_processes=2)
    for rank in (0, 1):
        together = np.load(tmp_path / f"{rank}.npy")
        np.testing.assert_allclose(together, np.append(alone.reduced["logits"], alone.loss), atol=2e-6)


def test_attention_is_the_fast_one_unless_told_otherwise(
    material: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from textxfer.modeling import cpu_attention

    case, calls = material(), []
    real = cpu_attention.shares_of
    monkeypatch.setattr(cpu_attention, "shares_of", lambda *parts: calls.append(1) or real(*parts))
    fast = forward(case.model, case.task, case.encoded, pad_token_id=case.pad)
    assert calls
    calls.clear()
    plain = forward(case.model, case.task, case.encoded, pad_token_id=case.pad, fast=False)
    assert not calls
    assert np.abs(fast.reduced["logits"] - plain.reduced["logits"]).max() < 1e-5
