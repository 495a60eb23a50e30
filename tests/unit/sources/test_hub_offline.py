"""The Hub source where there is no Hub (conftest sets HF_HUB_OFFLINE=1)."""

from pathlib import Path

import datasets
import pytest

from textxfer.errors import DataError
from textxfer.records import Splits
from textxfer.sources.hub import Hub


def test_offline_names_the_id_and_the_ways_out() -> None:
    with pytest.raises(DataError) as caught:
        Hub("stanfordnlp/sst2", revision="abc").load()
    (line,) = caught.value.lines
    assert line.startswith("stanfordnlp/sst2: the Hub cannot be reached (")
    assert "name downloaded files in `dataset.path`, or run once online" in line


def test_a_folder_is_not_a_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data" / "reviews").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        DataError, match=r"dataset\.hub: data/reviews is a file or folder here; name it in `dataset\.path`"
    ):
        Hub("data/reviews").load()


class Cached(Hub):
    """A Hub data set whose download has happened."""

    def __init__(self, names: list[str], **options: str) -> None:
        super().__init__("user/rows", **options)
        self.names = names

    def _download(self) -> datasets.DatasetDict:
        return datasets.DatasetDict({name: datasets.Dataset.from_dict({"text": [name]}) for name in self.names})


def texts(splits: Splits) -> dict[str, str]:
    return {name: split.rows["text"][0] for name, split in splits.present()}


def test_splits_are_found_by_their_usual_names() -> None:
    splits = Cached(["test", "dev", "train", "unsupervised"]).load()
    assert texts(splits) == {"train": "train", "validation": "dev", "test": "test"}
    assert splits.train.origin == "user/rows[train]"


def test_a_split_that_is_given_another_part_is_not_taken_twice() -> None:
    assert texts(Cached(["train", "validation", "test"], test="validation").load()) == {
        "train": "train",
        "test": "validation",
    }


def test_splits_that_are_not_there() -> None:
    with pytest.raises(DataError, match=r"dataset\.test: user/rows has unknown split `tst`; did you mean `test`\?"):
        Cached(["train", "test"], test="tst").load()
    with pytest.raises(DataError, match=r"user/rows: has no split `train` \(there are: full\); say `dataset\.train`"):
        Cached(["full"]).load()
