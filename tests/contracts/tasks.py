"""What every task promises, as functions that a plugin's own tests can call.

    case = make_case(MyTask(), my_rows, checkpoint_folder)
    for check in CHECKS:
        check(case, tmp_path)

Each raises AssertionError where a promise is broken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from textxfer.data.batching import collate
from textxfer.data.columns import select_columns
from textxfer.evaluation.forward import forward
from textxfer.evaluation.scoring import score
from textxfer.labels import LabelSet
from textxfer.modeling.build import build
from textxfer.modeling.checkpoint import Checkpoint, open_checkpoint
from textxfer.modeling.saving import save_model
from textxfer.records import Predictions
from textxfer.serving.engine import open_engine
from textxfer.sources.memory import Memory
from textxfer.tasks import Task

TOLERANCE = 1e-5


@dataclass(frozen=True)
class Case:
    """A task with rows that it prepared, and a model with its head.

    Attributes:
        task: Made, and prepared on the rows.
        rows: Ready to encode, with references.
        labels: None for answers.
        checkpoint: Opened.
        model: With random weights, large enough that predictions differ.
    """

    task: Task
    rows: Any
    labels: LabelSet | None
    checkpoint: Checkpoint
    model: Any

    def predict(self, rows: Any = None, batch_tokens: int | None = None) -> Predictions:
        """Gives predictions for rows, by default the case's own."""
        rows = self.rows if rows is None else rows
        encoded = self.task.encode(rows, self.checkpoint.tokenizer, self.labels)
        pad = self.checkpoint.tokenizer.pad_token_id
        outputs = forward(self.model, self.task, encoded, pad_token_id=pad, batch_tokens=batch_tokens)
        return self.task.decode(outputs.reduced, encoded, rows)


def make_case(
    task: Task,
    rows: Sequence[Mapping[str, Any]],
    folder: Path,
    columns: Mapping[str, str] | None = None,
    written: bool = False,
) -> Case:
    """Prepares rows and builds a model.

    Args:
        task: Made, not yet prepared.
        rows: With the columns that the task requires, under their own names.
        folder: Of a checkpoint.
        columns: Further columns that the task takes, by name.
        written: Whether the model writes (head `text2text`), as the checkpoint's family can.
    """
    import torch

    task = task.to_be_written() if written else task

    wanted = {name: name for name in task.required_columns} | dict(columns or {})
    splits, labels = task.prepare(select_columns(Memory(list(rows)).load(), wanted))
    checkpoint = open_checkpoint(str(folder))
    model: Any = _written_model(task, labels, checkpoint) if written else None
    if model is None:
        several = task.predicts == "label sets"
        model = build(checkpoint, task.auto_class, labels, multi_label=several).model
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    return Case(task, splits.train.rows, labels, checkpoint, model.eval())


def _written_model(task: Any, labels: LabelSet | None, checkpoint: Checkpoint) -> Any:
    from textxfer.modeling.answers_model import build_answers
    from textxfer.modeling.label_words import words_of
    from textxfer.modeling.words_model import build_words

    if labels is None:
        return build_answers(checkpoint, task.max_answer_length).model
    # Random words are far from equally probable; divided by this, no label has all of it.
    return build_words(checkpoint, labels, words_of(labels.names, {}, checkpoint.tokenizer), temperature=20.0).model


def batched_equals_unbatched(case: Case, folder: Path) -> None:
    """A row's prediction is the same alone, among others, and whatever the others are."""
    together = case.predict()
    assert_same(case.predict(batch_tokens=1), together)
    assert_same(
        case.predict(case.rows.select(range(len(case.rows) - 1, -1, -1))), _picked(together, slice(None, None, -1))
    )
    assert_same(case.predict(case.rows.select([0])), _picked(together, slice(0, 1)))
    shares = together.scores if together.probabilities is None else together.probabilities
    assert np.ptp(shares, axis=0).max() > 0.01 * shares.max(), "a model that says the same of all rows proves nothing"


def padding_does_not_change_outputs(case: Case, folder: Path) -> None:
    """Padding on the right is not looked at, neither in outputs nor in the loss."""
    import torch

    encoded = case.task.encode(case.rows, case.checkpoint.tokenizer, case.labels)
    indices = np.arange(min(len(encoded), 8))
    kept, losses = [], []
    for width in (1, int(encoded.lengths.max()) + 16):
        batch = collate(encoded, indices, pad_token_id=case.checkpoint.tokenizer.pad_token_id, pad_to=width)
        with torch.no_grad():
            output = case.model(**batch.inputs())
            losses.append(float(case.task.loss(output, batch)))
            kept.append(case.task.reduce(output, batch, encoded))
    assert abs(losses[0] - losses[1]) < TOLERANCE * len(indices)
    for name, array in kept[0].items():
        if np.asarray(array).dtype.kind == "f":
            np.testing.assert_allclose(np.asarray(array), np.asarray(kept[1][name]), atol=TOLERANCE, rtol=0)


def loss_is_a_sum_over_examples(case: Case, folder: Path) -> None:
    """The loss of a batch is the sum of its examples' losses, so that a step can be cut anywhere."""
    import torch

    encoded = case.task.encode(case.rows, case.checkpoint.tokenizer, case.labels)
    indices = np.arange(min(len(encoded), 8))

    def loss(part: np.ndarray) -> float:
        batch = collate(encoded, part, pad_token_id=case.checkpoint.tokenizer.pad_token_id)
        with torch.no_grad():
            return float(case.task.loss(case.model(**batch.inputs()), batch))

    alone = sum(loss(indices[place : place + 1]) for place in range(len(indices)))
    assert abs(loss(indices) - alone) < TOLERANCE * len(indices)


def saved_and_loaded_predicts_the_same(case: Case, folder: Path) -> None:
    """A saved model makes its own task and gives the same predictions, without the recipe."""
    save_model(case.model, case.checkpoint.tokenizer, folder / "model", case.task.settings())
    engine = open_engine(str(folder / "model"), device="cpu")
    assert type(engine.task) is type(case.task)
    assert engine.task.settings() == case.task.settings()
    unlabelled = [name for name in case.rows.column_names if name not in ("label", "answers", "id")]
    loaded = engine.predict(case.rows.select_columns(unlabelled).to_list())
    assert_same(loaded, replace(case.predict(), ids=loaded.ids))


def label_order_survives(case: Case, folder: Path) -> None:
    """Label ids mean the same after a save, also where the order is not that of the alphabet."""
    if case.labels is None:
        return
    turned = case.labels.reordered(case.labels.names[1:] + case.labels.names[:1])
    several = case.task.predicts == "label sets"
    model = build(case.checkpoint, case.task.auto_class, turned, multi_label=several).model
    save_model(model, case.checkpoint.tokenizer, folder / "model", case.task.settings())
    engine = open_engine(str(folder / "model"), device="cpu")
    assert engine.labels == turned
    again = open_checkpoint(str(folder / "model"))
    assert again.label_names == turned.names


def records_name_what_was_predicted(case: Case, folder: Path) -> None:
    """Each row gives one JSON object with its id, in order."""
    import json

    predictions = case.predict()
    records = [json.loads(json.dumps(record)) for record in case.task.records(predictions, case.labels)]
    assert [record["id"] for record in records] == list(case.rows["id"])
    for place, record in enumerate(records):
        if case.labels is None:
            assert record["answer"] == predictions.predicted[place]
        else:
            assert list(record["probabilities"]) == list(case.labels.names)
            named = record["prediction"]
            assert set(named if isinstance(named, list) else [named]) <= set(case.labels.names)


def default_metrics_judge_the_predictions(case: Case, folder: Path) -> None:
    """The metrics that a task names fit what it predicts."""
    scores = score(case.predict(), case.task.default_metrics, case.labels)
    assert set(case.task.default_metrics) <= set(scores.values)
    assert case.task.select_by in case.task.default_metrics
    assert scores.num_examples == len(case.rows)


CHECKS: tuple[Callable[[Case, Path], None], ...] = (
    batched_equals_unbatched,
    padding_does_not_change_outputs,
    loss_is_a_sum_over_examples,
    saved_and_loaded_predicts_the_same,
    label_order_survives,
    records_name_what_was_predicted,
    default_metrics_judge_the_predictions,
)


def assert_same(first: Predictions, second: Predictions) -> None:
    """Holds two sets of predictions for the same rows together, probabilities to 1e-5."""
    assert list(map(str, first.predicted)) == list(map(str, second.predicted))
    for name in ("probabilities", "scores"):
        one, other = getattr(first, name), getattr(second, name)
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_allclose(one, other, atol=TOLERANCE)


def _picked(predictions: Predictions, places: slice) -> Predictions:
    parts = {name: getattr(predictions, name) for name in ("predicted", "probabilities", "scores")}
    cut = {name: None if part is None else part[places] for name, part in parts.items()}
    return replace(predictions, ids=list(predictions.ids)[places], **cut)
