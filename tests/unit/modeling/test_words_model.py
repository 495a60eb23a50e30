"""A model that writes, as a classifier: exactly the probabilities of each label's words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from tests import tiny
from tests.trained import BAD, GOOD
from textxfer.errors import CheckpointError, RecipeError
from textxfer.labels import LabelSet
from textxfer.modeling import words_model
from textxfer.modeling.activations import checkpoint_activations
from textxfer.modeling.checkpoint import Checkpoint, open_checkpoint
from textxfer.modeling.freezing import freeze
from textxfer.modeling.inference import for_inference
from textxfer.modeling.label_words import LabelWords, check_writes, words_of
from textxfer.modeling.prefix import Suffix, find_prefix
from textxfer.modeling.rescale import rescale
from textxfer.modeling.saving import save_model
from textxfer.modeling.word_tree import WordTree, grow
from textxfer.modeling.words_model import WordsModel, build_words, words_loss
from textxfer.records import Batch

LABELS = LabelSet(("the_film", "the_film_was_fine", "rude", "the_library", "dull"))
"""Words that begin alike, and words that begin others."""
TEXTS = [*GOOD, *BAD, ""]


@pytest.fixture(scope="module")
def checkpoint(checkpoints: Callable[[str], Path]) -> Checkpoint:
    return open_checkpoint(str(checkpoints("t5")))


@pytest.fixture(scope="module")
def words(checkpoint: Checkpoint) -> LabelWords:
    return words_of(LABELS.names, {"dull": "a dull story"}, checkpoint.tokenizer)


@pytest.fixture
def model(checkpoint: Checkpoint, words: LabelWords) -> Any:
    return build_words(checkpoint, LABELS, words).model.eval()


@pytest.fixture(scope="module")
def inputs(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    return dict(checkpoint.tokenizer(TEXTS, padding=True, return_tensors="pt"))


def one_by_one(stock: Any, words: LabelWords, inputs: Any) -> torch.Tensor:
    """Gives log P(words | text) as plain transformers does: each label by itself, word for word."""
    columns = []
    for tokens in words.tokens:
        written = torch.tensor([tokens] * len(inputs["input_ids"]))
        shares = stock(**inputs, labels=written).logits.log_softmax(dim=2)
        columns.append(shares.gather(2, written[:, :, None]).sum(dim=(1, 2)))
    return torch.stack(columns, dim=1)


def batch_of(targets: list[int], **others: torch.Tensor) -> Batch:
    return Batch(None, None, None, torch.tensor(targets), np.arange(len(targets)), others=others)


@torch.no_grad()
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_scores_are_those_of_each_label_by_itself(attention: str, model: Any, words: LabelWords, inputs: Any) -> None:
    model.model.set_attn_implementation(attention)
    expected = one_by_one(model.model, words, inputs)
    assert expected.std(dim=1).min() > 0.1
    torch.testing.assert_close(model(**inputs).logits, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_long_words_stand_where_they_would_by_themselves(checkpoint: Checkpoint, inputs: Any) -> None:
    """Far tokens share the buckets of relative positions; a tree is longer than any of its words."""
    long = {"a": "the film was " * 12, "b": "the film was " * 11 + "rude", "c": "we loved the room " * 9}
    found = words_of(("a", "b", "c"), long, checkpoint.tokenizer)
    assert max(map(len, found.tokens)) > 40
    model: Any = build_words(checkpoint, LabelSet(("a", "b", "c")), found).model.eval()
    torch.testing.assert_close(model(**inputs).logits, one_by_one(model.model, found, inputs), atol=1e-4, rtol=1e-5)


@torch.no_grad()
def test_alone_is_as_in_a_batch(model: Any, checkpoint: Checkpoint, inputs: Any) -> None:
    together = model(**inputs).logits
    for row, text in enumerate(TEXTS):
        alone = model(**checkpoint.tokenizer([text], return_tensors="pt")).logits
        torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_pieces_of_a_batch_and_of_the_labels_change_nothing(
    model: Any, words: LabelWords, inputs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = model(**inputs).logits
    monkeypatch.setattr(words_model, "MOST_LOGITS", 1)
    torch.testing.assert_close(model(**inputs).logits, whole, atol=1e-5, rtol=1e-5)
    monkeypatch.setattr(words_model, "grow", lambda words, start: grow(words, start, most=6))
    cut = WordsModel(model.model, words)
    assert len(cut.trees) > 1
    torch.testing.assert_close(cut(**inputs).logits, whole, atol=1e-5, rtol=1e-5)


def test_words_that_begin_alike_are_read_once() -> None:
    tree = WordTree([[5, 6, 1], [5, 6, 7, 1], [5, 1], [8, 1]], start=0)
    assert tree.tokens.tolist() == [0, 5, 6, 7, 8]
    assert tree.depths.tolist() == [0, 1, 2, 3, 1]
    assert (tree.mask[0, 0] == 0).tolist()[3] == [True, True, True, True, False]
    assert [len(group) for group, _ in grow([[5, 6, 1], [8, 1], [5, 7, 1]], 0, most=4)] == [2, 1]


@torch.no_grad()
def test_the_reference_alone_has_the_same_score(model: Any, inputs: Any) -> None:
    references = torch.tensor([row % 5 for row in range(len(TEXTS))])
    found = model(**inputs, references=references).logits
    assert found.shape == (len(TEXTS), 1)
    expected = model(**inputs).logits.gather(1, references[:, None])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("fast", [True, False])
@torch.no_grad()
def test_views_of_it_give_the_same(fast: bool, model: Any, inputs: Any) -> None:
    seen: Any = for_inference(model) if fast else for_inference(model, bf16=True)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not fast):
        found = seen(**inputs).logits
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, model(**inputs).logits, atol=1e-5 if fast else 0.3, rtol=1e-5 if fast else 0.05)


def test_loss_is_the_likelihood_of_the_right_words(model: Any, inputs: Any) -> None:
    references = torch.tensor([row % 5 for row in range(len(TEXTS))])
    targets = references.tolist()
    written = model.written[references]
    expected = model.model(**inputs, labels=written).loss * (written >= 0).sum()
    whole = words_loss(model(**inputs), batch_of(targets))
    alone = words_loss(model(**inputs, references=references), batch_of(targets, references=references))
    torch.testing.assert_close(whole, expected)
    torch.testing.assert_close(alone, expected)
    gradients = [
        torch.autograd.grad(loss, [weight for weight in model.parameters() if weight.requires_grad])
        for loss in (whole, alone, expected)
    ]
    for one, two, three in zip(*gradients, strict=True):
        torch.testing.assert_close(one, three, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(two, three, atol=1e-4, rtol=1e-4)


def test_weights_and_smoothing_are_those_of_the_cross_entropy() -> None:
    torch.manual_seed(0)
    shares, targets = torch.randn(6, 3).log_softmax(dim=1), [0, 2, 1, 1, 0, 2]
    output = transformers.modeling_outputs.SequenceClassifierOutput(logits=shares)
    of_labels, of_examples = torch.tensor([0.5, 2.0, 1.0]), torch.tensor([1.0, 0.0, 1.0, 0.3, 1.0, 1.0])
    for class_weights in (None, of_labels):
        for label_smoothing in (0.0, 0.2):
            options: Any = {"class_weights": class_weights, "label_smoothing": label_smoothing}
            each = torch.nn.functional.cross_entropy(
                shares, torch.tensor(targets), class_weights, label_smoothing=label_smoothing, reduction="none"
            )
            torch.testing.assert_close(words_loss(output, batch_of(targets), **options), each.sum())
            weighed = words_loss(output, batch_of(targets), **options, weights=of_examples)
            torch.testing.assert_close(weighed, of_examples @ each)


@torch.no_grad()
def test_temperature_divides_the_logits(model: Any, inputs: Any) -> None:
    before = model(**inputs).logits
    rescale(model, 2.0)
    rescale(model, 1.5)
    torch.testing.assert_close(model(**inputs).logits, before / 3)
    assert model.settings()["temperature"] == 3.0


@torch.no_grad()
def test_saved_it_is_a_stock_model_that_writes(
    model: Any, checkpoint: Checkpoint, words: LabelWords, inputs: Any, tmp_path: Path
) -> None:
    rescale(model, 2.0)
    save_model(model, checkpoint.tokenizer, tmp_path / "model", {"task": "topic", "max_length": 32})
    stock = transformers.T5ForConditionalGeneration.from_pretrained(tmp_path / "model").eval()
    torch.testing.assert_close(one_by_one(stock, words, inputs) / 2, model(**inputs).logits, atol=1e-5, rtol=1e-5)
    noted = stock.config.textxfer
    assert noted["head"] == "text2text"
    assert noted["words"] == dict(zip(LABELS.names, words.texts, strict=True))
    assert (noted["temperature"], noted["task"], noted["max_length"]) == (2.0, "topic", 32)
    assert stock.generate(**inputs, max_new_tokens=4).shape[0] == len(TEXTS)
    assert stock.config.id2label == LABELS.id2label


@torch.no_grad()
@pytest.mark.parametrize("layers", [1, 2])
def test_frozen_layers_can_be_cut_off(layers: int, model: Any, inputs: Any) -> None:
    frozen = freeze(model, layers)
    prefix = find_prefix(model, frozen)
    assert prefix is not None
    assert prefix.token is None
    batch = Batch(inputs["input_ids"], inputs["attention_mask"], None, None, np.arange(len(TEXTS)))
    states = prefix.ready().states(batch)
    suffix = Suffix(model, prefix).eval()
    torch.testing.assert_close(suffix(states=states, **inputs).logits, model(**inputs).logits, atol=1e-5, rtol=1e-5)
    references = torch.zeros(len(TEXTS), dtype=torch.int64)
    torch.testing.assert_close(
        suffix(states=states, **inputs, references=references).logits, model(**inputs, references=references).logits
    )


def test_freezing_layers_leaves_the_decoder(model: Any) -> None:
    frozen = freeze(model, 2)
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert trained
    assert all(".decoder." in name or "encoder.final_layer_norm" in name for name in trained)
    assert frozen.layers == 2


def test_activations_can_be_forgotten(checkpoint: Checkpoint, words: LabelWords, inputs: Any) -> None:
    model: Any = build_words(checkpoint, LABELS, words, dropout=0.0).model
    references = torch.zeros(len(TEXTS), dtype=torch.int64)
    weight = model.model.encoder.block[0].layer[0].SelfAttention.q.weight
    gradients = []
    for _ in range(2):
        model(**inputs, references=references).logits.sum().backward()
        gradients.append(weight.grad.clone())
        weight.grad = None
        checkpoint_activations(model.train())
    torch.testing.assert_close(gradients[1], gradients[0])


# --- words that cannot stand for labels


def complaints(labels: tuple[str, ...], words: dict[str, str], checkpoint: Checkpoint) -> str:
    with pytest.raises(RecipeError) as error:
        words_of(labels, words, checkpoint.tokenizer)
    assert all(line.startswith("head.words: ") for line in error.value.lines)
    return str(error.value)


def test_words_that_do_not_tell_labels_apart(checkpoint: Checkpoint) -> None:
    said = complaints(("dull", "rude", "fine"), {"dull": "the film", "rude": " the  film"}, checkpoint)
    assert "`dull`, `rude` have the same words" in said


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "make no token"), ("\u4e2d\u6587", "are unknown"), ("no </s>", "hold the token </s>")],
)
def test_words_that_cannot_be_written(text: str, reason: str, checkpoint: Checkpoint) -> None:
    said = complaints(("dull", "rude"), {"rude": text}, checkpoint)
    assert f"the words of `rude`, {text!r}, {reason}" in said


def test_all_that_is_wrong_with_words_is_said_at_once(checkpoint: Checkpoint) -> None:
    said = complaints(("dull", "rude"), {"dul": "x", "rude": "", "dull": "</s>"}, checkpoint)
    assert "unknown label `dul`; did you mean `dull`?" in said
    assert len(said.splitlines()) == 3


def test_words_are_the_names_with_spaces(checkpoint: Checkpoint) -> None:
    found = words_of(("the_film", "rude"), {"rude": "cold"}, checkpoint.tokenizer)
    assert found.texts == ("the film", "cold")
    assert {tokens[-1] for tokens in found.tokens} == {checkpoint.tokenizer.eos_token_id}


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_a_family_that_does_not_write(family: str, checkpoints: Callable[[str], Path]) -> None:
    with pytest.raises(CheckpointError, match=f"'{family}' do not write texts.*of the family t5"):
        check_writes(open_checkpoint(str(checkpoints(family))))


def test_weights_of_a_classifier_are_taken_over(checkpoints: Any, words: LabelWords, tmp_path: Path) -> None:
    folder = tiny.make_checkpoint(tmp_path / "t5", "t5")
    stock = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    stock.save_pretrained(folder)
    built = build_words(open_checkpoint(str(folder)), LABELS, words)
    model: Any = built.model
    assert torch.equal(model.model.shared.weight, stock.transformer.shared.weight)
    assert not [name for name in built.new if "encoder" in name or "decoder" in name]
