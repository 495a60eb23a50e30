"""Runs whose head is one of textxfer's: how it starts, what is trained, what a further run makes of it."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import textxfer
from tests.trained import topics
from tests.unit.training.helpers import Watcher, assert_same_run, log, make_recipe, prepared, signaller, splits
from textxfer import registry
from textxfer.errors import Interrupted, RecipeError
from textxfer.recipe.loading import load_recipe
from textxfer.run import RunResult, run_recipe
from textxfer.training.assemble import Training, assemble
from textxfer.training.precision import make_accelerator
from textxfer.training.prepare import prepare

MLP = {"name": "mlp", "hidden": [8], "start": "random"}
GATED = '''
from typing import Literal
import torch
from textxfer import HeadSection, register

class Config(HeadSection):
    """The last token, times a gate; the logits are its first values."""
    name: Literal["gated"] = "gated"
    """The head."""
    opening: float = 1.0
    """Of the gate."""

@register("heads", "gated")
class Gated(torch.nn.Module):
    token = "last"
    last = None

    def __init__(self, hidden_size, num_labels, *, opening):
        super().__init__()
        self.gate = torch.nn.Parameter(torch.full((hidden_size,), opening))
        self.num_labels = num_labels

    def forward(self, hidden, mask):
        states = hidden[torch.arange(len(hidden)), mask.sum(dim=1) - 1]
        return (states * self.gate)[:, : self.num_labels]
'''


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))


@pytest.fixture
def run(bert: Path, tmp_path: Path) -> Callable[..., RunResult]:
    """Runs a small recipe with a head of 8 hidden units."""

    def start(name: str = "tiny", watcher: Watcher | None = None, given: Any = None, **sections: Any) -> RunResult:
        head, checkpoint = sections.pop("head", MLP), sections.pop("checkpoint", bert)
        recipe = make_recipe(checkpoint, tmp_path, name, **sections) | {"head": head}
        return run_recipe(recipe, splits=given or splits(), observers=[watcher] if watcher else [])

    return start


def assembled(checkpoint: Path, **sections: Any) -> Training:
    recipe = make_recipe(checkpoint, Path("unused"), **sections)
    return assemble(prepare(load_recipe(recipe, rows_given=True), splits()), make_accelerator("fp32"))


# --- what is trained


def test_a_run_says_what_it_does_and_leaves_what_it_says(run: Any) -> None:
    watcher = Watcher()
    result = run(watcher=watcher)
    assert "new in this model: head.layers.1, head.layers.4" in watcher.notes
    head = textxfer.load_recipe(result.folder / "recipe.yaml", rows_given=True).head.model_dump()
    assert head == MLP | {"hidden": (8,), "pooling": "cls", "activation": "gelu", "dropout": 0.1}
    assert json.loads((result.model / "config.json").read_text())["textxfer"]["head"] == "mlp"
    assert (result.model / "head.safetensors").stat().st_mode == (result.model / "head.json").stat().st_mode
    predicted = [json.loads(line) for line in (result.folder / "predictions.jsonl").read_text().splitlines()]
    texts = [row["text"] for row in splits()["test"]]
    for found, row in zip(textxfer.pipeline(result.folder)(texts, top_k=None), predicted, strict=True):
        assert {each["label"]: pytest.approx(each["score"], abs=1e-5) for each in found} == row["probabilities"]


def test_several_labels_a_text(bert: Path, tmp_path: Path) -> None:
    task = {"name": "topic", "multi_label": True, "max_length": 32}
    recipe = make_recipe(bert, tmp_path, dataset={"text_pair": "text_pair"}) | {"task": task, "head": "mean"}
    result = run_recipe(recipe, splits={"train": topics(), "test": topics()[:8]})
    assert {"accuracy", "macro_f1"} <= set(result.metrics["test"])
    assert textxfer.pipeline(result.folder)({"text": "the room", "text_pair": "the view"}, top_k=None)


def test_layers_and_head_learn_at_rates_of_their_own(bert: Path) -> None:
    training = assembled(bert, head=MLP, train={"layer_decay": 0.5, "head_learning_rate": 1e-2})
    assert (
        "highest learning rates: embeddings 1.25e-04, layer 0 2.50e-04, layer 1 5.00e-04, head 1.00e-02"
        in training.start(True).notes
    )


def test_dropout_of_the_head_changes_the_steps(run: Any) -> None:
    losses = [
        [line["loss"] for line in log(run(name, head=MLP | {"dropout": dropout}).folder) if "loss" in line]
        for name, dropout in (("a", 0.1), ("b", 0.1), ("c", 0.6))
    ]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("layers", [1, 2])
def test_frozen_layers_are_stored_and_change_nothing(layers: int, run: Any) -> None:
    watcher = Watcher()
    stored = run("stored", watcher, freeze={"layers": layers})
    assert any(note.startswith(f"the output of {layers} frozen layer") for note in watcher.notes)
    anew = run("anew", freeze={"layers": layers}, train={"prefix_cache": "off"})
    losses = [[line["loss"] for line in log(each.folder) if "loss" in line] for each in (stored, anew)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_an_interrupted_run_ends_as_it_would_have(run: Any, bert: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    whole = run("whole")
    with pytest.raises(Interrupted):
        run(watcher=signaller("on_step", 5, signal.SIGINT))
    resumed = run_recipe(make_recipe(bert, tmp_path) | {"head": MLP}, splits=splits(), resume=True)
    assert_same_run(resumed.folder, whole.folder)
    one, other = (load_file(each.model / "head.safetensors") for each in (whole, resumed))
    assert all(one[name].equal(other[name]) for name in one)


def test_activation_checkpointing_and_lora(run: Any) -> None:
    pytest.importorskip("peft")
    watcher = Watcher()
    result = run(watcher=watcher, lora={"rank": 2}, train={"activation_checkpointing": True})
    assert "LoRA of rank 2 in 4 modules; the rest is frozen" in watcher.notes
    assert textxfer.pipeline(result.folder)("the film was a delight")


# --- how it starts


@pytest.mark.parametrize("head", [{"name": "mean"}, {"name": "mlp", "pooling": "last", "hidden": []}])
def test_a_head_of_one_layer_on_a_frozen_backbone_is_the_probe(head: dict[str, Any], run: Any) -> None:
    watcher = Watcher()
    result = run(watcher=watcher, head=head, freeze={"layers": "all"}, given=splits(60))
    assert result.metrics["steps"] == 0
    assert any("that is the answer, and no step is taken" in note for note in watcher.notes)
    assert result.metrics["test"]["accuracy"] > 0.5
    assert run("random", head=head | {"start": "random"}, freeze={"layers": "all"}).metrics["steps"] == 8


def test_hidden_layers_on_a_frozen_backbone_are_trained(run: Any) -> None:
    watcher = Watcher()
    result = run(watcher=watcher, head={"name": "mlp", "hidden": [8]}, freeze={"layers": "all"})
    assert result.metrics["steps"] == 8
    assert any(note.startswith("the head starts from a probe") for note in watcher.notes)


def test_hidden_layers_start_orthogonal_below_a_probe(bert: Path) -> None:
    import torch

    training: Any = assembled(bert, head={"name": "mlp", "hidden": [40, 4], "start": "probe"})
    training.start(True)
    for place, wide in ((1, True), (4, False)):
        weight = training.model.head.layers[place].weight.detach()
        square = weight.T @ weight if wide else weight @ weight.T
        torch.testing.assert_close(square, 0.09 * torch.eye(len(square)), atol=1e-5, rtol=0)
    random: Any = assembled(bert, head=MLP | {"hidden": [40]})
    weight = random.model.head.layers[1].weight.detach()
    assert float((weight.T @ weight - 0.09 * torch.eye(16)).abs().max()) > 0.1


# --- checkpoints of an earlier run


def test_a_further_run_keeps_the_head(run: Any, tmp_path: Path) -> None:
    first, watcher = run("first"), Watcher()
    again = run("second", watcher, checkpoint=str(first.model), train={"learning_rate": 1e-9})
    assert "the checkpoint's own head is kept" in watcher.notes
    texts = [row["text"] for row in splits()["test"]]
    one, other = (textxfer.pipeline(each.folder)(texts, top_k=None) for each in (first, again))
    for rows in zip(one, other, strict=True):
        assert [each["score"] for each in rows[0]] == pytest.approx([each["score"] for each in rows[1]], abs=1e-4)


@pytest.mark.parametrize(("head", "named"), [("native", "the native one"), ("mean", "`mean`")])
def test_a_further_run_with_another_head_says_what_is_dropped(head: str, named: str, run: Any) -> None:
    first, watcher = run("first"), Watcher()
    run("second", watcher, checkpoint=str(first.model), head={"name": head, "start": "random"})
    [note] = [note for note in watcher.notes if note.startswith("the checkpoint's own head was not kept")]
    assert (
        f"it is `mlp` (pooling cls, hidden [8], activation gelu), not {'the native one' if head == 'native' else ''}"
        in note
    )
    assert "`head: mlp` with its options keeps it" in note


def test_a_frozen_backbone_with_a_kept_head_takes_steps(run: Any) -> None:
    first = run("first", head={"name": "mean"})
    again = run(
        "second", checkpoint=str(first.model), head={"name": "mean", "start": "probe"}, freeze={"layers": "all"}
    )
    assert again.metrics["steps"] == 8


# --- what looks at the backbone alone


def test_depth_and_suspects_work_on_its_checkpoints(run: Any, checkpoints: Callable[[str], Path]) -> None:
    first = run("first", checkpoint=str(checkpoints("t5")))
    result = run("second", checkpoint=str(first.model), freeze={"layers": "auto"}, suspects="on")
    assert (result.folder / "choices.json").exists()
    assert (result.folder / "suspects.csv").exists()


def test_a_backbone_is_adapted_before_it_gets_its_head(run: Any) -> None:
    watcher = Watcher()
    result = run(watcher=watcher, adapt={"texts": "task", "steps": 1})
    assert any(note.startswith("the checkpoint is adapted") for note in watcher.notes)
    assert textxfer.pipeline(result.folder)("the film was a delight")


# --- bad input


def test_the_first_token_of_a_causal_model_knows_nothing(run: Any, checkpoints: Callable[[str], Path]) -> None:
    gpt2 = str(checkpoints("gpt2"))
    with pytest.raises(RecipeError, match=r"head\.pooling: is cls, and the first token of a gpt2 model sees no other"):
        run(checkpoint=gpt2, head=MLP | {"pooling": "cls"})
    result = run(checkpoint=gpt2)
    assert textxfer.load_recipe(result.folder / "recipe.yaml", rows_given=True).head.model_dump()["pooling"] == "last"


def test_a_head_from_a_plugin_is_trained_verified_and_missed(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from textxfer.errors import CheckpointError
    from textxfer.publishing.verify import verify

    (tmp_path / "gated.py").write_text(GATED)
    plugins, watcher = [str(tmp_path / "gated.py")], Watcher()
    head = {"name": "gated", "opening": 2.0, "start": "probe"}
    result = run(
        "plugin", watcher, head=head, plugins=plugins, given=splits(200) | {"validation": splits(200)["train"]}
    )
    assert "the head starts as it is, without a probe" in watcher.notes  # it has no linear layer to fit
    assert any(note.startswith("not calibrated: ") for note in watcher.notes)
    assert json.loads((result.model / "head.json").read_text())["options"] == {"opening": 2.0}
    assert verify(result.folder) < 1e-5
    assert textxfer.pipeline(result.folder)("the film was a delight")
    monkeypatch.setattr(registry, "_registered", {})
    with pytest.raises(CheckpointError, match=r"its head cannot be made here: unknown head `gated`.*is imported"):
        textxfer.pipeline(result.folder)


def test_a_head_that_can_be_no_probe_takes_no_road(bert: Path, tmp_path: Path) -> None:
    (tmp_path / "gated.py").write_text(GATED)
    recipe = make_recipe(bert, tmp_path, plugins=[str(tmp_path / "gated.py")]) | {"head": "gated"}
    untouched = recipe | {"train": {"precision": "fp32"}}
    assert prepared(untouched).recipe.small_data.road == "off"
    with pytest.raises(RecipeError, match="the head `gated` does not end in a linear layer"):
        prepared(untouched | {"small_data": "probe"})
    assert prepared(untouched | {"head": "mean"}).recipe.small_data.road == "auto"
