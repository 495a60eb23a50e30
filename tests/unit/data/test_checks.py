import time
from collections.abc import Callable
from typing import Any

import pytest

from textxfer.data.checks import label_set, question_rows
from textxfer.data.columns import select_columns
from textxfer.errors import DataError
from textxfer.records import Splits
from textxfer.sources.memory import Memory

Make = Callable[..., Splits]
CONTEXT = "The library opens at nine and closes at nine."


def problems(splits: Splits, names: list[str] | None = None, several: bool = False) -> tuple[str, ...]:
    with pytest.raises(DataError) as caught:
        label_set(splits, names, several)
    return caught.value.lines


@pytest.mark.parametrize(
    ("values", "names", "counts"),
    [
        (["b", "a", "b"], ("a", "b"), (1, 2)),
        ([10, 9, 10], ("9", "10"), (1, 2)),
        ([True, False], ("false", "true"), (1, 1)),
        ([1.5, -1.0], ("-1", "1.5"), (1, 1)),
        (["NA", "null"], ("NA", "null"), (1, 1)),
    ],
)
def test_labels_are_found_in_order(labelled: Make, values: list[Any], names: Any, counts: Any) -> None:
    labels = label_set(labelled(values))
    assert labels.names == names
    assert labels.counts == counts


def test_the_recipe_gives_the_order(labelled: Make) -> None:
    assert label_set(labelled(["a", "b"]), ["b", "a"]).names == ("b", "a")


def test_the_class_label_gives_the_order_and_may_have_names_that_no_row_has(class_labelled: Make) -> None:
    labels = label_set(class_labelled(train=[1, 0, 1]))
    assert labels.names == ("pos", "neg", "mixed")
    assert labels.counts == (1, 2, 0)


def test_label_sets_count_each_label(labelled: Make) -> None:
    labels = label_set(labelled([["a", "b", "a"], [], ["b"]]), several=True)
    assert (labels.names, labels.counts) == (("a", "b"), (1, 2))


@pytest.mark.parametrize(("value", "what"), [(None, "missing"), ("", "empty"), ("  ", "empty")])
def test_missing_and_empty_labels(labelled: Make, value: Any, what: str) -> None:
    assert problems(labelled(["a", value, "b"], test=["a", value])) == (
        f"splits['train'] row 2: the label is {what}",
        f"splits['test'] row 2: the label is {what}",
    )


def test_every_label_missing_says_what_that_means(class_labelled: Make, labelled: Make) -> None:
    advice = "every label is missing (-1 or null), as in splits whose labels the Hub hides; use another split as"
    (line,) = problems(class_labelled(train=[0, 1], test=[-1, -1]))
    assert line == f"splits['test']: {advice} `dataset.test`"
    (line,) = problems(labelled([0, 1], test=[-1, -1]))
    assert line.startswith(f"splits['test']: {advice}")
    assert label_set(labelled([-1, 1], test=[-1, -1])).names == ("-1", "1")


def test_one_label_only(labelled: Make, class_labelled: Make) -> None:
    message = "has one label only ('a'); a classifier needs two or more"
    assert problems(labelled(["a", "a"])) == (f"splits['train']: {message}",)
    assert "has one label only ('pos')" in problems(class_labelled(train=[0, 0]))[0]


def test_one_label_only_because_of_the_limit() -> None:
    rows = [{"text": "x", "label": label} for label in "aaab"]
    splits = select_columns(Memory(rows).load(), {"text": "text", "label": "label"}, limit=3)
    (line,) = problems(splits)
    assert line.startswith("splits['train'] (its first 3 rows, by `dataset.limit`): has one label only ('a')")


def test_a_label_that_train_lacks(labelled: Make) -> None:
    (line,) = problems(labelled(["a", "b"], test=["a", "meh"]))
    assert line == "splits['test'] row 2: label 'meh' is not among the labels of splits['train'] (a, b)"


def test_a_label_that_the_recipe_lacks(labelled: Make) -> None:
    lines = problems(labelled(["a", "b", "c"]), ["a", "b"])
    assert lines == ("splits['train'] row 3: label 'c' is not among `task.labels` (a, b)",)
    assert problems(labelled(["a", "a"]), ["a", "b"]) == ("splits['train']: no row has the label 'b' of `task.labels`",)


def test_many_labels_are_not_all_shown(labelled: Make) -> None:
    lines = problems(labelled(list(range(50)), test=["x"] * 9))
    assert "(0, 1, 2, " in lines[0]
    assert "19, ...)" in lines[0]
    assert lines[-1] == "... and 4 more like this"


def test_twins(labelled: Make) -> None:
    splits = labelled(["Pos", "pos ", "neg", "neg "])
    first, second = problems(splits)
    message = "look like one; mend them, or name both in `task.labels`"
    assert first == f"splits['train']: the labels 'Pos' and 'pos ' {message}"
    assert second == f"splits['train']: the labels 'neg' and 'neg ' {message}"
    assert label_set(splits, ["neg", "neg ", "Pos", "pos "]).names == ("neg", "neg ", "Pos", "pos ")


def test_lists_where_one_label_is_asked_for(labelled: Make) -> None:
    (line,) = problems(labelled([["a"], ["b"]]))
    assert line == "splits['train'] row 1: has a list of labels (['a']); say `task: {name: topic, multi_label: true}`"


def test_one_label_where_lists_are_asked_for(labelled: Make) -> None:
    (line,) = problems(labelled(["a,b", "b"]), several=True)
    assert line == "splits['train'] row 1: has one label and no list ('a,b'); say `dataset.label_delimiter`"
    assert label_set(labelled(["a,b", "b"], label_delimiter=","), several=True).counts == (1, 2)


def test_a_missing_label_in_a_list(labelled: Make) -> None:
    assert problems(labelled([["a"], ["b", None]]), several=True) == ("splits['train'] row 2: the label is missing",)


def question(row_id: Any = None, text: str = "When?", context: str = CONTEXT, answers: Any = ()) -> dict[str, Any]:
    answers = {"text": [each for each, _ in answers], "answer_start": [start for _, start in answers]}
    return {"id": row_id, "question": text, "context": context, "answers": answers}


def asked(*train: dict[str, Any], **others: list[dict[str, Any]]) -> Splits:
    columns = {"question": "question", "context": "context", "answers": "answers"}
    return select_columns(Memory({"train": list(train), **others}).load(), columns)


def question_problems(splits: Splits) -> tuple[str, ...]:
    with pytest.raises(DataError) as caught:
        question_rows(splits)
    return caught.value.lines


def test_answers_at_their_offsets_are_right() -> None:
    rows = [question("a", answers=[("nine", 21), ("nine", 40)]), question("b")]
    splits = asked(*rows)
    assert question_rows(splits).train is splits.train


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (("nine", 20), "the answer 'nine' is not at offset 20, where ' nin' is; the text first stands at 21"),
        (("ten", 21), "the answer 'ten' is not at offset 21, where 'nin' is; the context does not contain it"),
        (("nine", -5), "the answer 'nine' is not at offset -5, where 'The ' is; the text first stands at 21"),
        (("nine", 999), "the answer 'nine' is not at offset 999, where '' is; the text first stands at 21"),
        (("", 21), "an answer is empty; a question without answer has an empty list"),
    ],
)
def test_answers_that_are_not_at_their_offset(answer: tuple[str, int], message: str) -> None:
    splits = asked(question("a"), test=[question("a"), question("b", answers=[("nine", 21), answer])])
    assert question_problems(splits) == (f"splits['test'] row 2: {message}",)


def test_answers_and_offsets_of_different_number() -> None:
    bad = question("a") | {"answers": {"text": ["nine", "The"], "answer_start": [21]}}
    assert question_problems(asked(bad)) == ("splits['train'] row 1: has 2 answers and 1 offsets",)


def test_offsets_count_characters_not_bytes() -> None:
    context = "🎬 e\u0301te\u0301: at nine"
    question_rows(asked(question(context=context, answers=[("nine", context.index("nine"))])))


def test_repeated_questions_become_one_with_all_references() -> None:
    splits = question_rows(
        asked(
            question("a", answers=[("nine", 21)]),
            question("b", text="Why?"),
            question("a", answers=[("nine", 40), ("nine", 21)]),
            question("a"),
            test=[question("a"), question("a")],
        )
    )
    assert splits.train.rows["id"][:] == ["a", "b"]
    assert splits.train.rows["question"][:] == ["When?", "Why?"]
    assert splits.train.rows["answers"][:] == [
        {"text": ["nine", "nine"], "answer_start": [21, 40]},
        {"text": [], "answer_start": []},
    ]
    assert splits.test is not None
    assert splits.test.rows["answers"][:] == [{"text": [], "answer_start": []}]


@pytest.mark.parametrize("other", [{"text": "Why?"}, {"context": "Another text."}])
def test_an_id_of_two_questions(other: dict[str, str]) -> None:
    (line,) = question_problems(asked(question("a"), question("b"), question("a", **other)))
    assert line.startswith("splits['train'] row 3: the id 'a' is also that of another question (row 1); ")


def test_questions_without_ids_get_the_split_and_the_row() -> None:
    assert question_rows(asked(question(), question())).train.rows["id"][:] == ["train-0", "train-1"]


def test_a_hundred_thousand_rows_take_a_second_or_two(labelled: Make) -> None:
    splits = labelled([str(number % 77) for number in range(100_000)], test=["1"])
    began = time.process_time()
    label_set(splits)
    assert time.process_time() - began < 2
