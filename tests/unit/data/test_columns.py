import math
from collections.abc import Callable
from typing import Any

import datasets
import pandas as pd
import pytest

from textxfer.data.columns import select_columns
from textxfer.errors import DataError
from textxfer.records import Splits
from textxfer.sources.memory import Memory

TEXT = {"text": "text"}
LABELLED = {"text": "text", "label": "label"}
ASKED = {"question": "question", "context": "context", "answers": "answers"}


def selected(rows: Any, columns: dict[str, str], **options: Any) -> Any:
    return select_columns(Memory(rows).load(), columns, **options).train.rows


def problems(rows: Any, columns: dict[str, str], **options: Any) -> tuple[str, ...]:
    with pytest.raises(DataError) as caught:
        selected(rows, columns, **options)
    return caught.value.lines


def test_columns_are_renamed_and_others_left_out() -> None:
    rows = [{"review": "a", "second": "b", "stars": 5, "other": 1}]
    found = selected(rows, {"text": "review", "text_pair": "second", "label": "stars"})
    assert found.to_list() == [{"id": "train-0", "text": "a", "text_pair": "b", "label": "5"}]


@pytest.mark.parametrize("text", ["NA", "null", "None", "", " ", "nul\x00", "\u202e bidi", "🎬", "x" * 100_000])
def test_texts_are_left_alone(text: str) -> None:
    assert selected([{"text": text}], TEXT)["text"][:] == [text]


def test_a_missing_column_lists_the_columns_there_are() -> None:
    splits = {"train": [{"review": "a", "label": "x"}], "test": [{"Review": "a", "labels": "x"}]}
    with pytest.raises(DataError) as caught:
        select_columns(Memory(splits).load(), {"text": "reviews", "label": "label"})
    text, test_text, label = caught.value.lines
    advice = "did you mean `review`? (there are: review, label); say `dataset.text`"
    assert text == f"splits['train']: has unknown column `reviews`; {advice}"
    assert test_text.startswith("splits['test']: has unknown column `reviews`; did you mean `Review`?")
    assert label.endswith("did you mean `labels`? (there are: Review, labels); say `dataset.label`")


def test_missing_texts_are_named_and_counted() -> None:
    lines = problems([{"text": "a"}, {"text": None}] * 7, TEXT)
    assert lines[0] == "splits['train'] row 2: column `text` is missing"
    assert lines[4] == "splits['train'] row 10: column `text` is missing"
    assert lines[5] == "... and 2 more like this"
    assert problems([{"text": None}], TEXT) == ("splits['train'] row 1: column `text` is missing",)


@pytest.mark.parametrize(("value", "words"), [(5, "int (5)"), (True, "bool (True)"), (["a"], "list (['a'])")])
def test_texts_of_another_kind(value: Any, words: str) -> None:
    expected = f"splits['train'] row 2: column `text` holds {words}, not text"
    assert problems([{"text": None}, {"text": value}], TEXT) == (expected,)


def test_texts_of_pandas_and_of_chosen_rows() -> None:
    rows = datasets.Dataset.from_pandas(pd.DataFrame({"text": ["a", "b", "c"], "label": [1.0, 2.0, math.nan]}))
    found = selected(rows.select([2, 0]).with_format("numpy"), LABELLED)
    assert found["text"][:] == ["c", "a"]
    assert found["label"][:] == [None, "1"]


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["x", "NA", ""], ["x", "NA", ""]),
        ([1, 0, None], ["1", "0", None]),
        ([1.0, 2.5, None], ["1", "2.5", None]),
        ([True, False, None], ["true", "false", None]),
        ([["a", "b", "a"], [], None], [["a", "b"], [], None]),
        ([[1, 2], [3], [None]], [["1", "2"], ["3"], [None]]),
    ],
)
def test_label_names(values: list[Any], names: list[Any]) -> None:
    assert selected([{"text": "a", "label": value} for value in values], LABELLED)["label"][:] == names


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["a; b ;a", "", "c;", " ; "], [["a", "b"], [], ["c"], []]),
        ([["a", "a;b"]], [["a", "a;b"]]),
        ([3, None], [["3"], None]),
    ],
)
def test_label_delimiter(values: list[Any], names: list[Any]) -> None:
    rows = [{"text": "a", "label": value} for value in values]
    assert selected(rows, LABELLED, label_delimiter=";")["label"][:] == names


@pytest.mark.parametrize("value", [{"a": 1}, [["a"]], [{"a": 1}]])
def test_labels_of_another_kind(value: Any) -> None:
    (line,) = problems([{"text": "a", "label": value}], LABELLED)
    assert line.startswith("splits['train'] row 1: column `label` holds ")
    assert line.endswith("not a text, a number, true/false or a list of them")


def test_class_labels_are_named_and_minus_one_is_missing(class_labelled: Callable[..., Splits]) -> None:
    splits = class_labelled(train=[0, 2, -1, None])
    assert splits.train.rows["label"][:] == ["pos", "mixed", None, None]
    assert splits.train.label_names == ("pos", "neg", "mixed")


def test_lists_of_class_labels() -> None:
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.List(datasets.ClassLabel(names=["z", "a"]))}
    )
    rows = datasets.Dataset.from_dict({"text": ["x", "y"], "label": [[1, 0, 1], []]}, features=features)
    splits = select_columns(Memory(rows).load(), LABELLED)
    assert splits.train.rows["label"][:] == [["a", "z"], []]
    assert splits.train.label_names == ("z", "a")


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["b", "a"], ["b", "a"]),
        (["b", "b"], ["b", "b"]),
        ([1, 2], ["1", "2"]),
        ([1.0, 2.0], ["1", "2"]),
        ([1, None], ["train-0", "train-1"]),
    ],
)
def test_ids(ids: list[Any], expected: list[str]) -> None:
    assert selected([{"text": "a", "id": value} for value in ids], TEXT)["id"][:] == expected


def test_limit_keeps_the_first_rows_and_messages_say_so() -> None:
    rows = {"train": [{"text": str(number)} for number in range(9)], "test": [{"text": "a"}, {"text": "b"}]}
    splits = select_columns(Memory(rows).load(), TEXT, limit=3)
    assert splits.train.rows["text"][:] == ["0", "1", "2"]
    assert splits.train.origin == "splits['train'] (its first 3 rows, by `dataset.limit`)"
    assert splits.test is not None
    assert splits.test.origin == "splits['test']"
    assert len(splits.test) == 2


def asked(answers: list[Any]) -> list[dict[str, Any]]:
    return [{"question": "q", "context": "c", "answers": each} for each in answers]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"text": ["a", "b"], "answer_start": [0, 4]}, (["a", "b"], [0, 4])),
        ({"text": [], "answer_start": []}, ([], [])),
        ({"text": None, "answer_start": None}, ([], [])),
        (None, ([], [])),
        ([], ([], [])),
        ([{"text": "a", "answer_start": 3}], (["a"], [3])),
        ({"text": "a", "answer_start": 3}, (["a"], [3])),
        ({"text": ["a"], "answer_start": [3.0]}, (["a"], [3])),
    ],
)
def test_forms_of_answers(value: Any, expected: tuple[list[str], list[int]]) -> None:
    found = selected(asked([value]), ASKED)["answers"][0]
    assert found == {"text": expected[0], "answer_start": expected[1]}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("nine", "holds 'nine'; it must be {text: [...], answer_start: [...]}"),
        ({"text": ["a"]}, "it must be {text: [...], answer_start: [...]}"),
        ({"text": "a", "answer_start": [1]}, "`text` and `answer_start` must be lists"),
        ({"text": [1912], "answer_start": [1]}, "holds an answer that is not text ([1912])"),
        ({"text": ["a"], "answer_start": ["1"]}, "holds an offset that is not a whole number (['1'])"),
        ({"text": ["a"], "answer_start": [1.5]}, "holds an offset that is not a whole number ([1.5])"),
        ({"text": ["a"], "answer_start": [math.inf]}, "holds an offset that is not a whole number ([inf])"),
        ({"text": ["a"], "answer_start": [None]}, "holds an offset that is not a whole number ([None])"),
    ],
)
def test_answers_of_another_form(value: Any, message: str) -> None:
    (line,) = problems(asked([value]), ASKED)
    assert line.startswith("splits['train'] row 1: column `answers` ")
    assert line.endswith(message)
