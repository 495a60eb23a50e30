"""Question answering: what `Task` promises, and its loss."""

from typing import Any

import datasets
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.unit.tasks.conftest import batch_of, output
from textxfer import registry
from textxfer.data.batching import collate
from textxfer.errors import DataError
from textxfer.records import Predictions, Split, Splits
from textxfer.tasks.question_answering import Config, QuestionAnswering


def asked(questions: list[dict[str, Any]]) -> Splits:
    return Splits(Split(datasets.Dataset.from_list(questions), "rows"))


def test_prepare_finds_out_whether_questions_can_be_unanswerable(questions: list[dict[str, Any]]) -> None:
    task = QuestionAnswering()
    assert task.prepare(asked(questions))[1] is None
    assert task.unanswerable
    answered = [row for row in questions if row["answers"]["text"]]
    task.prepare(asked(answered))
    assert not task.unanswerable


def test_prepare_checks_the_answers(questions: list[dict[str, Any]]) -> None:
    questions[2]["answers"]["answer_start"][0] += 1
    with pytest.raises(DataError, match=r"rows row 3: the answer 'six' is not at offset"):
        QuestionAnswering().prepare(asked(questions))


def test_rows_are_cut_by_their_context(questions: list[dict[str, Any]]) -> None:
    rows = datasets.Dataset.from_list(questions)
    assert QuestionAnswering().cut_by(rows) == (None, [row["context"] for row in questions])


def test_targets_point_at_the_answers(questions: list[dict[str, Any]], tokenizer: Any) -> None:
    rows = datasets.Dataset.from_list(questions)
    encoded = QuestionAnswering(max_length=32, stride=12).encode(rows, tokenizer, None)
    assert encoded.targets is not None
    assert encoded.spans is not None
    found = set()
    for number, (first, last) in enumerate(encoded.targets):
        row = questions[encoded.rows[number]]
        if (first, last) == (0, 0):
            continue
        begin, end = encoded.spans[encoded.offsets[number] + np.array([first, last])].ravel()[[0, 3]]
        assert row["context"][begin:end] == row["answers"]["text"][0]
        found.add(row["id"])
    assert found == {row["id"] for row in questions if row["answers"]["text"]}
    without = QuestionAnswering(max_length=32, stride=12).encode(rows.remove_columns("answers"), tokenizer, None)
    assert without.targets is None


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.sampled_from([0.0, 0.1, 0.5]))
def test_loss_is_the_sum_over_windows_of_the_mean_of_both_ends(seed: int, smoothing: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    lengths = [3, 7, 5]
    start, end = torch.randn(2, 3, 7, generator=generator)
    targets = [[0, 0], [2, 6], [4, 4]]
    weights = torch.tensor([0.2, 1.0, 0.5])
    expected = weighted = 0.0
    for row, length in enumerate(lengths):
        for logits, target in ((start, targets[row][0]), (end, targets[row][1])):
            alone = logits[row, :length][None]
            each = float(torch.nn.functional.cross_entropy(alone, torch.tensor([target]), label_smoothing=smoothing))
            expected, weighted = expected + each / 2, weighted + float(weights[row]) * each / 2
    batch = batch_of([[1] * length + [0] * (7 - length) for length in lengths], targets)
    task, said = QuestionAnswering(), output(start_logits=start, end_logits=end)
    found = task.loss(said, batch, label_smoothing=smoothing)
    assert float(found) == pytest.approx(expected, rel=1e-4), "padding changes the loss"
    weighed = task.loss(said, batch, label_smoothing=smoothing, weights=weights)
    assert float(weighed) == pytest.approx(weighted, rel=1e-4)


def test_an_oracle_model_gets_every_answer_back(questions: list[dict[str, Any]], tokenizer: Any) -> None:
    rows = datasets.Dataset.from_list(questions)
    task = QuestionAnswering(max_length=32, stride=12, unanswerable=True)
    encoded = task.encode(rows, tokenizer, None)
    assert encoded.targets is not None
    pieces: dict[str, list[Any]] = {}
    for part in np.array_split(np.random.default_rng(0).permutation(len(encoded)), 3):
        batch = collate(encoded, part, pad_token_id=0)
        logits = torch.nn.functional.one_hot(batch.targets.T, batch.input_ids.shape[1]).float() * 20  # type: ignore[union-attr]
        kept = task.reduce(output(start_logits=logits[0], end_logits=logits[1]), batch, encoded)
        for name, array in kept.items():
            pieces.setdefault(name, []).append((part, array))
    whole = {
        name: np.empty((len(encoded), *parts[0][1].shape[1:]), parts[0][1].dtype) for name, parts in pieces.items()
    }
    for name, parts in pieces.items():
        for part, values in parts:
            whole[name][part] = values
    found = task.decode(whole, encoded, rows)
    assert found.ids == [row["id"] for row in questions]
    assert found.predicted == [(row["answers"]["text"] or [""])[0] for row in questions]
    assert found.references == [row["answers"]["text"] for row in questions]
    assert found.scores is not None
    assert found.scores.min() > 0.9


def test_records_have_text_score_and_place(questions: list[dict[str, Any]]) -> None:
    predictions = Predictions(["q1"], ["nine"], [["nine", "9"]], scores=np.array([0.5]), spans=np.array([[3, 7]]))
    (record,) = QuestionAnswering().records(predictions, None)
    assert record == {"id": "q1", "references": ["nine", "9"], "answer": "nine", "score": 0.5, "start": 3, "end": 7}
    (record,) = QuestionAnswering().records(
        Predictions(["q1"], [""], scores=np.array([0.5]), spans=np.array([[0, 0]])), None
    )
    assert "references" not in record


def test_settings_make_the_same_task_again() -> None:
    options = {"max_length": 100, "stride": 7, "max_answer_length": 5, "unanswerable": True}
    kept = QuestionAnswering(**options).settings()  # type: ignore[arg-type]
    assert kept == {"task": "question_answering", **options}
    assert registry.load("tasks", kept.pop("task"))(**kept).settings() == {"task": "question_answering", **options}


def test_scores_are_chosen_by_squads_pair() -> None:
    task = QuestionAnswering()
    assert task.default_metrics == ("exact_match", "answer_f1")
    assert task.select_by == "answer_f1"
    assert task.predicts == "answers"


@pytest.mark.parametrize(("stride", "max_length"), [(24, 32), (128, 136), (500, 384)])
def test_a_stride_that_leaves_no_room(stride: int, max_length: int) -> None:
    with pytest.raises(ValidationError, match=rf"stride \({stride}\) must be less than max_length \({max_length}\)"):
        Config(stride=stride, max_length=max_length)


def test_the_widest_stride_still_moves_on(tokenizer: Any) -> None:
    task = QuestionAnswering(**Config(stride=23, max_length=32).model_dump(exclude={"name"}))
    rows = datasets.Dataset.from_list([{"question": "who wrote the book? " * 9, "context": "the film was " * 60}])
    encoded = task.encode(rows, tokenizer, None)
    assert encoded.spans is not None
    assert encoded.spans.max() == len("the film was " * 60) - 1
