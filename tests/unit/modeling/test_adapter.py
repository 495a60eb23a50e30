"""Adapters that peft wrote: merged as peft merges them, or refused with a reason."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from textxfer.errors import CheckpointError, MissingExtra
from textxfer.labels import LabelSet
from textxfer.modeling.build import build
from textxfer.modeling.checkpoint import open_checkpoint

CLASSIFICATION = "AutoModelForSequenceClassification"
LABELS = LabelSet(("bad", "good"))
Saved = Callable[..., tuple[Path, Any]]


@pytest.fixture
def saved(checkpoints: Callable[[str], Path], tmp_path: Path) -> Saved:
    """Saves an adapter as peft does, and gives its folder and the model that peft makes of it, with its updates."""
    import peft

    def save(family: str = "bert", auto_class: str = CLASSIFICATION, config: bool = True, **options: Any) -> Any:
        torch.manual_seed(0)
        model = getattr(transformers, auto_class).from_pretrained(checkpoints(family))
        if auto_class == CLASSIFICATION:
            model.config.id2label, model.config.label2id = LABELS.id2label, LABELS.label2id
            model.config.pad_token_id = open_checkpoint(str(checkpoints(family))).tokenizer.pad_token_id
        task = {CLASSIFICATION: "SEQ_CLS", "AutoModelForQuestionAnswering": "QUESTION_ANS"}.get(auto_class)
        adapted = peft.get_peft_model(model, peft.LoraConfig(**{"r": 3, "lora_alpha": 7, "task_type": task} | options))
        with torch.no_grad():
            for name, value in adapted.named_parameters():
                if value.requires_grad and "lora_A" not in name:
                    value.normal_(std=0.5)
        folder = tmp_path / "adapter"
        adapted.save_pretrained(folder)
        if config:
            model.config.architectures = [type(model).__name__]
            model.config.save_pretrained(folder)
            transformers.AutoTokenizer.from_pretrained(checkpoints(family)).save_pretrained(folder)
        return folder, adapted.eval()

    return save


def told(folder: Path, **changes: Any) -> str:
    """Changes what an adapter says of itself, and gives its name."""
    file = folder / "adapter_config.json"
    known = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in known.items() if value != "gone"}))
    return str(folder)


def logits(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(**inputs).logits
    return found


WAYS: dict[str, dict[str, Any]] = {
    "short names": {"target_modules": ["query", "value"]},
    "one layer": {"target_modules": ["query"], "layers_to_transform": [1]},
    "a pattern": {"target_modules": r".*layer\.0.*\.(key|dense)"},
    "all linear": {"target_modules": "all-linear"},
    "scaled by the root": {"target_modules": ["query"], "use_rslora": True},
    "directions": {"target_modules": ["query"], "use_dora": True},
    "ranks of their own": {
        "target_modules": ["query", "value"],
        "rank_pattern": {"value": 2},
        "alpha_pattern": {"query": 3},
    },
    "whole embeddings": {"target_modules": ["query"], "modules_to_save": ["classifier", "word_embeddings"]},
}


@pytest.mark.parametrize("way", WAYS)
def test_what_peft_makes_of_it_is_what_is_loaded(saved: Saved, inputs_of: Any, way: str) -> None:
    folder, theirs = saved(**WAYS[way])
    built = build(open_checkpoint(str(folder)), CLASSIFICATION, LABELS)
    assert built.new == ()
    assert not any("lora" in name for name, _ in built.model.named_modules())
    expected = logits(theirs, inputs_of("bert"))
    torch.testing.assert_close(logits(built.model, inputs_of("bert")), expected, rtol=1e-4, atol=1e-4)
    with theirs.disable_adapter():
        assert (logits(theirs, inputs_of("bert")) - expected).abs().max() > 1e-2


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_other_families(saved: Saved, inputs_of: Any, family: str) -> None:
    more = {"modules_to_save": ["classification_head"]} if family == "t5" else {}
    folder, theirs = saved(family, target_modules=["c_attn"] if family == "gpt2" else ["q", "v"], **more)
    built = build(open_checkpoint(str(folder)), CLASSIFICATION, LABELS)
    assert built.new == ()
    ours = built.model
    torch.testing.assert_close(logits(ours, inputs_of(family)), logits(theirs, inputs_of(family)), rtol=1e-4, atol=1e-4)


def test_without_a_config_of_its_own_the_bases_is_taken(saved: Saved, inputs_of: Any, bert: Path) -> None:
    folder, theirs = saved(config=False, target_modules=["query"])
    assert not (folder / "config.json").exists()
    checkpoint = open_checkpoint(str(folder))
    assert checkpoint.location == str(bert)
    built = build(checkpoint, CLASSIFICATION, LABELS)
    assert built.dropped == "the adapter does not say which labels it knows"
    assert set(built.new) == {"classifier.weight", "classifier.bias"}
    with torch.no_grad():
        built.model.classifier.load_state_dict(
            theirs.base_model.model.classifier.modules_to_save["default"].state_dict()
        )
    torch.testing.assert_close(
        logits(built.model, inputs_of("bert")), logits(theirs, inputs_of("bert")), rtol=1e-4, atol=1e-4
    )


def test_one_of_a_bare_backbone(saved: Saved, inputs_of: Any) -> None:
    folder, theirs = saved(auto_class="AutoModel", config=False, target_modules=["query"])
    built = build(open_checkpoint(str(folder)), CLASSIFICATION, LABELS)
    assert built.dropped is None
    with torch.no_grad():
        expected = theirs(**inputs_of("bert")).last_hidden_state
        found = built.model.eval().bert(**inputs_of("bert")).last_hidden_state
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_answers_need_no_labels(saved: Saved, inputs_of: Any) -> None:
    folder, theirs = saved(auto_class="AutoModelForQuestionAnswering", config=False, target_modules=["query"])
    ours = build(open_checkpoint(str(folder)), "AutoModelForQuestionAnswering", None)
    assert ours.new == ()
    with torch.no_grad():
        found, expected = ours.model.eval()(**inputs_of("bert")), theirs(**inputs_of("bert"))
    torch.testing.assert_close(found.start_logits, expected.start_logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"peft_type": "IA3"},
            "is an adapter of the kind IA3, and textxfer loads LORA; merge it into its base by peft",
        ),
        ({"bias": "all"}, "its adapter_config.json sets `bias`, which textxfer does not do"),
        ({"use_qalora": True, "lora_bias": True}, "sets `lora_bias`, `use_qalora`|sets `use_qalora`, `lora_bias`"),
        ({"init_lora_weights": "pissa"}, "sets `init_lora_weights: pissa`"),
        ({"r": "gone"}, "adapter_config.json does not say 'r'"),
        ({"r": "many"}, "adapter_config.json cannot be read: invalid literal"),
        ({"base_model_name_or_path": None}, "names no base"),
        (
            {"base_model_name_or_path": "./nowhere"},
            "is an adapter, and its base cannot be used: ./nowhere: there is no such",
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_cannot_be_merged_is_told_when_it_is_opened(saved: Saved, changes: Any, message: str) -> None:
    folder, _ = saved(target_modules=["query"])
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(told(folder, **changes))


def test_an_adapter_of_an_adapter(saved: Saved, tmp_path: Path) -> None:
    folder, _ = saved(target_modules=["query"])
    shutil.copytree(folder, tmp_path / "base")
    with pytest.raises(CheckpointError, match="is an adapter, and so is its base"):
        open_checkpoint(told(folder, base_model_name_or_path=str(tmp_path / "base")))


def test_damaged_files(saved: Saved) -> None:
    folder, _ = saved(target_modules=["query"])
    checkpoint = open_checkpoint(str(folder))
    (folder / "adapter_model.safetensors").write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match=r"its adapter_model\.safetensors is damaged"):
        build(checkpoint, CLASSIFICATION, LABELS)
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"has no adapter_model\.safetensors"):
        build(checkpoint, CLASSIFICATION, LABELS)
    (folder / "adapter_config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"its adapter_config\.json cannot be read"):
        open_checkpoint(str(folder))


def test_updates_that_the_base_has_no_place_for(saved: Saved) -> None:
    folder, _ = saved(target_modules=["query"])
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    save_file({name.replace("layer.1", "layer.7"): value for name, value in tensors.items()}, file)
    with pytest.raises(CheckpointError, match="updates modules that its base does not have"):
        build(open_checkpoint(str(folder)), CLASSIFICATION, LABELS)
    save_file({name: value[:, :5].clone() if "lora_A" in name else value for name, value in tensors.items()}, file)
    with pytest.raises(CheckpointError, match="does not fit its base"):
        build(open_checkpoint(str(folder)), CLASSIFICATION, LABELS)
    save_file(tensors | {f"{next(iter(tensors)).partition('.lora_')[0]}.lora_X.weight": torch.zeros(2)}, file)
    with pytest.raises(CheckpointError, match="has updates that textxfer does not know"):
        build(open_checkpoint(str(folder)), CLASSIFICATION, LABELS)


def test_it_needs_peft_when_it_is_opened(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = saved(target_modules=["query"])
    assert open_checkpoint(str(folder)).adapter == str(folder)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="adapter: needs the package peft"):
        open_checkpoint(str(folder))
