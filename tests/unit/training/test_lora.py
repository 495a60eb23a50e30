"""Runs with LoRA: what is saved, resumed and stored."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import textxfer
from tests.unit.training.helpers import Watcher, assert_same_run, signaller, splits, weights
from textxfer.errors import Interrupted, RecipeError
from textxfer.run import run_recipe
from textxfer.training.judge import Judge
from textxfer.training.stopping import StopRequested

Small = Callable[..., dict[str, Any]]
LORA = {"rank": 4, "alpha": 8, "dropout": 0.1}
TEXTS = ["the film was a delight", "a dull story told badly"]


def test_the_saved_model_is_stock_and_its_backbone_moved_where_updates_were(small: Small, bert: Path) -> None:
    watcher = Watcher()
    result = run_recipe(small(lora=LORA), splits=splits(), observers=[watcher])
    assert "LoRA of rank 4 in 4 modules; the rest is frozen" in watcher.notes
    _, info = transformers.AutoModelForSequenceClassification.from_pretrained(result.model, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    old, new = transformers.AutoModel.from_pretrained(bert).state_dict(), weights(result.folder)
    moved = {name for name, value in old.items() if not value.equal(new[f"bert.{name}"])}
    kinds = {name.split(".")[-2] for name in moved if not name.startswith("pooler")}
    assert kinds == {"query", "value"}
    assert result.metrics["trainable_parameters"] < result.metrics["total_parameters"] / 2
    assert not (result.folder / "adapter").exists()


def test_an_adapter_is_kept_and_loads_everywhere(small: Small, bert: Path) -> None:
    import peft

    result = run_recipe(small(lora=LORA | {"merge": False}), splits=splits())
    adapter = result.folder / "adapter"
    told = json.loads((adapter / "adapter_config.json").read_text())
    assert told["r"] == 4
    assert told["base_model_name_or_path"] == str(bert)
    merged = transformers.AutoModelForSequenceClassification.from_pretrained(result.model).eval()
    base = transformers.AutoModelForSequenceClassification.from_pretrained(bert, num_labels=2)
    apart = peft.PeftModel.from_pretrained(base, adapter).eval()
    tokens = transformers.AutoTokenizer.from_pretrained(result.model)(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        assert torch.allclose(merged(**tokens).logits, apart(**tokens).logits, atol=1e-5)
    whole, small_one = (
        textxfer.pipeline(result.folder)(TEXTS, top_k=None),
        textxfer.pipeline(adapter)(TEXTS, top_k=None),
    )
    for first, second in zip(whole, small_one, strict=True):
        assert [each["label"] for each in first] == [each["label"] for each in second]
        assert [each["score"] for each in first] == pytest.approx([each["score"] for each in second], abs=1e-5)


def test_what_an_adapter_cannot_begin(small: Small) -> None:
    before = run_recipe(small(name="before", lora=LORA | {"merge": False}), splits=splits()).folder / "adapter"
    instead = f"name the run's merged `model` as the checkpoint ({before})"
    for asked, what in (
        (
            {"head": {"name": "mean"}},
            "head: is mean, and the checkpoint is a LoRA adapter of a model with the native one",
        ),
        (
            {"lora": LORA | {"merge": False}},
            "lora.merge: is false, and an adapter cannot hold the updates of one that it begins with",
        ),
    ):
        with pytest.raises(RecipeError) as error:
            run_recipe(small(checkpoint=str(before), **asked), splits=splits())
        assert error.value.lines == (f"{what}; {instead}",)


def test_a_run_that_begins_with_an_adapter_trains_all_that_it_says(small: Small) -> None:
    before = run_recipe(small(name="before", lora=LORA | {"merge": False}), splits=splits()).folder
    old = weights(before)
    for name, sections in {"whole": {}, "updates": {"lora": LORA}}.items():
        result = run_recipe(small(name=name, checkpoint=str(before / "adapter"), **sections), splits=splits())
        moved = {name for name, value in weights(result.folder).items() if not value.equal(old[name])}
        kinds = {name.split(".")[-2] for name in moved}
        assert {"classifier", "query", "value"} <= kinds
        assert ("LayerNorm" in kinds) == (name == "whole")


def test_few_rows_begin_with_an_adapter_under_the_native_head(small: Small, untouched: Small) -> None:
    before = run_recipe(small(name="before", lora=LORA | {"merge": False}), splits=splits()).folder / "adapter"
    renamed = {name: [row | {"label": row["label"].upper()} for row in part] for name, part in splits().items()}
    result = run_recipe(untouched() | {"checkpoint": str(before)}, splits=renamed)
    chosen = json.loads((result.folder / "choices.json").read_text())["road"]
    assert {each["head"] for each in chosen["scores"]} == {"native"}


def test_an_interrupted_run_ends_as_it_would_have(small: Small) -> None:
    whole = run_recipe(small(name="whole", lora=LORA), splits=splits())
    with pytest.raises(Interrupted):
        run_recipe(small(lora=LORA), splits=splits(), observers=[signaller("on_step", 5, signal.SIGINT)])
    resumed = run_recipe(small(lora=LORA), splits=splits(), resume=True)
    assert_same_run(resumed.folder, whole.folder)


def test_a_run_interrupted_while_it_is_judged_keeps_its_updates(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are in the weights by then, and no module of the model any more."""
    given = {"train": splits()["train"], "test": splits()["test"]}
    recipe = small(lora=LORA, dataset={"validation_fraction": 0.0})
    whole = run_recipe(recipe, "name=whole", splits=given)
    conclude = Judge.conclude

    def interrupted(self: Judge) -> Any:
        monkeypatch.setattr(Judge, "conclude", conclude)
        raise StopRequested(signal.SIGINT)

    monkeypatch.setattr(Judge, "conclude", interrupted)
    with pytest.raises(Interrupted):
        run_recipe(recipe, splits=given)
    assert_same_run(run_recipe(recipe, splits=given, resume=True).folder, whole.folder)


def test_what_lies_below_the_updates_is_stored(small: Small) -> None:
    settings = {"lora": {"rank": 4}, "freeze": {"layers": 1}}
    watcher = Watcher()
    stored = run_recipe(small(name="stored", **settings), splits=splits(), observers=[watcher])
    assert any(note.startswith("the output of 1 frozen layer is computed once") for note in watcher.notes)
    anew = run_recipe(small(name="anew", train={"prefix_cache": "off"}, **settings), splits=splits())
    one, other = weights(stored.folder), weights(anew.folder)
    assert all(torch.allclose(one[name], other[name], atol=1e-5) for name in one)


@pytest.mark.parametrize("change", [{"rank": 2}, {"alpha": 32}, {"dropout": 0.5}, {"targets": ["key"]}], ids=str)
def test_every_field_is_used(small: Small, change: dict[str, Any]) -> None:
    plain = run_recipe(small(name="plain", lora=LORA), splits=splits())
    changed = run_recipe(small(name="changed", lora=LORA | change), splits=splits())
    assert any(not weights(plain.folder)[name].equal(value) for name, value in weights(changed.folder).items())


def test_targets_are_looked_for_before_any_weights(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("weights were loaded")

    monkeypatch.setattr(transformers.PreTrainedModel, "from_pretrained", refuse)
    for layers in (0, 1, "auto"):
        with pytest.raises(RecipeError, match=r"lora\.targets: unknown module `nothing`"):
            run_recipe(small(lora={"targets": ["query", "nothing"]}, freeze={"layers": layers}), splits=splits())
    with pytest.raises(RecipeError, match="lora: all layers are frozen"):
        run_recipe(small(lora=LORA, freeze={"layers": 2}), splits=splits())
    with pytest.raises(RecipeError, match=r"freeze\.layers: is 3, but the checkpoint has 2 layers"):
        run_recipe(small(freeze={"layers": 3}), splits=splits())


def test_nothing_left_to_train_is_told_before_any_weights(
    small: Small, checkpoints: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task whose network has no head of its own."""
    from textxfer.tasks.sentiment import Sentiment

    monkeypatch.setattr(Sentiment, "auto_class", "AutoModel")
    recipe = small(checkpoint=str(checkpoints("gpt2")), freeze={"layers": "all"})
    with pytest.raises(RecipeError, match="freeze: nothing is left to train"):
        run_recipe(recipe, splits=splits())


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"freeze": {"layers": "all"}}, "updates layers that are not frozen, and `freeze.layers` is `all`"),
        ({"freeze": {"embeddings": False}}, "with `lora` the embeddings keep their weights"),
        ({"lora": {"rank": 0}}, "lora.rank: must be at least 1"),
        ({"lora": {"rank": 2, "targets": ["nothing"]}}, "lora.targets: unknown module `nothing`"),
    ],
)
def test_mistakes(small: Small, tmp_path: Path, sections: dict[str, Any], message: str) -> None:
    recipe = small(**{"lora": LORA} | sections)
    with pytest.raises(RecipeError) as caught:
        run_recipe(recipe, splits=splits())
    assert message in str(caught.value)
    assert not (Path(recipe["output"]["directory"]) / "tiny").exists()
