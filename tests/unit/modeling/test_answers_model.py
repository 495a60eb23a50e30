"""A model that writes answers: the tokens, and exactly how probable they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from tests.trained import BAD, GOOD
from textxfer.modeling import answers_model
from textxfer.modeling.answers_model import build_answers
from textxfer.modeling.checkpoint import Checkpoint, open_checkpoint
from textxfer.modeling.language_model import token_losses
from textxfer.modeling.saving import save_model
from textxfer.records import UNPREDICTED

LONGEST = 6
TEXTS = [*GOOD, *BAD]


@pytest.fixture(scope="module")
def checkpoint(checkpoints: Callable[[str], Path]) -> Checkpoint:
    return open_checkpoint(str(checkpoints("t5")))


@pytest.fixture(scope="module")
def inputs(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    return dict(checkpoint.tokenizer(TEXTS, padding=True, return_tensors="pt"))


@pytest.fixture
def model(checkpoint: Checkpoint) -> Any:
    """Writes answers of different lengths: chance is made larger, and the end token likelier."""
    made: Any = build_answers(checkpoint, LONGEST).model.eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(torch.randn_like(weight) * 0.3)
        made.model.shared.weight[checkpoint.tokenizer.eos_token_id] *= 3
    return made


def log_share(stock: Any, inputs: Any, row: int, tokens: list[int]) -> float:
    """Gives log P(tokens | text) as plain transformers does."""
    written = torch.tensor([tokens])
    one = {name: values[row : row + 1] for name, values in inputs.items()}
    shares = stock(**one, labels=written).logits.log_softmax(dim=2)
    return float(shares.gather(2, written[:, :, None]).sum())


@torch.no_grad()
def test_the_score_is_the_probability_of_what_is_written(model: Any, inputs: Any, checkpoint: Checkpoint) -> None:
    found = model(**inputs)
    end = checkpoint.tokenizer.eos_token_id
    assert found.tokens.shape == (len(TEXTS), LONGEST)
    lengths = set()
    for row, tokens in enumerate(found.tokens.tolist()):
        own = tokens[: tokens.index(end) + 1] if end in tokens else tokens
        lengths.add(len(own))
        assert own[0] != end, "one token at least is written"
        assert set(tokens[len(own) :]) <= {checkpoint.tokenizer.pad_token_id}
        assert float(found.scores[row].log()) == pytest.approx(log_share(model.model, inputs, row, own), abs=1e-4)
        assert float(found.null[row].log()) == pytest.approx(log_share(model.model, inputs, row, [end]), abs=1e-4)
    assert len(lengths) > 1


@torch.no_grad()
def test_it_is_written_greedily(model: Any, inputs: Any) -> None:
    tokens = model(**inputs).tokens
    stock = model.model.generate(**inputs, max_new_tokens=LONGEST, min_new_tokens=2, do_sample=False)[:, 1:]
    assert tokens[:, : stock.shape[1]].equal(stock)


@torch.no_grad()
def test_pieces_of_a_batch_change_nothing(model: Any, inputs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = model(**inputs)
    monkeypatch.setattr(answers_model, "MOST_LOGITS", 1)
    pieces = model(**inputs)
    assert pieces.tokens.equal(whole.tokens)
    torch.testing.assert_close(pieces.scores, whole.scores)


def test_references_are_foretold_from_what_is_before_them(checkpoint: Checkpoint, inputs: Any) -> None:
    model: Any = build_answers(checkpoint, LONGEST, dropout=0.0).model
    references = torch.tensor([[7, 8, 1], [9, 1, UNPREDICTED]] * 4)
    found = model.train()(**inputs, references=references)
    assert found.tokens is None
    stock = model.model(**inputs, labels=references)
    torch.testing.assert_close(found.logits, stock.logits)
    torch.testing.assert_close(token_losses(found.logits, references).sum() / 20, stock.loss)
    evaluated = model.eval()(**inputs, references=references)
    assert evaluated.tokens is not None
    torch.testing.assert_close(evaluated.logits, found.logits, atol=1e-5, rtol=1e-5)


def test_saved_it_is_a_stock_model(model: Any, checkpoint: Checkpoint, inputs: Any, tmp_path: Path) -> None:
    save_model(model, checkpoint.tokenizer, tmp_path / "model", {"task": "question_answering", "max_length": 32})
    stock = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "model")
    assert stock.config.textxfer["head"] == "text2text"
    assert stock.config.use_cache
    again = build_answers(open_checkpoint(str(tmp_path / "model")), LONGEST)
    assert again.new == ()
    restored: Any = again.model.eval()
    with torch.no_grad():
        torch.testing.assert_close(restored(**inputs).scores, model(**inputs).scores)
