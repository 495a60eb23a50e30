"""`textxfer.pipeline`: texts and questions in, labels and answers out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import textxfer
from tests.trained import questions
from tests.unit.serving.conftest import FAMILIES, TEXTS, close
from textxfer.errors import DataError

# --- texts


def test_one_text_gives_a_list_of_one(classify: Any) -> None:
    result = classify("the film was a delight")
    assert len(result) == 1
    assert result[0].keys() == {"label", "score"}
    assert result[0]["label"] in ("bad", "good")
    assert type(result[0]["score"]) is float
    assert 0.5 <= result[0]["score"] <= 1


def test_many_texts_give_one_result_each_in_their_order(classify: Any) -> None:
    results = classify(TEXTS)
    assert len(results) == len(TEXTS)
    assert close(classify(TEXTS[::-1]), results[::-1])
    assert len({round(result["score"], 6) for result in results}) > 3


def test_top_k_gives_lists_best_first(classify: Any) -> None:
    every = classify(TEXTS, top_k=None)
    assert [len(each) for each in every] == [2] * len(TEXTS)
    for each in every:
        assert each[0]["score"] >= each[1]["score"]
        assert {one["label"] for one in each} == {"bad", "good"}
        assert sum(one["score"] for one in each) == pytest.approx(1, abs=1e-6)
    assert close(classify(TEXTS, top_k=2), every)
    assert close(classify(TEXTS, top_k=99), every)
    assert close(classify(TEXTS[0], top_k=None), every[0])
    assert close([each[:1] for each in every], [classify(text) for text in TEXTS])


@pytest.mark.parametrize("top_k", [0, -1, 1.5, "2"])
def test_top_k_must_be_a_number_from_1_on(top_k: Any, classify: Any) -> None:
    with pytest.raises(ValueError, match="top_k must be a whole number from 1 on, None for all labels, or 'set', not "):
        classify("x", top_k=top_k)


@pytest.mark.parametrize("nothing", [[], (), iter(())])
def test_no_texts_give_no_results(nothing: Any, classify: Any, answer: Any) -> None:
    assert list(classify(nothing)) == []
    assert list(answer(nothing)) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_batched_equals_one_by_one(family: str, trained: Any) -> None:
    folder = trained(family)
    for batch_tokens in (None, 1, 64):
        classify = textxfer.pipeline(folder, batch_tokens=batch_tokens)
        assert close(classify(TEXTS), [classify(text)[0] for text in TEXTS])


@pytest.mark.parametrize("family", FAMILIES)
def test_empty_and_endless_texts(family: str, trained: Any) -> None:
    classify = textxfer.pipeline(trained(family))
    long = "the soup came cold and the waiter was rude. " * 2300
    assert len(long) > 100_000
    results = classify(["", long, "a" * 100_000, long[:2000]])
    assert close(results[1], results[3]), "texts are cut as in training"
    assert classify("")[0]["score"] > 0


def test_generators_columns_and_arrays_are_texts_too(classify: Any) -> None:
    import datasets
    import numpy as np

    def generate() -> Iterator[str]:
        yield from TEXTS

    expected = classify(TEXTS)
    assert close(list(classify(generate())), expected)
    assert close(classify(tuple(TEXTS)), expected)
    assert close(classify(np.array(TEXTS)), expected)
    assert close(classify(datasets.Dataset.from_dict({"text": TEXTS})["text"]), expected)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(max_size=60), min_size=1, max_size=6))
def test_any_texts_get_a_label_each(texts: list[str], classify: Any) -> None:
    results = classify(texts)
    assert len(results) == len(texts)
    assert all(0.5 <= result["score"] <= 1 for result in results)


def test_two_thousand_texts(classify: Any) -> None:
    texts = [f"the film number {number} was {'so ' * (number % 20)}rude" for number in range(2000)]
    results = classify(texts)
    assert len(results) == 2000
    assert close([results[7], results[1999]], classify([texts[7], texts[1999]]))


def test_rows_of_a_data_frame_are_texts_and_its_column_names_are_not(classify: Any) -> None:
    pandas = pytest.importorskip("pandas")
    texts = ["we loved the room", "the soup came cold", "rude"]
    assert close(classify(pandas.DataFrame({"text": texts, "id": [1, 2, 3]})), classify(texts))


# --- pairs and sets of labels


@pytest.mark.parametrize("family", FAMILIES)
def test_pairs(family: str, stock: Any) -> None:
    import transformers

    folder = stock(family, "AutoModelForSequenceClassification", num_labels=3)
    pair = {"text": "we loved the room", "text_pair": "the cast was fine"}
    pairs = [pair, pair | {"text_pair": "the soup came cold"}]
    classify = textxfer.pipeline(folder)
    results = classify(pairs, top_k=None)
    theirs = transformers.pipeline("text-classification", model=str(folder))
    assert close(results, [theirs(pair, top_k=None) for pair in pairs])
    assert close(classify(pair, top_k=None), results[0])
    first, second = ({one["label"]: one["score"] for one in each} for each in results[:2])
    assert any(abs(first[label] - second[label]) > 1e-4 for label in first), "the second text must count"


def test_unknown_names_of_a_pair_are_left_out(tags: Any) -> None:
    pair = {"text": "we loved the room", "text_pair": "the cast was fine"}
    assert close(tags([pair | {"id": 3, "label": None}]), tags([pair]))


def test_label_sets_have_a_probability_for_each_label(tags: Any) -> None:
    shares = [one["score"] for one in tags({"text": "x", "text_pair": "y"}, top_k=None)]
    assert shares == sorted(shares, reverse=True)
    assert abs(sum(shares) - 1) > 1e-3


@pytest.mark.parametrize(
    ("texts", "given"),
    [
        ("x", "'x'"),
        (["x"], "'x'"),
        ({"text": "x"}, "{'text': 'x'}"),
        ([{"text": "x", "text_pair": None}], "{'text': 'x', 'text_pair': None}"),
        (iter(["x"]), "'x'"),
    ],
)
def test_a_model_of_pairs_takes_no_single_texts(texts: Any, given: str, tags: Any) -> None:
    with pytest.raises(DataError) as error:
        list(tags(texts))
    form = "{'text': ..., 'text_pair': ...} (the model labels pairs of texts)"
    assert str(error.value) == f"input 0 must be {form}, not {given}"


def test_a_pipeline_says_whether_it_labels_pairs(tags: Any, classify: Any, stock: Any) -> None:
    assert (tags.pairs, classify.pairs) == (True, False)
    assert textxfer.pipeline(stock("bert", "AutoModelForSequenceClassification")).pairs is None  # type: ignore[union-attr]


# --- wrong input


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (None, "input must be a str or {'text': ..., 'text_pair': ...}, or many of them, not None"),
        (3, "input must be a str or {'text': ..., 'text_pair': ...}, or many of them, not 3"),
        (b"bytes", "input must be a str or {'text': ..., 'text_pair': ...}, or many of them, not b'bytes'"),
        (["x", None], "input 1 must be a str or {'text': ..., 'text_pair': ...}, not None"),
        ([["a", "b"]], "input 0 must be a str or {'text': ..., 'text_pair': ...}, not ['a', 'b']"),
        ({"txt": "x"}, "input 0 must be a str or {'text': ..., 'text_pair': ...}, not {'txt': 'x'}"),
        ({"text": "x", "text_pair": 3}, "input 0 must be a str or {'text': ..., 'text_pair': ...}, not {'text': 'x'"),
        (["x", {"text": "x", "text_pair": "y"}], "some inputs have a text_pair and some have none; call once for each"),
        (["fine", "half \ud800 a pair"], "input 1: `text` is not valid Unicode from character 5 on; decode it anew"),
    ],
)
def test_what_is_no_text_is_refused(texts: Any, message: str, classify: Any) -> None:
    with pytest.raises(DataError) as error:
        classify(texts)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        ("what?", "input 0 must be {'question': ..., 'context': ...}, not 'what?'"),
        ({"question": "what?"}, "input 0 must be {'question': ..., 'context': ...}, not {'question': 'what?'}"),
        ([{"question": "what?", "context": None}], "input 0 must be {'question': ..., 'context': ...}, not "),
        (7, "input must be {'question': ..., 'context': ...}, or many of them, not 7"),
        ([{"question": "\udfff", "context": "x"}], "input 0: `question` is not valid Unicode from character 0 on"),
    ],
)
def test_what_is_no_question_is_refused(questions: Any, message: str, answer: Any) -> None:
    with pytest.raises(DataError) as error:
        answer(questions)
    assert str(error.value).startswith(message)


def test_half_a_call(answer: Any) -> None:
    for options in ({}, {"question": "what?"}, {"context": "here"}):
        with pytest.raises(
            TypeError, match=r"call with question= and context= \(or contexts=\), or with a list of such dicts"
        ):
            answer(**options)
    with pytest.raises(TypeError, match="not with both"):
        answer([{"question": "what?", "context": "here"}], question="what?", context="here")
    with pytest.raises(DataError, match="input 0 must be"):
        answer(question=["what?"], context=["here"])


# --- questions


def test_all_forms_of_a_question_get_the_same_answer(answer: Any) -> None:
    rows = [{key: row[key] for key in ("question", "context")} for row in questions()]
    alone = [answer(**row) for row in rows]
    assert alone[0].keys() == {"answer", "score", "start", "end"}
    assert close(answer(rows), alone)
    assert close([answer(row) for row in rows], alone)
    assert close(list(answer(row | {"id": "x"} for row in rows)), alone)
    assert close(answer(rows[::-1]), alone[::-1])


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_one_by_one_equal_answers_together(family: str, trained: Any) -> None:
    answer = textxfer.pipeline(trained(family, "question_answering"), batch_tokens=64)
    rows = questions()
    assert close(answer(rows), [answer(question=row["question"], context=row["context"]) for row in rows])


def test_empty_and_endless_contexts(answer: Any) -> None:
    nothing = {"answer": "", "start": 0, "end": 0}
    for found in ({"question": "what?", "context": ""}, {"question": "", "context": ""}):
        assert {key: value for key, value in answer(found).items() if key != "score"} == nothing
    context = "the library opens at nine and closes at night. " * 2200
    assert len(context) > 100_000
    found = answer(question="when opens the library?", context=context)
    assert context[found["start"] : found["end"]] == found["answer"]
    found = answer(question="when " * 25_000, context="the library opens at nine")
    assert "the library opens at nine"[found["start"] : found["end"]] == found["answer"]


def test_model_that_never_saw_an_unanswerable_question_always_answers(trained: Any, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained("bert", "question_answering") / "model", tmp_path / "copy"))
    config = json.loads((folder / "config.json").read_text())
    assert config["textxfer"]["unanswerable"] is True
    config["textxfer"]["unanswerable"] = False
    (folder / "config.json").write_text(json.dumps(config))
    assert all(found["answer"] for found in textxfer.pipeline(folder)(questions()))
