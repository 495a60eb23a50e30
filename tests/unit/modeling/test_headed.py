"""A stock backbone under a head of textxfer's: what is built, and what the rest of the room makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import tiny
from tests.unit.modeling.conftest import ANSWERS, CLASSIFICATION, LABELS, OTHERS, opened, same_backbone, stored
from textxfer.data.batching import collate
from textxfer.data.encode import encode_texts
from textxfer.errors import CheckpointError
from textxfer.heads import HeadChoice
from textxfer.labels import LabelSet
from textxfer.modeling.activations import checkpoint_activations
from textxfer.modeling.anatomy import backbone_parameters, last_linear, pooled_only, pooled_token, usual_pooling
from textxfer.modeling.build import Built, build, keeps_head
from textxfer.modeling.checkpoint import open_checkpoint
from textxfer.modeling.features import Pooled
from textxfer.modeling.freezing import freeze, train_mode
from textxfer.modeling.head_files import HEAD_CONFIG, HEAD_WEIGHTS
from textxfer.modeling.inference import for_inference
from textxfer.modeling.lora import Lora, add_lora, merge_lora
from textxfer.modeling.prefix import Suffix, find_prefix
from textxfer.modeling.prefix_cache import PrefixCache
from textxfer.modeling.rescale import rescale
from textxfer.modeling.saving import save_model

MEAN = HeadChoice("mean", {"dropout": 0.1})
TEXTS = ["the film was a delight", "no", "the library opens at nine and closes", "", "dull </s> story"]


def mlp(pooling: str = "cls", hidden: tuple[int, ...] = (8,), dropout: float = 0.1) -> HeadChoice:
    options = {"pooling": pooling, "hidden": list(hidden), "activation": "tanh", "dropout": dropout}
    return HeadChoice("mlp", options)


def headed(folder: Path, choice: HeadChoice = MEAN, labels: LabelSet = LABELS, **options: Any) -> Built:
    return build(open_checkpoint(str(folder)), CLASSIFICATION, labels, head=choice, **options)


@pytest.fixture
def saved_head(checkpoints: Callable[[str], Path], tmp_path: Path) -> Callable[..., Path]:
    """Saves a model with a head of textxfer's and gives its folder."""

    def save(choice: HeadChoice = MEAN, family: str = "bert", settings: dict[str, Any] | None = None) -> Path:
        checkpoint = open_checkpoint(str(checkpoints(family)))
        model = build(checkpoint, CLASSIFICATION, LABELS, head=choice, seed=3).model
        folder = tmp_path / f"{family}-{choice.name}"
        save_model(model, checkpoint.tokenizer, folder, {"task": "topic", "max_length": 32} | (settings or {}))
        return folder

    return save


def logits(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        found: torch.Tensor = model(**inputs).logits
    return found


# --- what is built


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_the_backbone_is_the_checkpoint_s_and_the_head_is_new(family: str, checkpoints: Callable[[str], Path]) -> None:
    built = headed(checkpoints(family), mlp("max"))
    names = [name for name, _ in built.model.named_parameters() if name.startswith("head.")]
    assert sorted(names) == list(built.new)
    assert built.dropped is None
    assert built.has_new_logits
    assert built.notes == ("new in this model: head.layers.1, head.layers.4",)
    own = same_backbone(built.model, checkpoints(family))
    assert {name for name, _ in built.model.named_parameters()} == {*own, *names}, "nothing else is there"
    assert last_linear(built.model).out_features == 2  # type: ignore[union-attr]


def test_the_seed_draws_the_head(bert: Path) -> None:
    one, same, other = (headed(bert, mlp(), seed=seed).model.state_dict() for seed in (0, 0, 1))
    name = "head.layers.1.weight"
    assert one[name].equal(same[name])
    assert not one[name].equal(other[name])


def test_the_dropout_of_the_backbone_is_not_the_head_s(bert: Path) -> None:
    model: Any = headed(bert, mlp(dropout=0.3), dropout=0.0).model
    assert {layer.p for layer in model.head.layers if isinstance(layer, torch.nn.Dropout)} == {0.3}
    assert {layer.p for layer in model.backbone.modules() if isinstance(layer, torch.nn.Dropout)} == {0.0}


def test_t5_is_its_encoder_alone(checkpoints: Callable[[str], Path]) -> None:
    model: Any = headed(checkpoints("t5")).model
    assert type(model.backbone).__name__ == "T5EncoderModel"
    assert not [name for name, _ in model.named_parameters() if "decoder" in name]
    assert len(freeze(model, "all").modules) == 6  # embeddings under two names, dropout, two blocks and the norm


@pytest.mark.parametrize(
    ("family", "pooling"),
    [
        ("bert", "cls"),
        ("distilbert", "cls"),
        ("deberta-v2", "cls"),
        ("modernbert", "cls"),
        ("gpt2", "last"),
        ("t5", "mean"),
    ],
)
def test_how_a_family_usually_pools(family: str, pooling: str, checkpoints: Callable[[str], Path]) -> None:
    assert usual_pooling(open_checkpoint(str(checkpoints(family))).config) == pooling


# --- heads that a checkpoint brings


def test_the_same_head_and_labels_are_kept(saved_head: Callable[..., Path]) -> None:
    folder = saved_head(mlp())
    for choice in (mlp(), mlp(dropout=0.5)):  # dropout has no weights
        built = headed(folder, choice)
        assert (built.new, built.dropped) == ((), None)
        assert built.notes == ("the checkpoint's own head is kept",)
        assert not built.has_new_logits
        assert keeps_head(open_checkpoint(str(folder)), LABELS, choice)
        from safetensors.torch import load_file

        for name, weight in load_file(folder / HEAD_WEIGHTS).items():
            assert built.model.get_parameter(f"head.{name}").equal(weight), name


@pytest.mark.parametrize(
    ("choice", "labels", "reason"),
    [
        (mlp(hidden=(6,)), LABELS, "it is `mlp` (pooling cls, hidden [8], activation tanh), not `mlp` (pooling cls, "),
        (MEAN, LABELS, "it is `mlp` (pooling cls, hidden [8], activation tanh), not `mean`"),
        (None, LABELS, "it is `mlp` (pooling cls, hidden [8], activation tanh), not the native one"),
        (mlp(), OTHERS, "it knows the labels bad, good, not calm, loud"),
        (mlp(), LabelSet(("a", "b", "c")), "it knows the labels bad, good, not a, b, c"),
    ],
)
def test_another_head_or_other_labels_get_a_new_one(
    choice: HeadChoice | None, labels: LabelSet, reason: str, saved_head: Callable[..., Path]
) -> None:
    folder = saved_head(mlp())
    built = build(open_checkpoint(str(folder)), CLASSIFICATION, labels, head=choice)
    assert built.dropped is not None
    assert built.dropped.startswith(reason)
    assert built.has_new_logits
    assert not keeps_head(open_checkpoint(str(folder)), labels, choice)
    same_backbone(built.model, folder)


def test_answers_drop_it_too(saved_head: Callable[..., Path]) -> None:
    assert opened(saved_head(), ANSWERS).dropped == "it is `mean`, not the native one"


def test_a_stock_head_is_dropped_aloud(saved: Callable[..., Path]) -> None:
    built = headed(saved("bert", CLASSIFICATION))
    assert built.dropped == "it is of a BertForSequenceClassification"
    assert built.new == ("head.layers.1.bias", "head.layers.1.weight")


# --- the folder


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_transformers_loads_the_backbone_alone(family: str, saved_head: Callable[..., Path]) -> None:
    import transformers

    folder = saved_head(MEAN, family)
    assert {"config.json", "model.safetensors", "tokenizer.json", HEAD_CONFIG, HEAD_WEIGHTS} <= {
        path.name for path in folder.iterdir()
    }
    auto = transformers.AutoModelForTextEncoding if family == "t5" else transformers.AutoModel
    stock, info = auto.from_pretrained(folder, output_loading_info=True)
    assert not [name for name in info["missing_keys"] if not name.startswith("pooler.")]
    assert not info["unexpected_keys"]
    model = headed(folder).model
    for name, weight in stock.named_parameters():
        if not name.startswith("pooler."):
            assert weight.equal(model.get_parameter(f"backbone.{name}")), name
    assert stock.config.id2label == {0: "bad", 1: "good"}
    assert stock.config.textxfer == {"task": "topic", "max_length": 32, "head": "mean"}


def test_head_json_says_what_the_head_is(saved_head: Callable[..., Path]) -> None:
    import textxfer

    assert json.loads((saved_head(mlp("last")) / HEAD_CONFIG).read_text()) == {
        "format": 1,
        "head": "mlp",
        "options": {"pooling": "last", "hidden": [8], "activation": "tanh", "dropout": 0.1},
        "hidden_size": 16,
        "num_labels": 2,
        "textxfer": textxfer.__version__,
    }


def as_saved(folder: Path) -> Any:
    checkpoint = open_checkpoint(str(folder))
    return build(checkpoint, CLASSIFICATION, LABELS, head=checkpoint.head).model


def damage(folder: Path, **changes: Any) -> None:
    file = folder / HEAD_CONFIG
    about = {key: value for key, value in (json.loads(file.read_text()) | changes).items() if value is not None}
    file.write_text(json.dumps(about))


def cut(folder: Path) -> None:
    file = folder / HEAD_WEIGHTS
    file.write_bytes(file.read_bytes()[:-20])


def exchange(folder: Path) -> None:
    from safetensors.torch import save_file

    save_file({"layers.1.weight": torch.zeros(3, 16)}, folder / HEAD_WEIGHTS)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / HEAD_CONFIG).unlink(), "has no head.json, though its config.json says that its head"),
        (lambda folder: (folder / HEAD_CONFIG).write_text("{"), "its head.json cannot be used: Expecting"),
        (lambda folder: (folder / HEAD_CONFIG).write_text("[]"), "its head.json cannot be used: list indices"),
        (lambda folder: damage(folder, options=None), "its head.json lacks 'options'; copy the whole model folder"),
        (
            lambda folder: damage(folder, format=2),
            "is of format 2, which a newer textxfer wrote, and this one knows 1",
        ),
        (lambda folder: damage(folder, format="x"), "its head.json cannot be used: there is no format 'x'"),
        (
            lambda folder: damage(folder, hidden_size=32),
            "is of another model (hidden_size 32, and config.json",
        ),
        (lambda folder: damage(folder, num_labels=3), "is of another model (num_labels 3, and config.json says 2)"),
        (
            lambda folder: damage(folder, head="gated"),
            "its head cannot be made here: unknown head `gated`",
        ),
        (
            lambda folder: damage(folder, options={"colour": 1}),
            "the head `mean` cannot be made of colour 1: ",
        ),
        (lambda folder: (folder / HEAD_WEIGHTS).unlink(), "has no head.safetensors, though its config.json says"),
        (cut, "its head.safetensors is damaged ("),
        (exchange, "its head.safetensors is not what head.json says: Error(s) in loading"),
    ],
)
def test_a_damaged_head_is_told(spoil: Any, message: str, saved_head: Callable[..., Path]) -> None:
    folder = saved_head()
    spoil(folder)
    with pytest.raises(CheckpointError) as error:
        as_saved(folder)
    assert str(error.value).startswith(f"{folder}: ")
    assert message in str(error.value)


def test_an_adapter_goes_with_the_native_head(bert: Path) -> None:
    from dataclasses import replace

    checkpoint = replace(open_checkpoint(str(bert)), adapter="somewhere")
    with pytest.raises(CheckpointError, match="is a LoRA adapter of a model with the native head, which mean cannot"):
        build(checkpoint, CLASSIFICATION, LABELS, head=MEAN)


# --- what the rest of the room makes of it


@pytest.mark.parametrize("pooling", ["cls", "last", "mean", "max"])
@pytest.mark.parametrize("layers", [1, 2, "all"])
@pytest.mark.parametrize("family", [family for family in tiny.FAMILIES if family != "deberta-v2"])
def test_stored_states_give_the_same_logits(
    family: str, layers: Any, pooling: str, checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    checkpoint = open_checkpoint(str(checkpoints(family)))
    model: Any = headed(checkpoints(family), mlp(pooling)).model.eval()
    prefix = find_prefix(model, freeze(model, layers))
    assert prefix is not None
    token = {"cls": "first", "last": "last"}.get(pooling)
    assert pooled_token(model) == token
    assert prefix.token == (token if layers != 1 else None)
    encoded = encode_texts(checkpoint.tokenizer, TEXTS, max_length=32)

    def batch(of: Any, indices: list[int]) -> Any:
        return collate(of, np.array(indices), pad_token_id=checkpoint.tokenizer.pad_token_id)

    def batches(of: Any) -> Any:
        return (batch(of, part) for part in ([3, 0, 4], [2, 1]))

    kept = PrefixCache(prefix, torch.float32, memory=1 << 20, folder=tmp_path).store(encoded, batches)
    whole, short = batch(encoded, [2, 0, 1, 4, 3]), batch(kept.encoded, [2, 0, 1, 4, 3])
    suffix = Suffix(pooled_only(model), prefix).eval()
    with torch.inference_mode():
        found = suffix(kept.states(short), **short.inputs()).logits
        assert float((found - model(**whole.inputs()).logits).abs().max()) < 1e-5


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("family", ["bert", "roberta", "electra"])
def test_only_a_head_on_the_first_token_saves_the_others(
    family: str, pooling: str, checkpoints: Callable[[str], Path], inputs_of: Any
) -> None:
    model, inputs = headed(checkpoints(family), mlp(pooling)).model.eval(), inputs_of(family)
    seen = pooled_only(model)
    assert (seen is model) == (pooling == "mean")
    ready = for_inference(seen)
    torch.testing.assert_close(logits(ready, inputs), logits(model, inputs), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_lora_updates_the_backbone_and_merges(family: str, checkpoints: Callable[[str], Path], inputs_of: Any) -> None:
    pytest.importorskip("peft")
    model, inputs = headed(checkpoints(family), mlp("mean")).model, inputs_of(family)
    names = [name for name, _ in model.named_parameters()]
    add_lora(model, Lora(rank=2), frozen_layers=1)
    trained = {name for name, value in model.named_parameters() if value.requires_grad}
    assert {name for name in trained if "lora" not in name} == {name for name in names if name.startswith("head.")}
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.add_(torch.randn_like(value) * 0.1) if "lora" in name else None
    before = logits(model, inputs)
    merge_lora(model)
    assert [name for name, _ in model.named_parameters()] == names
    torch.testing.assert_close(logits(model, inputs), before, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", [family for family in tiny.FAMILIES if family != "mpnet"])
def test_recomputed_activations_give_the_same_gradients(
    family: str, checkpoints: Callable[[str], Path], inputs_of: Any
) -> None:
    found = []
    for saves in (False, True):
        model = headed(checkpoints(family), mlp("mean", dropout=0.0), dropout=0.0).model
        frozen = freeze(model, 1)
        if saves:
            checkpoint_activations(model)
        train_mode(model, frozen.modules)
        model(**inputs_of(family)).logits.square().sum().backward()
        found.append({name: value.grad for name, value in model.named_parameters() if value.requires_grad})
    assert all(value is not None for value in found[1].values())
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, msg=name)


def test_a_temperature_goes_into_the_last_layer(bert: Path, inputs_of: Any) -> None:
    model, inputs = headed(bert, mlp()).model, inputs_of("bert")
    before = logits(model, inputs)
    rescale(model, (2.0, 4.0))
    torch.testing.assert_close(logits(model, inputs), before / torch.tensor([2.0, 4.0]))


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_features_of_its_layers(family: str, checkpoints: Callable[[str], Path], inputs_of: Any) -> None:
    model, inputs = headed(checkpoints(family)).model.eval(), inputs_of(family)
    with torch.no_grad():
        every = Pooled(model, "mean", "all").eval()(**inputs)
        assert every.shape == (8, 3, 16)
        expected = Pooled(opened(checkpoints(family)).model, "mean", "all").eval()(**inputs)
    torch.testing.assert_close(every, expected)


def test_the_head_is_all_that_a_linear_probe_trains(bert: Path) -> None:
    model = headed(bert, mlp()).model
    frozen = freeze(model, "all")
    trained = {name for name, value in model.named_parameters() if value.requires_grad}
    assert trained == {name for name, _ in model.named_parameters()} - backbone_parameters(model)
    assert [size.part for size in frozen.table] == ["embeddings", "layers 0-1", "head"]
    assert stored(bert)  # the checkpoint is as it was
