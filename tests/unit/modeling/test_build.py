"""From a checkpoint to a model with a head."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from tests.unit.modeling.conftest import (
    ANSWERS,
    CLASSIFICATION,
    OTHERS,
    named_labels,
    opened,
    same_backbone,
    stored,
)
from textxfer.errors import CheckpointError
from textxfer.labels import LabelSet
from textxfer.modeling.anatomy import backbone_parameters, dropout_fields
from textxfer.modeling.build import build
from textxfer.modeling.checkpoint import open_checkpoint


@pytest.mark.parametrize("auto_class", [CLASSIFICATION, ANSWERS])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_seed_makes_the_head_and_nothing_else(family: str, auto_class: str, checkpoints: Any) -> None:
    import torch

    folder = checkpoints(family)
    first, again, other = (opened(folder, auto_class, seed=seed) for seed in (1, 1, 2))
    assert first.new
    assert set(first.new).isdisjoint(backbone_parameters(first.model))
    same_backbone(first.model, folder)
    drawn = [name for name in first.new if name.endswith("weight") and "norm" not in name]
    for name, weight in first.model.named_parameters():
        assert torch.equal(weight, again.model.get_parameter(name)), name
        assert torch.equal(weight, other.model.get_parameter(name)) == (name not in drawn), name


@pytest.mark.parametrize("auto_class", [CLASSIFICATION, ANSWERS])
@pytest.mark.parametrize(
    ("family", "source"),
    [
        *((family, "AutoModelForMaskedLM") for family in tiny.FAMILIES if family not in ("gpt2", "t5", "electra")),
        ("gpt2", "AutoModelForCausalLM"),
        ("t5", "AutoModelForSeq2SeqLM"),
        *((family, "AutoModelForSequenceClassification") for family in tiny.FAMILIES),
        *((family, "AutoModelForQuestionAnswering") for family in tiny.FAMILIES),
    ],
)
def test_backbone_loads_from_under_any_head(family: str, source: str, auto_class: str, saved: Any) -> None:
    folder = saved(family, source)
    built = opened(folder, auto_class, OTHERS)
    assert same_backbone(built.model, folder)
    assert set(built.new).isdisjoint(backbone_parameters(built.model))


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_bf16_checkpoint_becomes_fp32(family: str, checkpoints: Any, tmp_path: Path) -> None:
    import torch
    import transformers

    folder = tmp_path / "half"
    shutil.copytree(checkpoints(family), folder)
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    assert {tensor.dtype for tensor in stored(folder).values()} == {torch.bfloat16}
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"
    built = opened(folder)
    assert {weight.dtype for weight in built.model.parameters()} == {torch.float32}
    assert str(built.model.config.dtype).endswith("float32")


@pytest.mark.parametrize("several", [False, True])
def test_labels_and_kind_of_problem_go_into_the_config(several: bool, bert: Path) -> None:
    config = opened(bert, multi_label=several).model.config
    assert config.problem_type == ("multi_label_classification" if several else "single_label_classification")
    assert config.label2id == {"bad": 0, "good": 1}
    assert config.num_labels == 2


def test_the_checkpoint_s_config_is_left_alone(bert: Path) -> None:
    checkpoint = open_checkpoint(str(bert))
    before = checkpoint.config.to_dict()
    build(checkpoint, CLASSIFICATION, LabelSet(("a", "b", "c")), dropout=0.3)
    assert checkpoint.config.to_dict() == before


def rates(model: Any) -> set[float]:
    """Gives the dropout rates that are anywhere in a model: of modules, and of attention that calls a function."""
    import torch

    found = set()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout) or type(module).__name__ == "StableDropout":
            found.add(float(getattr(module, "p", getattr(module, "drop_prob", -1))))
        for name in ("attention_dropout", "dropout_p", "attn_dropout", "dropout_prob"):
            if isinstance(value := getattr(module, name, None), float):
                found.add(value)
    return found


@pytest.mark.parametrize("auto_class", [CLASSIFICATION, ANSWERS])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_dropout_reaches_every_rate(family: str, auto_class: str, model_of: Any, inputs_of: Any) -> None:
    import torch

    def twice(model: Any) -> tuple[Any, Any]:
        model.train()
        outputs = [model(**inputs_of(family)) for _ in range(2)]
        first = outputs[0].logits if auto_class == CLASSIFICATION else outputs[0].start_logits
        second = outputs[1].logits if auto_class == CLASSIFICATION else outputs[1].start_logits
        return first, second

    assert rates(model_of(family, auto_class, dropout=0.37)) == {0.37}
    assert torch.equal(*twice(model_of(family, auto_class, dropout=0.0)))
    assert not torch.equal(*twice(model_of(family, auto_class, dropout=0.37)))
    config = model_of(family, auto_class, dropout=0.37).config.to_dict()
    others = [name for name, value in config.items() if "drop" in name and isinstance(value, float) and value != 0.37]
    assert others == []
    assert dropout_fields(model_of(family, auto_class).config)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_nothing_is_printed_while_loading(
    family: str, saved: Any, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    folder = named_labels(saved(family, CLASSIFICATION))
    capfd.readouterr()
    recwarn.clear()
    opened(folder, labels=OTHERS)
    opened(folder, ANSWERS)
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")
    assert [str(warning.message) for warning in recwarn] == []


def test_transformers_is_as_loud_as_before(bert: Path) -> None:
    import transformers

    logging: Any = transformers.logging
    logging.set_verbosity_info()
    try:
        opened(bert)
        assert logging.get_verbosity() == 20
        assert logging.is_progress_bar_enabled()
    finally:
        logging.set_verbosity_warning()


def changed_config(bert: Path, folder: Path, **changes: Any) -> Path:
    shutil.copytree(bert, folder)
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("changes", "first"), [({"num_hidden_layers": 4}, "layer.2."), ({"intermediate_size": 48}, "layer.0.")]
)
def test_backbone_that_the_weights_do_not_fill(changes: dict[str, int], first: str, bert: Path, tmp_path: Path) -> None:
    folder = changed_config(bert, tmp_path / "other", **changes)
    with pytest.raises(CheckpointError) as error:
        opened(folder)
    message = str(error.value)
    assert message.startswith(f"{folder}: its weights do not fill the backbone that its config.json describes: ")
    assert first in message
    assert "\n" not in message


def test_t5_encoder_alone_is_not_enough(checkpoints: Any, tmp_path: Path) -> None:
    import transformers

    folder = tmp_path / "encoder"
    shutil.copytree(checkpoints("t5"), folder)
    transformers.T5EncoderModel.from_pretrained(folder).save_pretrained(folder)
    with pytest.raises(CheckpointError, match="do not fill the backbone"):
        opened(folder)


@pytest.mark.parametrize("keep", [0, 100, 5000])
def test_truncated_weights(keep: int, bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cut"
    shutil.copytree(bert, folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(CheckpointError) as error:
        opened(folder)
    assert str(error.value).startswith(f"{folder}: its weights are damaged (")
    assert str(error.value).endswith("copy or download them again")


def test_weights_in_several_files(bert: Path, tmp_path: Path) -> None:
    import transformers

    folder = tmp_path / "shards"
    shutil.copytree(bert, folder)
    (folder / "model.safetensors").unlink()
    transformers.AutoModel.from_pretrained(bert).save_pretrained(folder, max_shard_size="10KB")
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 1
    built = opened(folder)
    same_backbone(built.model, bert)
    shards[1].unlink()
    with pytest.raises(CheckpointError, match="cannot be loaded") as error:
        opened(folder)
    assert shards[1].name in str(error.value)


def test_family_without_such_a_head(bert: Path) -> None:
    with pytest.raises(CheckpointError) as error:
        build(open_checkpoint(str(bert)), "AutoModelForSeq2SeqLM")
    assert str(error.value).startswith(f"{bert}: has no AutoModelForSeq2SeqLM: ")
