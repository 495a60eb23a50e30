"""Which steps are recorded; recording itself needs a GPU, see tests/gpu."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from textxfer.modeling.anatomy import waits_for_device
from textxfer.training import graphs
from textxfer.training.network import Network
from textxfer.training.plan import Plan
from textxfer.training.step import Stepper


def tiny_model() -> torch.nn.Module:
    config = transformers.BertConfig(
        vocab_size=8, hidden_size=4, num_hidden_layers=1, num_attention_heads=1, intermediate_size=4
    )
    return transformers.BertForSequenceClassification(config)


def plan(**fields: Any) -> Plan:
    lengths = np.repeat([5, 9, 20], [320, 320, 16])
    return Plan(lengths, batch_size=32, **fields)


def test_lengths_are_rounded_up_but_not_beyond_the_longest() -> None:
    lengths = plan().lengths
    assert graphs.width_of(lengths, np.array([0, 1]), 20) == 8
    assert graphs.width_of(lengths, np.array([0, 320]), 20) == 16
    assert graphs.width_of(lengths, np.array([655]), 20) == 20


@pytest.mark.parametrize(("lengths", "width"), [([63, 300], 64), ([65, 300], 80), ([257, 300], 288), ([299, 300], 300)])
def test_long_batches_share_coarser_lengths(lengths: list[int], width: int) -> None:
    assert graphs.width_of(np.array(lengths), np.array([0]), 300) == width


def test_only_lengths_that_come_often_are_recorded() -> None:
    def recorded(plan: Plan) -> set[int]:
        return set(graphs.batches_worth_recording(plan, plan.lengths))

    # The one batch with the sixteen long examples comes once an epoch.
    assert recorded(plan(epochs=3)) == {8, 16}
    assert recorded(plan(epochs=1, max_steps=3)) == set()
    assert recorded(Plan(np.full(31, 5), batch_size=32, epochs=100)) == set()


def test_examples_of_one_token_share_one_length() -> None:
    assert set(graphs.batches_worth_recording(plan(epochs=3), np.ones(656, dtype=np.int64))) == {1}


def test_a_length_is_recorded_with_a_batch_that_has_it() -> None:
    run = plan(epochs=3)
    found = graphs.batches_worth_recording(run, run.lengths)
    assert {width: graphs.width_of(run.lengths, batch, 20) for width, batch in found.items()} == {8: 8, 16: 16}
    assert all(len(batch) == 32 for batch in found.values())


def recorder(monkeypatch: pytest.MonkeyPatch, fails_at: int | None = None) -> tuple[graphs.StepGraphs, list[Any]]:
    """Gives graphs that note what is recorded, and what is replayed as `(width, seed)`, without a device."""
    run, noted = plan(epochs=3), []
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.randn(3))], lr=0.1)
    made = graphs.StepGraphs(run, SimpleNamespace(device="cpu"), run.lengths, None, None, optimizer)  # type: ignore[arg-type]

    def record(indices: np.ndarray, width: int) -> Any:
        if width == fails_at:
            raise RuntimeError("CUDA error: operation not permitted\nmore")
        noted.append(width)
        replay = lambda: noted.append((width, torch.initial_seed()))  # noqa: E731
        graph = SimpleNamespace(replay=replay)
        return graphs._Recorded(graph, torch.zeros(32, dtype=torch.long), torch.ones(()), torch.ones(()))  # type: ignore[arg-type]

    monkeypatch.setattr(made, "_record", record)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    return made, noted


def test_all_lengths_are_recorded_before_the_first_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    made, noted = recorder(monkeypatch)
    short, longer = np.arange(32), np.arange(320, 352)
    for seed, indices in enumerate((short, longer, short)):
        assert made.replays(indices)
        made.take(indices, seed)
    assert noted == [16, 8, (8, 0), (16, 1), (8, 2)]


def test_where_one_length_cannot_be_recorded_none_is_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    made, noted = recorder(monkeypatch, fails_at=8)
    assert made.take(np.arange(320, 352), 0) is None
    assert made.problem == "CUDA error: operation not permitted"
    assert not made.replays(np.arange(320, 352))
    assert noted == [16]


def test_all_steps_of_a_run_with_graphs_read_the_rate_alike() -> None:
    weight = torch.nn.Parameter(torch.randn(3))
    run, optimizer = plan(epochs=3), torch.optim.AdamW([weight], lr=0.1)
    examples: Any = SimpleNamespace(device=torch.device("cpu"))
    nothing: Any = None
    made = graphs.StepGraphs(run, examples, run.lengths, nothing, nothing, optimizer)
    assert made.replays(np.arange(32))
    assert isinstance(optimizer.param_groups[0]["lr"], torch.Tensor)
    plain = torch.optim.AdamW([weight], lr=0.1)
    graphs.StepGraphs(plan(max_steps=3), examples, run.lengths, nothing, nothing, plain)
    assert plain.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize(
    ("processes", "scaler", "steps", "why"),
    [
        (1, None, 60, None),
        (2, None, 60, "several processes"),
        (1, "one", 60, "fp16"),
        (1, None, 3, "no length of a full batch comes 10 times"),
        (1, None, 60, "the training examples, or their stored states, do not lie on the GPU"),
    ],
)
def test_a_run_on_a_gpu_is_told_why_its_steps_are_not_recorded(
    processes: int, scaler: Any, steps: int, why: str | None
) -> None:
    weight = torch.nn.Linear(2, 2)
    run = plan(epochs=3, max_steps=steps)
    there = None if why is not None and "lie on" in why else SimpleNamespace(device=torch.device("cpu"))
    network: Any = SimpleNamespace(
        encoded={"train": SimpleNamespace(lengths=run.lengths)},
        model=tiny_model(),
        module=weight,
        resident=lambda *_: there,
        why_elsewhere=lambda _: "the training examples, or their stored states, do not lie on the GPU",
    )
    accelerator: Any = SimpleNamespace(device=torch.device("cuda"), num_processes=processes, scaler=scaler)
    optimizer, loss = torch.optim.AdamW(weight.parameters()), lambda output, batch: output
    told = Stepper(network, optimizer, loss, accelerator).record(run)
    assert (told or "").startswith(why or "")
    assert bool(told) == bool(why)


@pytest.mark.parametrize(
    ("teaches", "offsets", "why"),
    [
        (False, None, "the training examples, or their stored states, do not lie on the GPU"),
        (True, None, "a model that writes is told in each step which label's words to score"),
        (False, np.array([0, 3]), "the answers that the model is to write are of different lengths"),
    ],
)
def test_why_examples_lie_elsewhere(teaches: bool, offsets: Any, why: str) -> None:
    network: Any = SimpleNamespace(teaches=teaches, encoded={"train": SimpleNamespace(target_offsets=offsets)})
    assert Network.why_elsewhere(network, "train") == why


def test_moments_are_made_without_a_step() -> None:
    weight = torch.nn.Parameter(torch.randn(3))
    before = weight.detach().clone()
    optimizer = torch.optim.AdamW([weight], lr=0.1, weight_decay=0.5)
    graphs._make_states(optimizer)
    assert weight.detach().equal(before)
    assert weight.grad is None
    assert optimizer.param_groups[0]["lr"] == 0.1
    state = optimizer.state[weight]
    assert [float(state["step"]), float(state["exp_avg"].abs().sum()), float(state["exp_avg_sq"].sum())] == [0, 0, 0]


def test_moments_that_are_there_stay() -> None:
    weight = torch.nn.Parameter(torch.randn(3))
    optimizer = torch.optim.AdamW([weight], lr=0.1)
    weight.grad = torch.ones(3)
    optimizer.step()
    kept = {name: value.clone() for name, value in optimizer.state[weight].items()}
    graphs._make_states(optimizer)
    assert all(optimizer.state[weight][name].equal(value) for name, value in kept.items())
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_what_rests_has_no_moments_made() -> None:
    weight, resting = torch.nn.Parameter(torch.randn(3)), torch.nn.Parameter(torch.randn(3), requires_grad=False)
    optimizer = torch.optim.AdamW([weight, resting], lr=0.1)
    graphs._make_states(optimizer)
    assert weight in optimizer.state
    assert resting not in optimizer.state


def test_a_phase_without_graphs_has_a_plain_rate_again() -> None:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.randn(3))], lr=0.1)
    graphs.make_replayable(optimizer, torch.device("cpu"))
    graphs.make_plain(optimizer)
    [group] = optimizer.param_groups
    assert isinstance(group["lr"], float)
    assert group["lr"] == pytest.approx(0.1)
    assert group["capturable"] is False


def test_a_rate_that_is_a_tensor_is_set_in_place() -> None:
    weight = torch.nn.Parameter(torch.randn(3))
    optimizer = torch.optim.AdamW([weight], lr=0.1)
    graphs.set_rates(optimizer, [0.2])
    assert optimizer.param_groups[0]["lr"] == 0.2
    graphs.make_replayable(optimizer, torch.device("cpu"))
    rate = optimizer.param_groups[0]["lr"]
    graphs.set_rates(optimizer, [0.3])
    assert optimizer.param_groups[0]["lr"] is rate
    assert float(rate) == pytest.approx(0.3)


def test_a_failed_recording_is_told_by_its_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = recorder(monkeypatch)

    def fail(*_: Any) -> Any:
        try:
            raise torch.OutOfMemoryError("CUDA out of memory")
        except RuntimeError:
            raise RuntimeError("operation failed due to a previous error during capture")  # noqa: B904

    monkeypatch.setattr(made, "_record", fail)
    assert made.take(np.arange(32), 0) is None
    assert made.problem == "memory ran out"


@pytest.mark.parametrize(("size", "why"), [(8, "`train.micro_batch_size` cuts"), (32, ""), ("auto", "")])
def test_steps_that_are_cut_are_not_recorded(size: Any, why: str) -> None:
    run = plan(epochs=3)
    network: Any = SimpleNamespace(
        encoded={"train": SimpleNamespace(lengths=run.lengths)},
        model=tiny_model(),
        module=torch.nn.Linear(2, 2),
        resident=lambda *_: SimpleNamespace(device=torch.device("cpu")),
    )
    accelerator: Any = SimpleNamespace(device=torch.device("cuda"), num_processes=1, scaler=None)
    optimizer, loss = torch.optim.AdamW(network.module.parameters()), lambda output, batch: output
    told = Stepper(network, optimizer, loss, accelerator, micro_batch_size=size).record(run)
    assert (told or "").startswith(why)
    assert bool(told) == bool(why)


def test_t5_s_own_head_waits_for_the_device() -> None:
    t5 = transformers.T5Config(
        vocab_size=8, d_model=4, d_kv=2, d_ff=4, num_layers=1, num_heads=2, decoder_start_token_id=0
    )
    assert waits_for_device(transformers.T5ForSequenceClassification(t5))
    assert not waits_for_device(transformers.T5EncoderModel(t5))
    assert not waits_for_device(tiny_model())
