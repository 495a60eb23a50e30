"""Doubtful labels: planted flips are found, odd data are refused or left alone, lists can be reviewed."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import numpy as np
import pytest

from textxfer.errors import DataError, OutputError
from textxfer.evaluation.leaks import without
from textxfer.evaluation.scoring import score
from textxfer.evaluation.suspects import Suspect, Suspects, is_cheap, rank, write
from textxfer.labels import LabelSet
from textxfer.modeling.freezing import Frozen, PartSize
from textxfer.records import Encoded, Predictions


def made(names: list[str], each: int = 30, flips: int = 0) -> tuple[Any, ...]:
    """Gives vectors in a cluster a label, label ids with some flips, rows, labels, and the flipped rows."""
    rng = np.random.default_rng(0)
    true = np.repeat(np.arange(len(names)), each)
    vectors = rng.normal(size=(len(true), 2, 8)).astype(np.float32) + 4 * rng.normal(size=(len(names), 2, 8))[true]
    flipped = rng.choice(len(true), flips, replace=False)
    given = true.copy()
    given[flipped] = (true[flipped] + 1) % len(names)
    return vectors, given, rows_of([names[label] for label in given]), LabelSet(tuple(names)), set(flipped.tolist())


def rows_of(labels: list[Any], texts: list[str] | None = None) -> datasets.Dataset:
    texts = texts or [f"text {number}" for number in range(len(labels))]
    return datasets.Dataset.from_dict(
        {"id": [f"train-{n}" for n in range(len(labels))], "text": texts, "label": labels}
    )


@pytest.mark.parametrize("count", [2, 3, 77])
def test_planted_flips_come_first(count: int) -> None:
    vectors, given, rows, labels, flipped = made([f"label {n}" for n in range(count)], 200 // count + 8, flips=12)
    found = rank(vectors, given, rows, labels, most=12)
    assert len({each.row for each in found.found} & flipped) >= 10
    assert [each.score for each in found.found] == sorted((each.score for each in found.found), reverse=True)
    for each in found.found:
        assert each.given == labels.names[given[each.row]] != each.suggested
        assert (each.id, each.text) == (f"train-{each.row}", f"text {each.row}")


def test_the_suggestion_is_another_label_even_of_sure_rows() -> None:
    vectors, given, rows, labels, _ = made(["a", "b", "c"], 20)
    found = rank(vectors, given, rows, labels, most=60).found
    assert len(found) == 60
    assert all(each.suggested != each.given for each in found)


def test_as_many_as_the_evidence_bears_unless_told() -> None:
    vectors, given, rows, labels, flipped = made(["a", "b", "c"], 120, flips=24)
    found = rank(vectors, given, rows, labels)
    assert 20 <= (found.estimated or 0) <= 28
    assert 12 <= len(found.found) < 24
    assert {each.row for each in found.found} <= flipped
    assert found.judged == 360
    assert rank(vectors, given, rows, labels).found == found.found
    share = f"{found.estimated} of 360 training rows ({(found.estimated or 0) / 360:.1%})"
    assert found.told == f"about {share} may bear the wrong label; the {len(found.found)} most doubtful are named"


def test_of_few_rows_few_are_named_and_that_is_called_a_guess() -> None:
    vectors, given, rows, labels, flipped = made(["a", "b", "c"], 40, flips=12)
    found = rank(vectors, given, rows, labels)
    assert len(found.found) == 6, "5 % of the rows, though twice as many labels are wrong"
    assert {each.row for each in found.found} <= flipped
    assert found.told.startswith("at a rough guess up to 1")
    assert "bear the wrong label (40 rows a label are few); the 6 most doubtful are named, and many" in found.told
    assert len(rank(vectors, given, rows, labels, most=12).found) == 12


def test_what_is_told_of_no_row_and_of_one() -> None:
    one = Suspect(0, "train-0", "text", "a", "b", 0.9)
    assert Suspects((), 0, 500, ()).told == "none of 500 training rows seems to bear the wrong label; none is named"
    assert "bear the wrong label; the most doubtful one is named" in Suspects((one,), 2, 500, ()).told
    few = Suspects((), 0, 50, (), "25 rows a label are few").told
    assert (
        few
        == "at a rough guess none of 50 training rows bears the wrong label (25 rows a label are few); none is named"
    )


def test_where_the_texts_tell_nothing_none_is_named() -> None:
    _, given, rows, labels, _ = made(["a", "b"], 200)
    vectors = np.random.default_rng(1).normal(size=(400, 8)).astype(np.float32)
    found = rank(vectors, given, rows.remove_columns("text").add_column("text", ["same"] * 400), labels)
    assert (found.found, found.estimated) == ((), None)
    assert "of 400 training rows bear the wrong label cannot be told (the probes foretell" in found.told
    assert found.told.endswith("; none is named")


def test_labels_of_few_rows_are_not_judged() -> None:
    vectors, given, rows, labels, _ = made(["a", "b", "rare"], 20)
    keep = np.r_[0:40, 40:43]
    found = rank(vectors[keep], given[keep], rows.select(keep), labels, most=50)
    assert found.unjudged == ("rare",)
    assert found.judged == 40
    assert all(each.row < 40 and "rare" not in (each.given, each.suggested) for each in found.found)


@pytest.mark.parametrize("texts", [[""] * 40, ["same"] * 40, ["\0"] * 40, ["x" * 100_000] * 40, ["\u202eevil"] * 40])
def test_odd_texts_do_no_harm(texts: list[str]) -> None:
    vectors, given, _, labels, flipped = made(["a", "b"], 20, flips=2)
    found = rank(vectors, given, rows_of([labels.names[n] for n in given], texts), labels, most=2)
    assert {each.row for each in found.found} == flipped


def test_all_vectors_equal() -> None:
    _, given, rows, labels, _ = made(["a", "b"], 20)
    assert np.isfinite([each.score for each in rank(np.zeros((40, 3)), given, rows, labels, most=40).found]).all()


def test_one_label_with_enough_rows() -> None:
    vectors, given, rows, labels, _ = made(["a", "b"], 20)
    with pytest.raises(DataError, match="suspects: 1 labels have 5 rows or more in train; two are needed"):
        rank(vectors[:22], given[:22], rows.select(range(22)), labels)


def test_the_list_is_safe_to_open(tmp_path: Path) -> None:
    vectors, given, _, labels, _ = made(["a", "=b"], 20, flips=3)
    rows = rows_of([labels.names[n] for n in given], [f"=SUM({n})\0\n<b>" for n in range(40)])
    write(rank(vectors, given, rows, labels, most=3), tmp_path / "new" / "list.csv")
    with (tmp_path / "new" / "list.csv").open(encoding="utf-8-sig", newline="") as file:
        listed = list(csv.DictReader(file))
    assert list(listed[0]) == ["id", "text", "given", "suggested", "score", "drop", "weight"]
    assert len(listed) == 3
    assert all(
        row["text"].startswith("'=SUM(") and row["text"].endswith(" <b>") and row["drop"] == "" for row in listed
    )


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write(Suspects((), 0, 1, ()), tmp_path / "file" / "list.csv")


def test_predictions_without_rows_are_scored_alone() -> None:
    predictions = Predictions(["a", "b", "c"], np.array([0, 1, 1]), np.array([0, 0, 1]), np.eye(3, 2, dtype=np.float32))
    left = without(predictions, np.array([1]))
    assert left.ids == ["a", "c"]
    assert left.probabilities is not None
    assert left.probabilities.tolist() == [[1, 0], [0, 0]]
    assert score(left, ["accuracy"], LabelSet(("x", "y"))).values["accuracy"] == 1.0
    answers = without(Predictions(["a", "b"], ["one", "two"], [["one"], []], spans=np.zeros((2, 2))), [0])
    assert (answers.predicted, answers.references, len(answers.spans)) == (["two"], [[]], 1)  # type: ignore[arg-type]
    assert len(without(predictions, [0, 1, 2])) == 0


@pytest.mark.parametrize(
    ("counts", "tokens", "epochs", "trained", "cheap"),
    [
        ([500, 500], 30, 3, 1.0, True),
        ([100, 99], 30, 3, 1.0, False),  # too few rows a label
        ([91] * 11, 30, 3, 1.0, False),
        ([100, 100, 4], 30, 3, 1.0, True),  # a label of so few rows is not judged
        ([500, 4], 30, 3, 1.0, False),  # one label alone cannot be
        ([500, 500], 30, 1, 1.0, False),  # too much beside one epoch
        ([500, 500], 30, 3, 0.3, False),  # and beside the little that is trained above frozen layers
        ([4500, 4500], 30, 3, 1.0, False),  # too much of all
        ([100] * 200, 1, 50, 1.0, False),  # too many labels
    ],
)
def test_a_look_is_cheap_where_it_takes_little_and_the_training_took_much(
    counts: list[int], tokens: int, epochs: float, trained: float, cheap: bool
) -> None:
    rows = sum(counts)
    whole = 10_000_000
    table = (PartSize("embeddings", 0, 10**9), PartSize("layers 0-5", int(trained * whole), whole))
    encoded = Encoded(np.zeros(0, np.int32), np.arange(rows + 1) * tokens, np.arange(rows))
    model: Any = SimpleNamespace(config=SimpleNamespace(num_hidden_layers=6, hidden_size=384))
    assert is_cheap(model, encoded, counts, Frozen((), table, 0, False), epochs) == cheap
