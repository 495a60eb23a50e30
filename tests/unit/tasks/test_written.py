"""Tasks for models that write: prompts, targets made of tokens, answers made of tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch

from tests.unit.tasks.conftest import output
from textxfer.data.batching import collate
from textxfer.labels import LabelSet
from textxfer.modeling.checkpoint import open_checkpoint
from textxfer.tasks._written_answers import WrittenAnswers
from textxfer.tasks.question_answering import QuestionAnswering
from textxfer.tasks.sentiment import Sentiment
from textxfer.tasks.topic import Topic

LABELS = LabelSet(("bad", "good"))
CONTEXT = "the library opens at nine and closes at six on weekdays"


@pytest.fixture(scope="module")
def t5(checkpoints: Callable[[str], Path]) -> Any:
    return open_checkpoint(str(checkpoints("t5"))).tokenizer


def texts_of(tokenizer: Any, encoded: Any) -> list[str]:
    return [tokenizer.decode(part) for part in np.split(encoded.input_ids, encoded.offsets[1:-1])]


def questions(**answers: tuple[str, ...]) -> Any:
    """Gives a row for each question, with its answers."""
    found = [
        {"text": list(texts), "answer_start": [CONTEXT.index(text) for text in texts]} for texts in answers.values()
    ]
    return datasets.Dataset.from_dict(
        {"id": list(answers), "question": list(answers), "context": [CONTEXT] * len(answers), "answers": found}
    )


@pytest.mark.parametrize(
    ("prompts", "expected"),
    [
        ({}, "topic: the film</s>"),
        ({"prompt": "sst2 sentence: "}, "sst2 sentence: the film</s>"),
        ({"prompt": ""}, "the film</s>"),
    ],
)
def test_a_prompt_stands_before_the_text(prompts: dict[str, str], expected: str, t5: Any) -> None:
    written = Topic(max_length=32).to_be_written(**prompts)
    encoded = written.encode(datasets.Dataset.from_dict({"text": ["the film", "cold"]}), t5, None)
    assert encoded.input_ids[: encoded.offsets[1]].tolist() == t5(expected.removesuffix("</s>"))["input_ids"]
    assert written.settings()["prompts"] == [prompts.get("prompt", "topic: "), ""]


def test_pairs_are_one_text(t5: Any) -> None:
    rows = datasets.Dataset.from_dict({"text": ["the film"], "text_pair": ["we loved it </s>"]})
    written = Topic(max_length=64).to_be_written("mrpc sentence1: ", "sentence2: ")
    encoded = written.encode(rows, t5, None)
    ids = t5("mrpc sentence1: the film sentence2: we loved it")["input_ids"]
    assert encoded.input_ids[: len(ids) - 1].tolist() == ids[:-1]
    assert (encoded.input_ids == t5.eos_token_id).sum() == 1
    assert encoded.input_ids[-1] == t5.eos_token_id


def test_the_task_itself_is_left_as_it_is(t5: Any) -> None:
    task = Sentiment(labels=["bad", "good"])
    written = task.to_be_written()
    assert (task.prompts, written.prompts) == (None, ("sentiment: ", ""))
    assert written.label_names == task.label_names
    assert "prompts" not in task.settings()


def test_answers_are_targets_made_of_tokens(t5: Any) -> None:
    task = QuestionAnswering(max_length=64, stride=8, max_answer_length=4).to_be_written()
    assert isinstance(task, WrittenAnswers)
    rows = questions(when=("nine", "six"), never=(), long=("the library opens at nine",))
    encoded = task.encode(rows, t5, None)
    assert texts_of(t5, encoded)[0] == t5.decode(t5(f"question: when context: {CONTEXT}")["input_ids"])
    batch = collate(encoded, np.arange(3), pad_token_id=t5.pad_token_id)
    assert batch.others["references"] is batch.targets
    kept = [[token for token in row if token >= 0] for row in batch.targets.tolist()]
    end = t5.eos_token_id
    assert kept[0] == t5("nine")["input_ids"]
    assert kept[1] == [end]
    assert kept[2] == t5("the library opens at nine")["input_ids"][:4]


def test_a_window_without_the_answer_asks_for_none(t5: Any) -> None:
    task = QuestionAnswering(max_length=28, stride=6).to_be_written()
    encoded = task.encode(questions(when=("weekdays",)), t5, None)
    assert len(encoded) > 1
    batch = collate(encoded, np.arange(len(encoded)), pad_token_id=t5.pad_token_id)
    counts = (batch.targets >= 0).sum(dim=1).tolist()
    assert counts[0] == 1
    assert counts[-1] > 1
    some, places = encoded.of_rows(np.array([0]))
    assert places.tolist() == list(range(len(encoded)))
    assert some.target_offsets.tolist() == encoded.target_offsets.tolist()


def test_examples_of_some_rows_keep_their_targets(t5: Any) -> None:
    task = QuestionAnswering(max_length=64, stride=8).to_be_written()
    encoded = task.encode(questions(a=("nine",), b=(), c=("the library",)), t5, None)
    some, places = encoded.of_rows(np.array([0, 2]))
    assert places.tolist() == [0, 2]
    whole, part = (collate(each, place, pad_token_id=0) for each, place in ((encoded, places), (some, np.arange(2))))
    assert whole.targets.equal(part.targets)


def test_prompts_and_lengths_are_settings() -> None:
    task = QuestionAnswering(max_length=64, stride=8, max_answer_length=4, unanswerable=True)
    settings = task.to_be_written(prompt="ask: ").settings()
    assert settings == task.settings() | {"prompts": ["ask: ", " context:"]}


def said(t5: Any, *texts: str, scores: list[float], null: list[float]) -> Any:
    ids = t5(list(texts), padding=True, return_tensors="pt")["input_ids"]
    return output(tokens=ids, scores=torch.tensor(scores), null=torch.tensor(null))


@pytest.mark.parametrize(
    ("unanswerable", "scores", "null", "expected"),
    [
        (False, [0.2, 0.4], [0.5, 0.5], ("the library", 0.4, (0, 11))),
        (True, [0.2, 0.4], [0.5, 0.3], ("the library", 0.4, (0, 11))),
        (True, [0.2, 0.4], [0.5, 0.6], ("", 0.5, (0, 0))),
        (True, [0.45, 0.4], [0.5, 0.3], ("nine", 0.45, (21, 25))),
    ],
)
def test_the_most_probable_answer_of_all_windows_counts(
    unanswerable: bool, scores: list[float], null: list[float], expected: Any, t5: Any
) -> None:
    task = QuestionAnswering(max_length=32, stride=8, unanswerable=unanswerable).to_be_written()
    rows = questions(when=("nine",))
    encoded = task.encode(rows, t5, None)
    more = len(encoded) - 2
    assert more > 0
    batch = collate(encoded, np.arange(len(encoded)), pad_token_id=t5.pad_token_id)
    output = said(t5, "nine", "the library", *[""] * more, scores=[*scores, *[0.9] * more], null=[*null, *[1.0] * more])
    reduced = task.reduce(output, batch, encoded)
    assert reduced["tokens"].shape == (len(encoded), task.max_answer_length)
    found = task.decode(reduced, encoded, rows)
    text, score, span = expected
    assert found.predicted == [text]
    assert found.scores == pytest.approx([score])
    assert tuple(found.spans[0]) == span
    assert found.references == [["nine"]]


@pytest.mark.parametrize(("text", "span"), [("the room", (-1, -1)), ("The Library", (0, 11)), ("</s>", (0, 0))])
def test_an_answer_need_not_stand_in_the_context(text: str, span: tuple[int, int], t5: Any) -> None:
    from textxfer.tasks._written_answers import _place

    if text == "</s>":  # nothing is written
        text = ""
    assert _place(text, CONTEXT) == span


def test_smoothing_and_weights_reach_the_loss(t5: Any) -> None:
    task = QuestionAnswering(max_length=64, stride=8).to_be_written()
    encoded = task.encode(questions(a=("nine",), b=()), t5, None)
    batch = collate(encoded, np.arange(2), pad_token_id=0)
    torch.manual_seed(0)
    logits = torch.randn(*batch.targets.shape, len(t5))

    def by_hand(row: int, smoothing: float) -> float:
        own = batch.targets[row] >= 0
        return float(
            torch.nn.functional.cross_entropy(
                logits[row][own], batch.targets[row][own], reduction="sum", label_smoothing=smoothing
            )
        )

    for smoothing in (0.0, 0.2):
        loss = float(task.loss(output(logits=logits), batch, label_smoothing=smoothing))
        assert loss == pytest.approx(by_hand(0, smoothing) + by_hand(1, smoothing), rel=1e-5)
        weighed = task.loss(output(logits=logits), batch, label_smoothing=smoothing, weights=torch.tensor([0.5, 0.0]))
        assert float(weighed) == pytest.approx(by_hand(0, smoothing) / 2, rel=1e-5)
