"""Texts are gathered once each, and none that judges the task is among them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.adaptation.conftest import domain
from textxfer.adaptation.texts import Texts, collect
from textxfer.errors import DataError
from textxfer.recipe.loading import load_recipe
from textxfer.recipe.sections import Adapt
from textxfer.records import Splits
from textxfer.sources.hub import Hub
from textxfer.training.rows import load_rows


def lines(path: Path, texts: list[str]) -> str:
    path.write_text("\n".join(texts))
    return str(path)


def gathered(*places: str, **settings: Any) -> Texts:
    return collect(Adapt(texts=places, **settings))


@pytest.fixture
def splits_of(recipe: Callable[..., dict[str, Any]]) -> Callable[..., Splits]:
    def make(**splits: list[str]) -> Splits:
        labelled = {
            name: [{"text": text, "label": ("good", "bad")[row % 2]} for row, text in enumerate(texts)]
            for name, texts in splits.items()
        }
        return load_rows(load_recipe(recipe(), rows_given=True), labelled).splits

    return make


@pytest.fixture
def splits(splits_of: Callable[..., Splits]) -> Splits:
    texts = [f"row {number}" for number in range(60)]
    return splits_of(train=texts[:40], validation=texts[40:50], test=texts[50:])


def test_files_folders_and_columns_are_read(tmp_path: Path, write_csv: Any) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    lines(folder / "a.txt", domain(20))
    write_csv(folder / "b.csv", [{"body": f"row {number}", "stars": "5"} for number in range(20)])
    one = lines(tmp_path / "c.txt", [f"line {number}" for number in range(20)])
    found = gathered(str(folder), one, text="body")
    together = {*domain(20), *(f"row {number}" for number in range(20)), *(f"line {number}" for number in range(20))}
    assert {*found.train, *found.held_back} == together
    assert len(found.train) + len(found.held_back) == 60


def test_a_repeated_text_counts_once_and_an_empty_one_never(tmp_path: Path) -> None:
    place = lines(tmp_path / "a.txt", [*domain(40), "", "   ", domain(40)[3].upper(), domain(40)[3] + "  "])
    found = gathered(place)
    assert len(found.train) + len(found.held_back) == 40
    assert found.notes == ("2 repeated texts to adapt to are left out",)


@pytest.mark.parametrize(
    ("count", "share", "expected"), [(80, 0.05, 16), (400, 0.05, 50), (2000, 0.05, 100), (80, 0.5, 40)]
)
def test_enough_texts_are_held_back(tmp_path: Path, count: int, share: float, expected: int) -> None:
    place = lines(tmp_path / "a.txt", domain(count))
    found = gathered(place, held_back=share)
    assert len(found.held_back) == expected
    assert not set(found.held_back) & set(found.train)
    assert gathered(place, held_back=share) == found


def test_the_tasks_own_training_texts(splits: Splits) -> None:
    found = collect(Adapt(texts=("task",)), splits)
    assert {*found.train, *found.held_back} == {f"row {number}" for number in range(40)}


def test_training_texts_that_stand_in_the_test_are_left_out(splits_of: Callable[..., Splits]) -> None:
    texts = [f"row {number}" for number in range(40)]
    splits = splits_of(train=texts, validation=["a", "b"], test=["ROW 3", "row  7"])
    found = collect(Adapt(texts=("task",)), splits)
    assert not {"row 3", "row 7"} & {*found.train, *found.held_back}
    assert found.notes == ("2 texts to adapt to are left out: they stand in validation or test too",)


@pytest.mark.parametrize(("row", "split"), [(45, "validation"), (55, "test")])
def test_texts_that_judge_the_task_are_an_error(tmp_path: Path, splits: Splits, row: int, split: str) -> None:
    place = lines(tmp_path / "a.txt", [*domain(30), f"  ROW {row} "])
    with pytest.raises(DataError) as caught:
        collect(Adapt(texts=(place,)), splits)
    message = f"{place}: one of its texts is in the task's {split} split too (the first is row 31)"
    assert str(caught.value).startswith(message)


def test_the_test_set_itself_is_an_error(tmp_path: Path, splits: Splits) -> None:
    place = lines(tmp_path / "a.txt", [f"row {number}" for number in range(50, 60)] * 3)
    with pytest.raises(DataError, match="30 of its texts are in the task's test split too"):
        collect(Adapt(texts=(place,)), splits)


def test_an_empty_test_row_leaks_nothing(tmp_path: Path, splits_of: Callable[..., Splits]) -> None:
    splits = splits_of(train=[f"row {number}" for number in range(10)], validation=["a", "b"], test=["", " "])
    found = collect(Adapt(texts=(lines(tmp_path / "a.txt", [*domain(30), "", ""]),)), splits)
    assert len(found.train) + len(found.held_back) == 30
    assert found.notes == ()


def test_they_can_be_left_out_instead(tmp_path: Path, splits: Splits) -> None:
    place = lines(tmp_path / "a.txt", [*domain(30), "row 45", "row 55"])
    found = collect(Adapt(texts=(place,), shared="drop"), splits)
    assert {*found.train, *found.held_back} == set(domain(30))
    assert found.notes == ("2 texts to adapt to are left out: they stand in validation or test too",)


def test_every_place_that_is_wrong_is_told(tmp_path: Path, write_csv: Any) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text("")
    (tmp_path / "none").mkdir()
    column = write_csv(tmp_path / "b.csv", [{"txt": "row", "stars": "5"}])
    blank = lines(tmp_path / "blank.txt", ["", "  "] * 30)
    with pytest.raises(DataError, match=r"adapt\.texts: 0 different texts are too few"):
        gathered(blank)
    places = [str(tmp_path / "missing.txt"), str(empty), str(tmp_path / "none"), str(column)]
    with pytest.raises(DataError) as caught:
        gathered(*places)
    assert [line.removeprefix(place)[:35] for line, place in zip(caught.value.lines, places, strict=True)] == [
        ": there is no such file or folder (",
        ": is empty",
        ": has no file that textxfer reads (",
        ": has unknown column `text`; did yo",
    ]
    assert "did you mean `txt`? (there are: txt, stars); say `adapt.text`" in str(caught.value)


def test_a_few_texts_are_too_few(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"adapt\.texts: 19 different texts are too few to adapt to; give 20 at least"):
        gathered(lines(tmp_path / "a.txt", domain(19) * 5))


def test_what_is_no_text_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(f'{{"text": {number}}}' for number in range(30)))
    with pytest.raises(DataError, match=r"a\.jsonl row 1: column `text` holds 0, not text"):
        gathered(str(path))


def test_without_a_task_there_are_no_texts_of_its_own() -> None:
    with pytest.raises(DataError, match="name a recipe"):
        gathered("task")


def test_what_is_not_of_the_hub_is_not_told_in_its_words(splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError) as caught:
        gathered("task")
    assert "either" not in str(caught.value)
    monkeypatch.setattr(Hub, "load", lambda self: splits)
    with pytest.raises(DataError, match="unknown column `body`") as caught:
        gathered("reviews", text="body")
    assert "either" not in str(caught.value)


def test_what_is_no_file_is_looked_for_on_the_hub() -> None:
    with pytest.raises(DataError, match=r"nobody/nothing: .*adapt\.texts"):
        gathered("nobody/nothing")


@pytest.mark.parametrize(
    ("place", "said", "told"),
    [
        ("corpora", "corpora: x Check `dataset.hub` and `dataset.revision`, log in", "x Check `adapt.texts`, log in"),
        ("a/b", "a/b: has no split `train` (there are: test); say `dataset.train`", "name them in `adapt.texts`"),
        ("a/b", "a/b: cannot be loaded: Config name is missing.", "no place for the name of a configuration"),
    ],
)
def test_what_the_hub_says_is_said_of_texts(place: str, said: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(self: Hub) -> None:
        raise DataError(said)

    monkeypatch.setattr(Hub, "load", load)
    with pytest.raises(DataError) as caught:
        gathered(place)
    assert told in str(caught.value)
    assert "dataset." not in str(caught.value)
    assert (f"No file or folder has the name `{place}`" in str(caught.value)) == (place == "corpora")
