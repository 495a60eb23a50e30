"""Adapting checkpoints of every family: what learns, what is saved, and how it is gone on with."""

from __future__ import annotations

import gc
import json
import math
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from tests.unit.adaptation.conftest import adapt
from tests.unit.training.helpers import Watcher, signaller
from textxfer.adaptation import adapt as room
from textxfer.adaptation.work import Work
from textxfer.errors import CheckpointError, Interrupted, OutputError, RecipeError, TrainingDiverged
from textxfer.modeling import anatomy
from textxfer.modeling.anatomy import backbone_parameters
from textxfer.modeling.checkpoint import open_checkpoint
from textxfer.modeling.language_model import PredictedOnly, build_language_model
from textxfer.recipe.sections import Adapt
from textxfer.training.precision import make_accelerator

Make = Callable[..., Work]
HEADS = {
    "bert": ("masked_lm", "AutoModelForMaskedLM"),
    "distilbert": ("masked_lm", "AutoModelForMaskedLM"),
    "modernbert": ("masked_lm", "AutoModelForMaskedLM"),
    "deberta-v2": ("masked_lm", "AutoModelForMaskedLM"),
    "mpnet": ("masked_lm", "AutoModelForMaskedLM"),
    "t5": ("span_corruption", "AutoModelForSeq2SeqLM"),
    "gpt2": ("causal_lm", "AutoModelForCausalLM"),
}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model" / "model.safetensors")


def same(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(first[name].equal(second[name]) for name in first)


@pytest.mark.parametrize("family", HEADS)
def test_a_family_learns_what_it_was_pretrained_for(make_work: Make, family: str, tmp_path: Path) -> None:
    objective, auto_class = HEADS[family]
    result = adapt(make_work(family), tmp_path / "out")
    assert result.metrics["objective"] == objective
    assert result.metrics["after"]["perplexity"] < 0.9 * result.metrics["before"]["perplexity"]
    assert math.log(result.metrics["after"]["perplexity"]) == pytest.approx(result.metrics["after"]["loss"])
    model, info = getattr(transformers, auto_class).from_pretrained(result.model, output_loading_info=True)
    assert not info["missing_keys"]
    opened = open_checkpoint(str(result.folder))
    assert opened.settings["adapted"]["objective"] == objective
    assert not build_language_model(opened).new
    tokens = opened.tokenizer(["the soup came cold"], return_tensors="pt")
    assert model(**{"input_ids": tokens["input_ids"]} | ({"labels": tokens["input_ids"]} if family == "t5" else {}))


def test_the_head_looks_at_hidden_tokens_alone_and_says_the_same(checkpoints: Callable[[str], Path]) -> None:
    for family in ("bert", "electra", "roberta", "mpnet", "distilbert", "deberta-v2", "modernbert"):
        checkpoint = open_checkpoint(str(checkpoints(family)))
        model = build_language_model(checkpoint).model.eval()
        inputs = checkpoint.tokenizer(["the soup came cold", "we loved the room"], padding=True, return_tensors="pt")
        predicted = torch.zeros_like(inputs["input_ids"], dtype=torch.bool)
        predicted[0, 1] = predicted[1, 2] = predicted[1, 3] = True
        with torch.no_grad():
            every, few = model(**inputs).logits[predicted], PredictedOnly(model)(predicted, **inputs).logits[0]
        assert torch.allclose(every, few, atol=1e-6), family


def test_nothing_of_it_stays_in_memory(make_work: Make, tmp_path: Path) -> None:
    def alive() -> int:
        gc.collect()
        return sum(type(each) is torch.optim.AdamW for each in gc.get_objects())

    before, accelerator = alive(), make_accelerator("fp32")
    room.adapt(make_work("bert", steps=2), tmp_path / "out", accelerator)
    assert alive() == before


def test_a_new_head_learns_alone_first(make_work: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    begin = room._Run._begin

    def watched(run: Any) -> Any:
        model, own = run.built.model, backbone_parameters(run.built.model)
        before = {name: value.detach().clone() for name, value in model.named_parameters(remove_duplicate=False)}
        outcome = begin(run)
        for name, value in model.named_parameters(remove_duplicate=False):
            if "pooler" not in name:
                assert value.equal(before[name]) == (name in own), name
            assert value.requires_grad == ("pooler" not in name)
        seen.append(outcome)
        return outcome

    monkeypatch.setattr(room._Run, "_begin", watched)
    watcher = Watcher()
    result = adapt(make_work(), tmp_path / "out", observers=[watcher])
    assert seen[0] == result.metrics["before"]
    assert result.metrics["new_head"]
    assert result.metrics["head_steps"] == 8
    assert any("a new one learns alone for 8 steps first" in note for note in watcher.notes)


def test_a_pooler_is_kept_as_it_was(make_work: Make, checkpoints: Callable[[str], Path], tmp_path: Path) -> None:
    result = adapt(make_work(), tmp_path / "out")
    old = transformers.AutoModel.from_pretrained(checkpoints("bert")).pooler.dense.weight
    new, info = transformers.AutoModelForSequenceClassification.from_pretrained(result.model, output_loading_info=True)
    assert new.bert.pooler.dense.weight.equal(old)
    assert {key.split(".")[0] for key in info["missing_keys"]} == {"classifier"}


def test_adaptation_goes_on_with_the_head_it_made(make_work: Make, tmp_path: Path) -> None:
    first = adapt(make_work(), tmp_path / "one")
    watcher = Watcher()
    second = adapt(make_work(first.folder), tmp_path / "two", observers=[watcher])
    assert not second.metrics["new_head"]
    assert second.metrics["before"]["perplexity"] == pytest.approx(first.metrics["after"]["perplexity"], rel=1e-5)
    assert second.metrics["after"]["perplexity"] < first.metrics["after"]["perplexity"]
    assert not any("head" in note for note in watcher.notes)
    assert "pooler" in str(list(weights(second.folder)))


@pytest.mark.parametrize("family", ["bert", "t5"])
def test_an_interrupted_adaptation_ends_as_it_would_have(make_work: Make, family: str, tmp_path: Path) -> None:
    changes = {} if family == "bert" else {"freeze": {"layers": 1}}
    whole = adapt(make_work(family, **changes), tmp_path / "whole")
    steps = whole.metrics["steps"]
    half = steps // 2
    stop = Watcher("on_scores", half, signaller("on_step", 0, signal.SIGINT).act)
    with pytest.raises(Interrupted, match=f"adaptation stopped after step {half} of {steps}"):
        adapt(make_work(family, **changes), tmp_path / "parts", observers=[stop])
    watcher = Watcher()
    parts = adapt(make_work(family, **changes), tmp_path / "parts", resume=True, observers=[watcher])
    assert f"goes on after step {half}" in watcher.notes
    assert watcher.steps == list(range(half + 1, steps + 1))
    assert same(parts.folder, whole.folder)
    kept = [{key: value for key, value in each.metrics.items() if key != "timing"} for each in (parts, whole)]
    assert kept[0] == kept[1]


def test_micro_batches_do_not_change_what_is_hidden(make_work: Make, tmp_path: Path, monkeypatch: Any) -> None:
    from tests import tiny
    from textxfer.training import step

    quiet = tiny.make_checkpoint(tmp_path / "quiet", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    whole = adapt(make_work(quiet, steps=3), tmp_path / "whole")
    init = step.Stepper.__init__
    monkeypatch.setattr(step.Stepper, "__init__", lambda *given, **how: init(*given, **how | {"micro_batch_size": 3}))
    parts = adapt(make_work(quiet, steps=3), tmp_path / "parts")
    assert parts.metrics["after"]["loss"] == pytest.approx(whole.metrics["after"]["loss"], rel=1e-4)


def test_a_finished_one_is_not_done_again(make_work: Make, tmp_path: Path) -> None:
    adapt(make_work(), tmp_path / "out")
    watcher = Watcher()
    again = adapt(make_work(), tmp_path / "out", resume=True, observers=[watcher])
    assert again.reused
    assert watcher.steps == []
    with pytest.raises(OutputError, match="holds another adaptation"):
        adapt(make_work(seed=1), tmp_path / "out", resume=True)
    with pytest.raises(OutputError, match="holds a finished run; --resume"):
        adapt(make_work(), tmp_path / "out")
    assert not adapt(make_work(seed=1), tmp_path / "out", overwrite=True).reused


def test_frozen_layers_stay_and_nothing_is_stored(make_work: Make, checkpoints: Any, tmp_path: Path) -> None:
    watcher = Watcher()
    result = adapt(make_work(freeze={"layers": 1}), tmp_path / "out", observers=[watcher])
    old = transformers.AutoModel.from_pretrained(checkpoints("bert")).state_dict()
    new = weights(result.folder)
    moved = {name for name, value in old.items() if not value.equal(new[f"bert.{name}"])}
    assert moved
    assert {".".join(name.split(".")[:3]) for name in moved} == {"encoder.layer.1"}
    assert sum("frozen layers are computed anew in each step" in note for note in watcher.notes) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": 1e-3},
        {"mask_rate": 0.4},
        {"seed": 1},
        {"epochs": 1},
        {"steps": 3},
        {"batch_size": 8},
        {"warmup_ratio": 0.5},
        {"weight_decay": 0.5},
        {"max_length": 8},
        {"held_back": 0.4},
        {"freeze": {"layers": 1}},
    ],
    ids=str,
)
def test_every_field_is_used(make_work: Make, tmp_path_factory: Any, change: dict[str, Any], plain: Any) -> None:
    work = make_work(**change)
    assert work.key != plain[0]
    assert not same(adapt(work, tmp_path_factory.mktemp("changed") / "out").folder, plain[1])


@pytest.fixture
def plain(make_work: Make, tmp_path: Path) -> tuple[str, Path]:
    """Key and folder of an adaptation without any change."""
    work = make_work()
    return work.key, adapt(work, tmp_path / "plain").folder


def test_the_log_has_losses_and_perplexities(plain: tuple[str, Path]) -> None:
    lines = [json.loads(line) for line in (plain[1] / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "perplexity" in line] == [4, 8]
    assert any("learning_rate" in line for line in lines)


def test_a_family_without_a_language_model_is_told(make_work: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from textxfer.modeling.anatomy import bert

    monkeypatch.delattr(bert, "LANGUAGE_MODEL")
    with pytest.raises(CheckpointError, match="family 'bert' have no language-model head; they cannot be adapted"):
        make_work()


@pytest.mark.parametrize("family", sorted(set(anatomy.FAMILIES)))
def test_every_family_says_what_it_was_pretrained_for(family: str) -> None:
    auto_class = anatomy.language_model(transformers.AutoConfig.for_model(family))
    assert auto_class is not None
    assert hasattr(transformers, auto_class)


@pytest.mark.parametrize(
    ("family", "token", "message"), [("bert", "[MASK]", "no mask token"), ("t5", "extra", "no <extra")]
)
def test_a_tokenizer_without_the_tokens_for_it(
    make_work: Make, checkpoints: Any, tmp_path: Path, family: str, token: str, message: str
) -> None:
    folder = tmp_path / family
    shutil.copytree(checkpoints(family), folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    if family == "bert":
        settings["mask_token"] = None
    else:
        text = (folder / "tokenizer.json").read_text().replace("<extra_id_", "<other_id_")
        (folder / "tokenizer.json").write_text(text)
        settings = {key: value for key, value in settings.items() if "extra" not in key} | {"extra_ids": 0}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match=message):
        make_work(folder)


@pytest.mark.parametrize("layers", ["all", 2])
def test_nothing_left_to_adapt(make_work: Make, layers: Any) -> None:
    with pytest.raises(RecipeError, match=r"adapt\.freeze\.layers: is .*, of 2 layers; nothing would be adapted"):
        make_work(freeze={"layers": layers})


def test_a_decoder_is_adapted_over_a_frozen_encoder(make_work: Make, tmp_path: Path) -> None:
    result = adapt(make_work("t5", freeze={"layers": 2}), tmp_path / "out")
    assert result.metrics["after"]["perplexity"] < result.metrics["before"]["perplexity"]
    with pytest.raises(RecipeError, match=r"adapt\.freeze\.layers: is 3, of 2 layers"):
        make_work("t5", freeze={"layers": 3})


def test_a_run_with_a_length_of_its_own_leaves_no_limit(make_work: Make, checkpoints: Any, tmp_path: Path) -> None:
    model = shutil.copytree(checkpoints("t5"), tmp_path / "model")
    settings = json.loads((model / "tokenizer_config.json").read_text()) | {"model_max_length": 24}
    (model / "tokenizer_config.json").write_text(json.dumps(settings))
    config = json.loads((model / "config.json").read_text()) | {"textxfer": {"task": "topic", "max_length": 24}}
    (model / "config.json").write_text(json.dumps(config))
    assert open_checkpoint(str(model)).most_tokens is None
    result = adapt(make_work(model, epochs=1), tmp_path / "out")
    assert open_checkpoint(str(result.model)).most_tokens is None


def test_divergence_names_the_fields_of_adapt(make_work: Make, tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged, match=r"rows text .* try a smaller adapt\.learning_rate") as caught:
        adapt(make_work(learning_rate=1e30, warmup_ratio=0.0), tmp_path / "out")
    told = " ".join(caught.value.lines)
    assert set(re.findall(r"adapt\.(\w+)", told)) <= set(Adapt.model_fields)
    assert "train.precision" in told


def test_an_adapted_checkpoint_is_no_model_of_a_task(plain: tuple[str, Path]) -> None:
    import textxfer

    with pytest.raises(CheckpointError, match="is an adapted language model; a recipe that names it"):
        textxfer.pipeline(plain[1])
