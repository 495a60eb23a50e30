"""`textxfer.pipeline`: texts and questions in, labels and answers out."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import textxfer
from tests.trained import questions, train
from textxfer.errors import CheckpointError, DataError

FAMILIES = ("bert", "roberta", "gpt2", "t5")
TEXTS = [
    "the film was a delight",
    "",
    "the soup came cold " * 9,
    "rude",
    "   ",
    "\n",
    "the view [SEP] </s> <|endoftext|> x",
]


@pytest.fixture(scope="module")
def classify(trained: Any) -> Any:
    return textxfer.pipeline(trained("bert"))


@pytest.fixture(scope="module")
def tags(trained: Any) -> Any:
    return textxfer.pipeline(trained("bert", "topic"))


@pytest.fixture(scope="module")
def answer(trained: Any) -> Any:
    return textxfer.pipeline(trained("bert", "question_answering"))


def close(first: Any, second: Any) -> bool:
    """Says whether two lists of results are equal, scores to 1e-5."""
    if isinstance(first, list):
        return len(first) == len(second) and all(close(a, b) for a, b in zip(first, second, strict=True))
    score = abs(first["score"] - second["score"]) < 1e-5
    return score and all(first[key] == second[key] for key in first if key != "score")


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
    with pytest.raises(ValueError, match="top_k must be a whole number from 1 on, or None for all labels, not "):
        classify("x", top_k=top_k)


@pytest.mark.parametrize("nothing", [[], (), iter(())])
def test_no_texts_give_no_results(nothing: Any, classify: Any, answer: Any) -> None:
    assert classify(nothing) == []
    assert answer(nothing) == []


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
    assert close(classify(generate()), expected)
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


# --- pairs and sets of labels


def test_pairs(tags: Any) -> None:
    pair = {"text": "we loved the room", "text_pair": "the cast was fine"}
    other = pair | {"text_pair": "the soup came cold"}
    results = tags([pair, other], top_k=None)
    assert close(tags(pair, top_k=None), results[0])
    first, second = ({one["label"]: one["score"] for one in each} for each in results)
    assert first.keys() == {"food", "room", "view"}
    assert any(abs(first[label] - second[label]) > 1e-4 for label in first), "the second text must count"


def test_unknown_names_of_a_pair_are_left_out(tags: Any) -> None:
    pair = {"text": "we loved the room", "text_pair": "the cast was fine"}
    assert close(tags([pair | {"id": 3, "label": None}]), tags([pair]))


def test_label_sets_have_a_probability_for_each_label(tags: Any) -> None:
    shares = [one["score"] for one in tags({"text": "x", "text_pair": "y"}, top_k=None)]
    assert shares == sorted(shares, reverse=True)
    assert abs(sum(shares) - 1) > 1e-3


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
        with pytest.raises(TypeError, match="call with question= and context=, or with a list of such dicts"):
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
    assert close(answer(row | {"id": "x"} for row in rows), alone)
    assert close(answer(rows[::-1]), alone[::-1])


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_one_by_one_equal_answers_together(family: str, trained: Any) -> None:
    answer = textxfer.pipeline(trained(family, "question_answering"), batch_tokens=64)
    rows = questions()
    assert close(answer(rows), [answer(question=row["question"], context=row["context"]) for row in rows])


def test_empty_and_endless_contexts(answer: Any) -> None:
    nothing = {"answer": "", "start": 0, "end": 0}
    for given_ in ({"question": "what?", "context": ""}, {"question": "", "context": ""}):
        assert {key: value for key, value in answer(given_).items() if key != "score"} == nothing
    context = "the library opens at nine and closes at night. " * 2200
    assert len(context) > 100_000
    given_ = answer(question="when opens the library?", context=context)
    assert context[given_["start"] : given_["end"]] == given_["answer"]
    given_ = answer(question="when " * 25_000, context="the library opens at nine")
    assert "the library opens at nine"[given_["start"] : given_["end"]] == given_["answer"]


def test_model_that_never_saw_an_unanswerable_question_always_answers(trained: Any, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained("bert", "question_answering") / "model", tmp_path / "copy"))
    config = json.loads((folder / "config.json").read_text())
    assert config["textxfer"]["unanswerable"] is True
    config["textxfer"]["unanswerable"] = False
    (folder / "config.json").write_text(json.dumps(config))
    assert all(given_["answer"] for given_ in textxfer.pipeline(folder)(questions()))


# --- models


@pytest.mark.parametrize("task", ["sentiment", "question_answering"])
def test_run_folder_and_model_folder_are_the_same(task: str, trained: Any) -> None:
    rows: Any = TEXTS if task == "sentiment" else questions()
    run = trained("bert", task)
    assert close(textxfer.pipeline(run)(rows), textxfer.pipeline(str(run / "model"))(rows))


@pytest.fixture
def stock(checkpoints: Callable[[str], Path], tmp_path: Path) -> Callable[..., Path]:
    """Saves a model that textxfer never saw."""

    def save(family: str, auto_class: str, **options: Any) -> Path:
        import torch
        import transformers

        torch.manual_seed(1)
        folder = tmp_path / f"{family}-{auto_class}"
        model = getattr(transformers, auto_class).from_pretrained(checkpoints(family), **options)
        tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoints(family))
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        model.config.pad_token_id = tokenizer.pad_token_id
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(torch.randn_like(weight) * 0.1)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return save


@pytest.mark.parametrize("kind", [None, "multi_label_classification", "single_label_classification"])
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("family", ["bert", "gpt2", "t5"])
def test_models_of_plain_transformers(family: str, count: int, kind: str | None, stock: Any) -> None:
    import transformers

    if count == 1 and kind == "single_label_classification":
        pytest.skip("one label out of one")
    folder = stock(family, "AutoModelForSequenceClassification", num_labels=count, problem_type=kind)
    texts = ["the film was a delight", "the soup came cold"]
    ours = textxfer.pipeline(folder)(texts, top_k=None)
    assert close(ours, transformers.pipeline("text-classification", model=str(folder))(texts, top_k=None))


def test_answer_model_of_plain_transformers(stock: Any) -> None:
    answer = textxfer.pipeline(stock("roberta", "AutoModelForQuestionAnswering"))
    row = questions()[0]
    given_ = answer(question=row["question"], context=row["context"])
    assert given_["answer"] == row["context"][given_["start"] : given_["end"]] != ""


def test_head_that_gives_a_number_is_refused(stock: Any) -> None:
    folder = stock("bert", "AutoModelForSequenceClassification", num_labels=1, problem_type="regression")
    with pytest.raises(CheckpointError) as error:
        textxfer.pipeline(folder)
    assert str(error.value) == f"{folder}: its head gives a number (regression), and textxfer gives labels"


@pytest.mark.parametrize(
    ("auto_class", "architecture"), [("AutoModel", "BertModel"), ("AutoModelForMaskedLM", "BertForMaskedLM")]
)
def test_models_without_a_head_are_refused(auto_class: str, architecture: str, stock: Any) -> None:
    folder = stock("bert", auto_class)
    with pytest.raises(CheckpointError) as error:
        textxfer.pipeline(folder)
    assert str(error.value) == (
        f"{folder}: has no classification or question answering head; it is a {architecture}; fine-tune it first"
    )


def with_config(folder: Path, place: Path, **changes: Any) -> Path:
    shutil.copytree(folder, place)
    config = json.loads((place / "config.json").read_text()) | changes
    (place / "config.json").write_text(json.dumps(config))
    return place


def test_config_that_promises_a_head_which_the_weights_lack(bert: Path, tmp_path: Path) -> None:
    folder = with_config(bert, tmp_path / "x", architectures=["BertForSequenceClassification"])
    with pytest.raises(CheckpointError) as error:
        textxfer.pipeline(folder)
    expected = f"{folder}: is not trained for a task: its weights lack classifier.bias, classifier.weight"
    assert str(error.value) == expected


def test_config_without_architectures(trained: Any, tmp_path: Path, bert: Path) -> None:
    folder = with_config(bert, tmp_path / "x", architectures=None)
    with pytest.raises(CheckpointError, match="its config.json names no architecture; fine-tune it first"):
        textxfer.pipeline(folder)


@pytest.mark.parametrize(
    ("noted", "message"),
    [
        (
            {"task": "stance", "max_length": 8},
            "was trained for a task that is not here (a plugin's? import it first): ",
        ),
        ({"max_length": 8}, "was trained for a task that is not here"),
        ({"task": "sentiment", "thresholds": [0.5]}, "`textxfer` in its config.json is not understood; of a newer "),
    ],
)
def test_settings_that_this_version_does_not_know(noted: Any, message: str, trained: Any, tmp_path: Path) -> None:
    folder = with_config(trained("bert") / "model", tmp_path / "x", textxfer=noted)
    with pytest.raises(CheckpointError) as error:
        textxfer.pipeline(folder)
    assert str(error.value).startswith(f"{folder}: {message}")


def test_nothing_there_and_nothing_finished(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no such folder"):
        textxfer.pipeline(tmp_path / "none")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").touch()
    with pytest.raises(CheckpointError, match="is a run that has not finished; it has no model yet"):
        textxfer.pipeline(tmp_path / "run")


# --- options


def test_precision(trained: Any, classify: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from textxfer.serving import engine

    with pytest.raises(ValueError, match="precision must be 'fp32' or 'auto', not 'bf16'"):
        textxfer.pipeline(trained("bert"), precision="bf16")  # type: ignore[arg-type]
    monkeypatch.setattr(engine, "has_fast_bf16", lambda kind: True)
    exact, rough = classify(TEXTS), textxfer.pipeline(trained("bert"), precision="auto", device="cpu")(TEXTS)
    differences = [abs(one["score"] - other["score"]) for one, other in zip(exact, rough, strict=True)]
    assert 0 < max(differences) < 0.02
    monkeypatch.setattr(engine, "has_fast_bf16", lambda kind: False)
    assert textxfer.pipeline(trained("bert"), precision="auto", device="cpu")(TEXTS) == exact


def test_device_and_batch_size_are_used(trained: Any) -> None:
    classify = textxfer.pipeline(trained("bert"), device="cpu", batch_tokens=40)
    sizes: list[tuple[int, int]] = []
    model = classify._engine.model  # type: ignore[union-attr]
    model.register_forward_pre_hook(
        lambda _, __, inputs: sizes.append(tuple(inputs["input_ids"].shape)), with_kwargs=True
    )
    classify(["rude"] * 20)
    assert len(sizes) > 1
    assert all(rows * tokens <= 40 for rows, tokens in sizes)
    assert next(model.parameters()).device.type == "cpu"


def test_threads_get_the_answers_to_their_own_questions(trained: Any) -> None:
    classify = textxfer.pipeline(trained("bert"))
    texts = [f"{text} {'so ' * number}" for number in range(8) for text in TEXTS]
    expected = [classify(text) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(classify, texts))
    assert all(close(one, other) for one, other in zip(results, expected, strict=True))


def test_nothing_heavy_is_imported_before_a_model_is_loaded() -> None:
    code = (
        "import sys, textxfer; textxfer.pipeline; "
        "heavy = {'torch', 'transformers', 'datasets', 'sklearn', 'accelerate'} & set(sys.modules); sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


QUIET = """
import sys, textxfer
classify = textxfer.pipeline(sys.argv[1])
classify(["a text"] * 3)
unused = {"sklearn", "evaluate", "transformers.pipelines", "pandas.io.formats.style"} & set(sys.modules)
sys.exit(f"imported for nothing: {unused}" if unused else 0)
"""


def test_loading_and_predicting_print_nothing(trained: Any) -> None:
    command = [sys.executable, "-c", QUIET, str(trained("gpt2"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# --- starting from a model that was fine-tuned before


def test_same_labels_in_any_order_start_from_the_same_predictions(trained: Any, tmp_path: Path) -> None:
    before = trained("bert")
    again = train(
        before / "model",
        "sentiment",
        tmp_path,
        task={"name": "sentiment", "max_length": 32, "labels": ["good", "bad"]},
        train={"epochs": 1, "batch_size": 8, "learning_rate": 1e-12, "weight_decay": 0.0, "precision": "fp32"},
    )
    assert textxfer.pipeline(again).labels == ("bad", "good")
    assert close(textxfer.pipeline(again)(TEXTS, top_k=None), textxfer.pipeline(before)(TEXTS, top_k=None))


def test_longer_texts_than_the_run_before(trained: Any, tmp_path: Path) -> None:
    again = train(trained("bert"), "sentiment", tmp_path, task={"name": "sentiment", "max_length": 60})
    settings = json.loads((again / "model" / "config.json").read_text())["textxfer"]
    assert settings["max_length"] == 60
    assert json.loads((again / "model" / "tokenizer_config.json").read_text())["model_max_length"] == 60


@pytest.mark.parametrize("second", ["sentiment", "topic", "question_answering"])
@pytest.mark.parametrize("first", ["sentiment", "topic", "question_answering"])
def test_any_task_starts_from_any_other(first: str, second: str, trained: Any, tmp_path: Path) -> None:
    again = train(trained("bert", first), second, tmp_path)
    pipeline = textxfer.pipeline(again)
    if second == "question_answering":
        assert len(pipeline(questions())) == 20
    elif second == "topic":
        assert pipeline.labels == ("food", "room", "view")  # type: ignore[union-attr]
        assert len(pipeline({"text": "x", "text_pair": "y"}, top_k=None)) == 3  # type: ignore[call-arg]
    else:
        assert pipeline.labels == ("bad", "good")  # type: ignore[union-attr]
    config = json.loads((again / "model" / "config.json").read_text())
    assert config["textxfer"]["task"] == second
    assert set(config["textxfer"]) <= {
        "task", "max_length", "multi_label", "stride", "max_answer_length", "unanswerable",
    }  # fmt: skip
