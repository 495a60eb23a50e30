"""Exported models: the same predictions as in torch, by the same options, without torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import textxfer
from tests.trained import questions
from tests.unit.serving.conftest import TEXTS, close
from textxfer.data.encode import encode_texts, encode_windows
from textxfer.data.tokenizer import PlainTokenizer
from textxfer.errors import CheckpointError, MissingExtra, TextxferError
from textxfer.modeling.checkpoint import open_checkpoint
from textxfer.records import Encoded
from textxfer.serving.onnx_backend import noted_tokenizer

SLOW = [pytest.param(family, marks=pytest.mark.slow) for family in ("gpt2", "t5")]

# --- the same predictions


@pytest.mark.parametrize("family", ["bert", *SLOW])
def test_labels_are_those_of_torch(family: str, exported: Any, varied: Any) -> None:
    texts = [*TEXTS, "the soup came cold and the waiter was rude " * 40]
    ours, theirs = textxfer.pipeline(exported(family), backend="onnx"), textxfer.pipeline(varied(family))
    assert close(ours(texts, top_k=None), theirs(texts, top_k=None))
    assert close(ours(texts), theirs(texts))
    assert len({round(each["score"], 3) for each in ours(texts)}) > 4, "a model that says one thing proves nothing"
    assert close(ours("rude"), theirs("rude"))
    assert [each["label"] for each in ours(texts, min_confidence=1)] == [None] * len(texts)


@pytest.mark.parametrize("family", ["bert", *SLOW])
def test_answers_are_those_of_torch(family: str, exported: Any, varied: Any) -> None:
    ours = textxfer.pipeline(exported(family, "question_answering"), backend="onnx")
    theirs = textxfer.pipeline(varied(family, "question_answering"))
    long = {"question": "when opens the library?", "context": "the library opens at nine on weekdays. " * 30}
    rows = [{key: row[key] for key in ("question", "context")} for row in questions()]
    rows += [long, {"question": "", "context": ""}]
    assert close(ours(rows), theirs(rows))


@pytest.mark.slow
def test_label_sets_of_pairs_are_those_of_torch(exported: Any, varied: Any) -> None:
    pairs = [{"text": text, "text_pair": "the cast was fine"} for text in TEXTS]
    ours = textxfer.pipeline(exported("bert", "topic"), backend="onnx")
    theirs = textxfer.pipeline(varied("bert", "topic"))
    for top_k in (1, None, "set"):
        assert close(ours(pairs, top_k=top_k), theirs(pairs, top_k=top_k))
    assert ours._engine.pairs is theirs._engine.pairs is True


def test_batches_do_not_change_predictions(exported: Any) -> None:
    whole = textxfer.pipeline(exported(), backend="onnx")(TEXTS)
    for batch_tokens in (1, 40):
        assert close(textxfer.pipeline(exported(), backend="onnx", batch_tokens=batch_tokens)(TEXTS), whole)


def edited(folder: Path, place: Path, **changes: Any) -> Path:
    """Copies an exported model with changes to what textxfer noted in it."""
    shutil.copytree(folder, place)
    config = json.loads((place / "config.json").read_text())
    config["textxfer"] |= changes
    (place / "config.json").write_text(json.dumps(config))
    return place


def test_label_sets_at_a_coverage(exported: Any, tmp_path: Path) -> None:
    noted = {"rows": 400, "least_probability": {"0.5": 0.9, "0.95": 0.0}}
    classify = textxfer.pipeline(edited(exported(), tmp_path / "x", conformal=noted), backend="onnx")
    assert all(len(each) == 2 for each in classify(TEXTS, coverage=0.95))
    with pytest.raises(CheckpointError, match="this model has nothing to make label sets from"):
        textxfer.pipeline(exported(), backend="onnx")(TEXTS, coverage=0.95)


def test_noted_settings_are_used(exported: Any, tmp_path: Path) -> None:
    long, short = TEXTS[2], " ".join(TEXTS[2].split()[:3])
    classify = textxfer.pipeline(edited(exported(), tmp_path / "x", max_length=5), backend="onnx")
    assert close(classify(long), classify(short))
    assert not close(textxfer.pipeline(exported(), backend="onnx")(long), classify(long))


# --- without torch

FRESH = """
import json, sys, textxfer
rows = json.loads(sys.argv[2])
found = textxfer.pipeline(sys.argv[1], backend="onnx")(rows)
heavy = {"torch", "transformers", "datasets", "accelerate", "sklearn", "scipy", "pandas", "pyarrow"} & set(sys.modules)
print(json.dumps({"found": found, "heavy": sorted(heavy)}))
"""


@pytest.mark.parametrize("task", ["sentiment", "question_answering"])
def test_nothing_heavy_is_imported_and_nothing_printed(task: str, exported: Any, varied: Any) -> None:
    rows: Any = TEXTS
    if task == "question_answering":
        rows = [{key: row[key] for key in ("question", "context")} for row in questions()]
    command = [sys.executable, "-c", FRESH, str(exported("bert", task)), json.dumps(rows)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert told["heavy"] == []
    assert close(told["found"], textxfer.pipeline(varied("bert", task))(rows))


SERVED = """
import json, sys, textxfer
from fastapi.testclient import TestClient
from textxfer.serving._limits import Limits
from textxfer.serving.app import create_app
pipe = textxfer.pipeline(sys.argv[1], backend="onnx")
with TestClient(create_app(pipe, name="x", limits=Limits(), token=None, batch_texts=8)) as client:
    found = client.post("/predict", json={"texts": ["rude", "a delight"]}).json()["predictions"]
heavy = {"torch", "transformers", "datasets"} & set(sys.modules)
print(json.dumps({"found": found, "heavy": sorted(heavy)}))
"""


def test_server_needs_no_torch_either(exported: Any) -> None:
    command = [sys.executable, "-c", SERVED, str(exported())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["heavy"] == []
    found = [each["labels"][0] for each in told["found"]]
    assert close(found, textxfer.pipeline(exported(), backend="onnx")(["rude", "a delight"]))


# --- the same tokens

FAMILIES = ("bert", "gpt2", "t5")
ODD = [
    "[SEP]",
    "</s>",
    "<|endoftext|>",
    "<pad>",
    "[UNK]",
    "é",
    "e\u0301",
    "🎬",
    "日本語",
    "\u200b",
    "\x00",
    "\u00a0",
    "½",
]
texts = st.one_of(
    st.text(max_size=40),
    st.lists(st.sampled_from(["the", "film", "library", "rude.", *ODD]), max_size=30).map(" ".join),
)


@pytest.fixture(scope="session")
def both(checkpoints: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Any]]:
    """The tokenizer of each family as transformers opens it, and from its file alone."""
    import tokenizers

    made = {}
    for family in FAMILIES:
        theirs = open_checkpoint(str(checkpoints(family))).tokenizer
        path = tmp_path_factory.mktemp("tokenizers") / "tokenizer.json"
        theirs.backend_tokenizer.save(str(path))
        noted = json.loads(json.dumps(noted_tokenizer(PlainTokenizer.of(theirs))))
        backend = tokenizers.Tokenizer.from_file(str(path))
        special = tuple(noted["special"])
        made[family] = theirs, PlainTokenizer(backend, noted["pad"], noted["unknown"], special, noted["segments"])
    return made


def same(one: Encoded, other: Encoded) -> None:
    for name in ("input_ids", "offsets", "rows", "token_type_ids", "spans"):
        first, second = getattr(one, name), getattr(other, name)
        assert (first is None) == (second is None), name
        assert first is None or np.array_equal(first, second), name
    assert one.truncated == other.truncated


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(texts, texts), min_size=1, max_size=4), length=st.integers(6, 24), pair=st.booleans())
def test_texts_and_pairs_get_the_tokens_of_transformers(both, family, rows, length, pair) -> None:
    theirs, ours = both[family]
    first = [row[0] for row in rows]
    second = [row[1] for row in rows] if pair else None
    found = encode_texts(ours, first, second, max_length=length)
    same(found, encode_texts(theirs, first, second, max_length=length))
    stock = theirs(first, second, truncation=True, max_length=length, split_special_tokens=True)
    for row, expected in enumerate(stock["input_ids"]):
        own = np.array([each is not None for each in stock.encodings[row].sequence_ids], dtype=bool)
        ids = np.array(expected or [theirs.pad_token_id])
        if theirs.unk_token_id is not None and len(own) == len(ids):  # special tokens in texts are no special tokens
            ids[own & np.isin(ids, theirs.all_special_ids)] = theirs.unk_token_id
        assert found.input_ids[found.offsets[row] : found.offsets[row + 1]].tolist() == ids.tolist()


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(texts, texts), min_size=1, max_size=3), stride=st.integers(0, 6))
def test_windows_are_those_of_transformers(both, family, rows, stride) -> None:
    theirs, ours = both[family]
    questions, contexts = ["when?"] * len(rows), [" ".join(row) for row in rows]
    found = encode_windows(ours, questions, contexts, max_length=24, stride=stride)
    same(found, encode_windows(theirs, questions, contexts, max_length=24, stride=stride))
    options = {"truncation": "only_second", "return_overflowing_tokens": True, "return_offsets_mapping": True}
    stock = theirs(questions, contexts, max_length=24, stride=stride, split_special_tokens=True, **options)
    assert found.rows.tolist() == stock["overflow_to_sample_mapping"]
    assert found.lengths.tolist() == list(map(len, stock["input_ids"]))
    spans = [
        span if which == 1 else (-1, -1)
        for encoding in stock.encodings
        for span, which in zip(encoding.offsets, encoding.sequence_ids, strict=True)
    ]
    assert list(map(tuple, found.spans.tolist())) == spans
    long = [row[0] + " when" * 30 for row in rows]
    same(
        encode_windows(ours, long, contexts, max_length=24, stride=stride),
        encode_windows(theirs, long, contexts, max_length=24, stride=stride),
    )


# --- mistakes


def test_model_that_was_not_exported(trained: Any, tmp_path: Path) -> None:
    folder = trained()
    with pytest.raises(CheckpointError) as error:
        textxfer.pipeline(folder, backend="onnx")
    assert str(error.value) == f"{folder}: has no model.onnx; make it by `textxfer export {folder} --onnx`"
    with pytest.raises(CheckpointError, match="there is no such folder; backend='onnx' takes what `textxfer export`"):
        textxfer.pipeline(tmp_path / "none", backend="onnx")


def test_exported_model_without_the_backend_named(exported: Any) -> None:
    with pytest.raises(CheckpointError, match=r"holds an exported model; say backend='onnx'"):
        textxfer.pipeline(exported())


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("model.onnx", b"no graph", "its model.onnx cannot be loaded: "),
        ("model.onnx", None, "its model.onnx cannot be loaded: "),
        ("tokenizer.json", b"{}", "its tokenizer.json cannot be loaded: "),
        ("config.json", b"[", "its config.json cannot be read: "),
        ("config.json", b"{}", "its config.json does not say how to use it"),
        ("config.json", b'{"textxfer": {"task": "sentiment"}}', "`textxfer` in its config.json is not understood"),
        ("config.json", b'{"textxfer": {"task": "stance"}}', "was trained for a task that is not here"),
        ("config.json", b'{"textxfer": {}, "id2label": ["a"]}', "`id2label` in its config.json names no labels by "),
    ],
)
def test_damaged_files(file: str, content: bytes | None, message: str, exported: Any, tmp_path: Path) -> None:
    folder = tmp_path / "x"
    shutil.copytree(exported(), folder)
    whole = (folder / file).read_bytes()
    (folder / file).write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(CheckpointError) as error:
        textxfer.pipeline(folder, backend="onnx")
    assert str(error.value).startswith(f"{folder}: {message}")
    assert "\n" not in str(error.value)


def test_graph_of_another_task(exported: Any, tmp_path: Path) -> None:
    folder = edited(exported(), tmp_path / "x")
    shutil.copy(exported("bert", "question_answering") / "model.onnx", folder / "model.onnx")
    with pytest.raises(CheckpointError, match=r"its model\.onnx gives start_logits, end_logits, not logits"):
        textxfer.pipeline(folder, backend="onnx")


def test_labels_that_the_graph_does_not_have(exported: Any, tmp_path: Path) -> None:
    folder = edited(exported(), tmp_path / "x")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"id2label": {"0": "a", "1": "b", "2": "c"}}))
    with pytest.raises(CheckpointError, match=r"its model\.onnx has 2 labels, and its config\.json names 3"):
        textxfer.pipeline(folder, backend="onnx")


def test_options_that_go_with_torch_only(exported: Any) -> None:
    with pytest.raises(ValueError, match="precision is for backend='torch'"):
        textxfer.pipeline(exported(), backend="onnx", precision="auto")
    with pytest.raises(CheckpointError, match="a revision is for the Hub"):
        textxfer.pipeline(exported(), backend="onnx", revision="main")
    with pytest.raises(ValueError, match="backend must be 'torch' or 'onnx', not 'jax'"):
        textxfer.pipeline(exported(), backend="jax")  # type: ignore[arg-type]
    with pytest.raises(TextxferError, match="device mps: ONNX Runtime cannot use it here"):
        textxfer.pipeline(exported(), backend="onnx", device="mps")


def test_device_is_the_one_that_was_asked_for(exported: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    folder, cuda = exported(), "CUDAExecutionProvider"
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [cuda, "CPUExecutionProvider"])
    asked: list[Any] = []

    class OnCpu:
        def __init__(self, path: str, options: Any, providers: list[Any]) -> None:
            asked.extend(providers)

        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

    monkeypatch.setattr(onnxruntime, "InferenceSession", OnCpu)
    for device in ("cuda", "cuda:1", "cuda:x"):
        with pytest.raises(TextxferError, match=f"device {device}: ONNX Runtime cannot use it here"):
            textxfer.pipeline(folder, backend="onnx", device=device)
    assert asked == [(cuda, {}), (cuda, {"device_id": "1"})]


def test_runtime_that_is_not_installed(exported: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra) as error:
        textxfer.pipeline(exported(), backend="onnx")
    assert str(error.value) == "backend='onnx' needs onnxruntime: pip install 'textxfer[onnx]'"
