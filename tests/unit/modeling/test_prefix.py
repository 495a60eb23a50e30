"""The suffix of a frozen model, fed with stored states, gives what the whole model gives."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import tiny
from textxfer.data.batching import collate
from textxfer.data.encode import encode_texts
from textxfer.labels import LabelSet
from textxfer.modeling.build import build
from textxfer.modeling.checkpoint import open_checkpoint
from textxfer.modeling.freezing import Frozen, freeze
from textxfer.modeling.prefix import Prefix, Suffix, find_prefix
from textxfer.modeling.prefix_cache import CannotStore, PrefixCache, Stored, bytes_needed
from textxfer.records import Batch, Encoded

CACHED = tuple(family for family in tiny.FAMILIES if family != "deberta-v2")
HEADS = {"labels": "AutoModelForSequenceClassification", "answers": "AutoModelForQuestionAnswering"}
TEXTS = ["the film was a delight", "no", "the library opens at nine and closes", "", "dull </s> story"]


class Case:
    """A frozen model, some examples, and how to batch them."""

    def __init__(self, folder: Path, head: str = "labels", layers: Any = 1) -> None:
        checkpoint = open_checkpoint(str(folder))
        labels = LabelSet(("a", "b", "c")) if head == "labels" else None
        self.model: Any = build(checkpoint, HEADS[head], labels).model.eval()
        self.frozen: Frozen = freeze(self.model, layers)
        self.prefix = find_prefix(self.model, self.frozen)
        self.encoded = encode_texts(checkpoint.tokenizer, TEXTS, max_length=32)
        self.pad = checkpoint.tokenizer.pad_token_id

    def batch(self, encoded: Encoded, indices: np.ndarray) -> Batch:
        return collate(encoded, indices, pad_token_id=self.pad)

    def batches(self, encoded: Encoded) -> Iterator[Batch]:
        for part in (np.array([3, 0, 4]), np.array([2, 1])):
            yield self.batch(encoded, part)

    def cache(self, folder: Path, **options: Any) -> PrefixCache:
        assert isinstance(self.prefix, Prefix)
        return PrefixCache(self.prefix, torch.float32, **{"memory": 1 << 20, "folder": folder} | options)

    def logits(self, output: Any, batch: Batch) -> torch.Tensor:
        if "logits" in output:
            return output.logits
        both = torch.stack([output.start_logits, output.end_logits])
        return both * batch.attention_mask  # padding is never looked at

    def difference(self, stored: Stored) -> float:
        """Gives the largest difference of logits between the stored and the plain way."""
        assert self.prefix is not None
        suffix = Suffix(self.model, self.prefix).eval()
        order = np.array([2, 0, 1, 4, 3])
        whole, short = self.batch(self.encoded, order), self.batch(stored.encoded, order)
        with torch.inference_mode():
            plain = self.logits(self.model(**whole.inputs()), whole)
            cached = self.logits(suffix(stored.states(short), **short.inputs()), short)
        return float((plain - cached).abs().max())


@pytest.mark.parametrize("layers", [1, 2, "all"])
@pytest.mark.parametrize("head", list(HEADS))
@pytest.mark.parametrize("family", CACHED)
def test_stored_states_give_the_same_logits(
    family: str, head: str, layers: Any, checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    case = Case(checkpoints(family), head, layers)
    stored = case.cache(tmp_path).store(case.encoded, case.batches)
    assert case.difference(stored) < 1e-5


@pytest.mark.parametrize("family", CACHED)
def test_suffix_trains_what_the_model_trains(family: str, checkpoints: Callable[[str], Path]) -> None:
    case = Case(checkpoints(family), layers=1)
    assert case.prefix is not None
    suffix = Suffix(case.model, case.prefix)
    trained = {id(parameter) for parameter in case.model.parameters() if parameter.requires_grad}
    assert {id(parameter) for parameter in suffix.parameters() if parameter.requires_grad} == trained


def test_the_model_is_left_as_it_was(bert: Path) -> None:
    case = Case(bert, layers=1)
    assert case.prefix is not None
    before = dict(case.model.named_modules())
    Suffix(case.model, case.prefix)
    assert dict(case.model.named_modules()) == before


@pytest.mark.parametrize(("layers", "embeddings"), [(0, None), (0, True), (1, False)])
def test_no_prefix_where_something_below_is_trained(layers: int, embeddings: bool | None, bert: Path) -> None:
    case = Case(bert, layers=0)
    assert find_prefix(case.model, freeze(case.model, layers, embeddings)) is None


def test_a_family_that_cannot_be_cut_has_no_prefix(checkpoints: Callable[[str], Path]) -> None:
    assert Case(checkpoints("deberta-v2"), layers=1).prefix is None


def test_whole_frozen_classifier_stores_one_token(bert: Path, tmp_path: Path) -> None:
    case = Case(bert, layers="all")
    stored = case.cache(tmp_path).store(case.encoded, case.batches)
    assert stored.values.shape == (len(TEXTS), 16)
    assert bytes_needed(case.encoded, case.prefix, torch.float32) == len(TEXTS) * 16 * 4  # type: ignore[arg-type]


def test_states_that_do_not_fit_go_to_a_file_of_which_nothing_is_left(bert: Path, tmp_path: Path) -> None:
    case = Case(bert)
    stored = case.cache(tmp_path / "spill", memory=0).store(case.encoded, case.batches)
    assert case.difference(stored) < 1e-5
    assert (tmp_path / "spill").is_dir()
    assert list((tmp_path / "spill").iterdir()) == []


def test_kept_states_are_used_again(bert: Path, tmp_path: Path) -> None:
    case = Case(bert)
    cache = case.cache(tmp_path, keep=tmp_path / "kept")
    cache.store(case.encoded, case.batches)

    def never(_: Encoded) -> Iterator[Batch]:
        raise AssertionError("the states are there already")

    assert case.difference(cache.store(case.encoded, never)) < 1e-5
    assert sorted(file.suffix for file in (tmp_path / "kept").iterdir()) == [".json", ".states"]


@pytest.mark.parametrize("damage", ["cut", "flip", "no manifest", "torn manifest"])
def test_damaged_states_are_computed_anew(damage: str, bert: Path, tmp_path: Path) -> None:
    case = Case(bert)
    cache = case.cache(tmp_path, keep=tmp_path / "kept")
    cache.store(case.encoded, case.batches)
    (file,), (manifest,) = (list((tmp_path / "kept").glob(f"*{ending}")) for ending in (".states", ".json"))
    data = bytearray(file.read_bytes())
    if damage == "cut":
        file.write_bytes(data[:-8])
    elif damage == "flip":
        data[40] ^= 64
        file.write_bytes(data)
    elif damage == "no manifest":
        manifest.unlink()
    else:
        manifest.write_text(manifest.read_text()[:20])
    assert case.difference(cache.store(case.encoded, case.batches)) < 1e-5


def test_other_weights_or_texts_are_other_states(bert: Path, tmp_path: Path) -> None:
    case = Case(bert)
    cache = case.cache(tmp_path, keep=tmp_path / "kept")
    cache.store(case.encoded, case.batches)
    with torch.no_grad():
        case.model.bert.embeddings.word_embeddings.weight.add_(1)
    assert case.difference(cache.store(case.encoded, case.batches)) < 1e-5
    assert len(list((tmp_path / "kept").glob("*.states"))) == 2


def test_no_room_is_said(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    case = Case(bert)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 0))  # type: ignore[attr-defined]
    with pytest.raises(CannotStore, match="has no room"):
        case.cache(tmp_path, memory=0).store(case.encoded, case.batches)


def test_a_place_that_cannot_be_written_is_said(bert: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    case = Case(bert)
    with pytest.raises(CannotStore, match="file"):
        case.cache(tmp_path, keep=tmp_path / "file" / "kept").store(case.encoded, case.batches)


def test_a_full_disk_is_said_and_leaves_nothing(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    case = Case(bert)
    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    for options in ({"memory": 0}, {"keep": tmp_path / "kept"}):
        with pytest.raises(CannotStore, match="No space left on device"):
            case.cache(tmp_path / "spill", **options).store(case.encoded, case.batches)
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def test_a_file_system_that_cannot_map_files_is_said_and_left_clean(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("unable to mmap 80 bytes from file: No such device (19)\nmore")

    case = Case(bert)
    monkeypatch.setattr(torch, "from_file", refuse)
    for options in ({"memory": 0}, {"keep": tmp_path / "kept"}):
        with pytest.raises(CannotStore, match=r"unable to mmap .* No such device \(19\)$"):
            case.cache(tmp_path / "spill", **options).store(case.encoded, case.batches)
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def test_a_budget_below_one_text_goes_to_a_file(bert: Path, tmp_path: Path) -> None:
    case = Case(bert)
    stored = case.cache(tmp_path, memory=1).store(case.encoded, case.batches)
    assert case.difference(stored) < 1e-5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_while_caching_the_next_run_starts_clean(bert: Path, tmp_path: Path) -> None:
    case = Case(bert)
    cache = case.cache(tmp_path, keep=tmp_path / "kept")

    def killed(encoded: Encoded) -> Iterator[Batch]:
        yield next(case.batches(encoded))
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            cache.store(case.encoded, killed)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    (left,) = (tmp_path / "kept").iterdir()
    assert left.name.endswith(f".tmp-{platform.node()}-{child}")
    elsewhere = left.with_name(left.name.replace(platform.node(), "another-machine"))
    elsewhere.touch()  # a run may be at it there
    assert case.difference(cache.store(case.encoded, case.batches)) < 1e-5
    assert elsewhere.exists()
    elsewhere.unlink()
    assert sorted(file.suffix for file in (tmp_path / "kept").iterdir()) == [".json", ".states"]


def test_two_runs_may_share_a_folder(bert: Path, tmp_path: Path) -> None:
    case = Case(bert)
    cache = case.cache(tmp_path, keep=tmp_path / "kept")
    others: list[Stored] = []

    def beside(encoded: Encoded) -> Iterator[Batch]:
        with pytest.MonkeyPatch.context() as patch:  # the other run is another process
            patch.setattr(os, "getpid", lambda: 1)
            others.append(cache.store(encoded, case.batches))
        yield from case.batches(encoded)

    mine = cache.store(case.encoded, beside)
    assert max(case.difference(mine), case.difference(others[0])) < 1e-5
    assert sorted(file.suffix for file in (tmp_path / "kept").iterdir()) == [".json", ".states"]


def test_a_family_that_cannot_be_cut_runs_without_and_says_so(checkpoints: Callable[[str], Path]) -> None:
    from textxfer.training.network import CacheOptions, Network

    case = Case(checkpoints("deberta-v2"))
    network = Network(case.model, case.frozen, {"train": case.encoded}, case.pad)
    accelerator: Any = None  # nothing is computed
    note = network.store(("train",), CacheOptions(), accelerator)
    assert note == "frozen layers are computed anew in each epoch: deberta-v2 models cannot be cut at a layer yet"
    assert network.batch("train", np.array([0]), "cpu").states is None
