"""Pipelines on iterators, on many contexts and on labelled rows; and what type checkers know of them."""

from __future__ import annotations

import ast
import dataclasses
import itertools
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import textxfer
from tests.trained import questions, reviews, topics
from tests.unit.serving.conftest import TEXTS, close
from textxfer.errors import DataError, TextxferError
from textxfer.serving import _inputs

PAIRS = [{name: row[name] for name in ("question", "context")} for row in questions()]


class Counted:
    """Texts without an end; `taken` says how many were asked for."""

    def __init__(self) -> None:
        self.taken = 0

    def __iter__(self) -> Iterator[str]:
        for text in itertools.cycle(TEXTS):
            self.taken += 1
            yield text


# --- streams


@pytest.mark.parametrize("options", [{}, {"top_k": None}, {"top_k": "set"}, {"min_confidence": 0.9}])
def test_a_generator_gives_what_a_list_gives_one_by_one(options: dict[str, Any], classify: Any) -> None:
    stream = classify((text for text in TEXTS), **options)
    assert isinstance(stream, Iterator)
    assert close(list(stream), classify(TEXTS, **options))


def test_questions_stream_too(answer: Any) -> None:
    stream = answer(iter(PAIRS))
    assert isinstance(stream, Iterator)
    assert close(list(stream), answer(PAIRS))


def test_an_open_file_is_a_stream(classify: Any, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("rude\na delight\n")
    with (tmp_path / "texts.txt").open() as file:
        assert close(list(classify(file)), classify(["rude\n", "a delight\n"]))


def test_a_stream_reads_ahead_so_far_only(classify: Any) -> None:
    texts = Counted()
    stream = classify(iter(texts))
    assert texts.taken == 0, "nothing is read before a result is asked for"
    first = next(stream)
    assert close([first], classify(TEXTS[:1]))
    assert texts.taken == _inputs.MOST_ROWS
    for _ in range(_inputs.MOST_ROWS):
        next(stream)
    assert texts.taken == 2 * _inputs.MOST_ROWS


def test_long_texts_are_read_ahead_by_their_size(classify: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_inputs, "MOST_CHARACTERS", 100)
    texts = Counted()
    next(classify("rude " * 10 for _ in texts))
    assert texts.taken == 2


def test_wrong_options_are_told_before_the_stream_is_read(classify: Any) -> None:
    with pytest.raises(ValueError, match="top_k must be"):
        classify(iter(TEXTS), top_k=0)


def test_what_stops_a_stream_comes_after_the_results_before_it(classify: Any) -> None:
    def broken() -> Iterator[Any]:
        yield from TEXTS[:3]
        raise OSError("the tape tore")

    for texts, kind, message in (
        (broken(), OSError, "the tape tore"),
        (iter([*TEXTS[:3], 5, "more"]), DataError, "input 3 must be a str"),
        (iter([*TEXTS[:3], {"text": "a", "text_pair": "b"}]), DataError, "some inputs have a text_pair and some"),
    ):
        found = []
        with pytest.raises(kind, match=message):
            found.extend(classify(texts))
        stream = classify(iter(TEXTS[:3]))
        assert close(found or list(stream), list(classify(TEXTS[:3])))


def test_results_before_a_mistake_are_given(classify: Any) -> None:
    stream = classify(iter(["rude", None]))
    assert close([next(stream)], classify(["rude"]))
    with pytest.raises(DataError, match="input 1 must be"):
        next(stream)


def test_threads_share_one_pipeline(classify: Any, answer: Any) -> None:
    texts = [f"{text} {number}" for number in range(12) for text in TEXTS]
    alone, answers = classify(texts), answer(PAIRS)
    gate = threading.Barrier(8)

    def ask(number: int) -> bool:
        gate.wait()
        if number % 2:
            return close(answer(PAIRS), answers)
        return close(list(classify(iter(texts))) if number % 4 else classify(texts), alone)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(8)))


# --- many contexts


def test_many_contexts_are_ranked(answer: Any) -> None:
    question = PAIRS[0]["question"]
    contexts = [*dict.fromkeys(row["context"] for row in PAIRS), ""]
    found = answer(question=question, contexts=iter(contexts))
    assert sorted(each["context"] for each in found) == list(range(len(contexts)))
    for each in found:
        context = contexts[each["context"]]
        assert context[each["start"] : each["end"]] == each["answer"]
        alone = answer(question=question, context=context)
        assert close([{name: each[name] for name in alone}], [alone])
    answered = [each["score"] for each in found if each["answer"]]
    assert answered == sorted(answered, reverse=True)
    assert answered
    assert [bool(each["answer"]) for each in found] == [True] * len(answered) + [False] * (len(found) - len(answered))
    assert found[-1]["answer"] == ""
    assert answer(question=question, contexts=[]) == []


def test_contexts_that_are_none(answer: Any) -> None:
    with pytest.raises(DataError, match="contexts must be many texts, not 'one'; context= takes one"):
        answer(question="what?", contexts="one")
    with pytest.raises(DataError, match="input 1 must be"):
        answer(question="what?", contexts=["one", None])
    with pytest.raises(TypeError, match=r"call with question= and context= \(or contexts=\)"):
        answer(question="what?", context="one", contexts=["two"])


# --- labelled rows


def test_a_dataset_can_be_given_and_judged(classify: Any, trained: Any) -> None:
    import datasets

    rows = datasets.Dataset.from_list(reviews())
    found = classify(rows)
    assert close(found, classify(rows["text"][:]))
    judged = classify.evaluate(rows)
    right = sum(each["label"] == label for each, label in zip(found, rows["label"][:], strict=True))
    assert judged.scores["accuracy"] == pytest.approx(right / len(rows))
    assert judged.metrics["num_examples"] == {"test": len(rows)}
    assert [each["prediction"] for each in judged.records] == [each["label"] for each in found]
    named = rows.cast_column("label", datasets.ClassLabel(names=["good", "bad"]))
    assert classify.evaluate(named).scores == judged.scores
    other = rows.rename_columns({"text": "review", "label": "stars"})
    assert classify.evaluate(other, columns={"text": "review", "label": "stars"}).scores == judged.scores
    assert set(classify.evaluate(rows, metrics=["matthews"]).scores) >= {"matthews"}


def test_pairs_and_questions_are_judged(tags: Any, answer: Any) -> None:
    pairs = [row | {"label": "|".join(row["label"])} for row in topics()]
    judged = tags.evaluate(pairs, label_delimiter="|")
    sets = [{each["label"] for each in one} for one in tags(pairs, top_k="set")]
    right = sum(one == set(row["label"]) for one, row in zip(sets, topics(), strict=True))
    assert judged.scores["accuracy"] == pytest.approx(right / len(pairs))
    assert 0 <= answer.evaluate(questions()).scores["exact_match"] <= 1


def test_any_backend_is_judged(trained: Any) -> None:
    class Other:
        """A backend that is not torch's own."""

        def __init__(self, backend: Any) -> None:
            self.batch_tokens = backend.batch_tokens
            self.reduced = backend.reduced

    for task, rows in (("sentiment", reviews()), ("question_answering", questions())):
        pipe = textxfer.pipeline(trained("bert", task))
        expected = dict(pipe.evaluate(rows).scores)
        expected.pop("loss", None)
        pipe._engine = dataclasses.replace(pipe._engine, backend=Other(pipe._engine.backend))  # type: ignore[arg-type]
        found = dict(pipe.evaluate(rows).scores)
        found.pop("loss", None)
        assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "rows: has no rows"),
        (5, "rows: must be a list of dicts, a pandas DataFrame or a datasets.Dataset, not int"),
        ([{"txt": "x", "label": "good"}], "rows: has unknown column `text`; did you mean `txt`"),
        ([{"text": "x"}], r"say columns=\{'label': ...\}"),
        ([{"text": "x", "label": "goood"}], "did you mean `good`"),
    ],
)
def test_rows_that_cannot_be_judged(rows: Any, message: str, classify: Any) -> None:
    with pytest.raises(DataError, match=message):
        classify.evaluate(rows)


def test_what_is_wrong_is_told_in_the_words_of_python(tags: Any) -> None:
    with pytest.raises(DataError, match=r"\('food\|view'\); say `label_delimiter`"):
        tags.evaluate([row | {"label": "food|view"} for row in topics()])
    with pytest.raises(DataError, match=r"trained on pairs of texts; say columns=\{'text_pair': ...\}"):
        tags.evaluate([{"text": "x", "label": ["food"]}])
    with pytest.raises(DataError, match=r"every label is missing .* use another split as `rows`"):
        tags.evaluate([row | {"label": None} for row in topics()])


# --- how models are opened


@pytest.mark.parametrize("device", ["foo", "cuda:99", ""])
def test_a_device_that_is_not_there_is_told(device: str, trained: Any) -> None:
    with pytest.raises(TextxferError) as error:
        textxfer.pipeline(trained("bert"), device=device)
    assert str(error.value).startswith(f"device {device}: cannot be used here: ")


# --- types


def test_type_checkers_see_every_public_name() -> None:
    tree = ast.parse(Path(textxfer.__file__).read_text(encoding="utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    homes = {
        alias.asname: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name == alias.asname
    }
    assert homes == {name: f"textxfer.{home}" for name, home in textxfer._HOMES.items()}


@pytest.mark.slow
def test_results_have_types(tmp_path: Path) -> None:
    mypy = pytest.importorskip("mypy.api")
    code = """
        from typing import Iterator, assert_type
        from textxfer import pipeline
        from textxfer.serving.question_answerer import Answer, QuestionAnswerer, RankedAnswer
        from textxfer.serving.text_classifier import Scored, TextClassifier
        found = pipeline("runs/sentiment", device="cpu", batch_tokens=512)
        assert_type(found, TextClassifier | QuestionAnswerer)
        texts = ["a", "b"]
        if isinstance(found, TextClassifier):
            assert_type(found("a"), list[Scored])
            assert_type(found("a", top_k=None), list[Scored])
            assert_type(found(texts), list[Scored])
            assert_type(found(texts, min_confidence=0.5), list[Scored])
            assert_type(found(texts, top_k=3), list[list[Scored]])
            assert_type(found(texts, coverage=0.9), list[list[Scored]])
            assert_type(found(iter(texts)), Iterator[Scored])
            assert_type(found(iter(texts), "set"), Iterator[list[Scored]])
            found(5)  # refused
        else:
            asked = {"question": "a", "context": "b"}
            assert_type(found(asked), Answer)
            assert_type(found([asked]), list[Answer])
            assert_type(found(iter([asked])), Iterator[Answer])
            assert_type(found(question="a", context="b"), Answer)
            assert_type(found(question="a", contexts=["b"]), list[RankedAnswer])
            found(question="a")  # refused
    """
    (tmp_path / "user.py").write_text(textwrap.dedent(code))
    out, _, _ = mypy.run(["--no-incremental", "--follow-imports=silent", "--ignore-missing-imports", str(tmp_path)])
    refused = [line for line in out.splitlines() if "error:" in line]
    assert len(refused) == 2, out
    assert all("No overload variant" in line for line in refused), out
