"""A folder is whole or not there, and an old one stays until then, whatever goes wrong."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from textxfer.disk import check_place, replace_folder, whole_folder, write_pieces, write_plainly
from textxfer.errors import DataError, OutputError


def full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def old(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "text").write_text("old")
    return tmp_path / "out"


def test_what_is_made_bears_its_name_already_and_takes_its_place(old: Path) -> None:
    with whole_folder(old) as made:
        assert made.name == "out"
        write_plainly(made / "text", ["n", "ew"])
        assert (old / "text").read_text() == "old"
    assert (old / "text").read_text() == "new"
    assert names(old.parent) == ["out"]


def test_folders_above_are_made_and_go_where_it_does_not_come_to_be(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), whole_folder(tmp_path / "a" / "b" / "out"):
        1 / 0  # noqa: B018
    assert names(tmp_path) == []
    with whole_folder(tmp_path / "a" / "b" / "out"):
        pass
    assert names(tmp_path / "a" / "b") == ["out"]


KILLED = """
import os, sys
from pathlib import Path
from textxfer.disk import whole_folder

with whole_folder(Path(sys.argv[1])) as made:
    (made / "half").write_text("")
    os._exit(9)
"""


def test_what_a_killed_process_left_goes_with_the_next(old: Path) -> None:
    for _ in range(2):
        assert subprocess.run([sys.executable, "-c", KILLED, str(old)], capture_output=True, check=False).returncode
        assert names(old.parent) == [".out.new", "out"]
    with whole_folder(old) as made:
        assert names(made) == []
    assert names(old.parent) == ["out"]


def test_every_file_is_flushed_once(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{descriptor}").resolve().name)
        fsync(descriptor)

    if not Path("/proc/self/fd").exists():
        pytest.skip("files that are open have no names there")
    monkeypatch.setattr(os, "fsync", note)
    with whole_folder(old) as made:
        write_plainly(made / "text", ["new"])
        (made / "weights").write_bytes(b"1")
    assert sorted(flushed) == ["out", "text", "weights"]


def by_pieces(folder: Path) -> None:
    write_pieces(folder / "text", ["new"])


def by_opening(folder: Path) -> None:
    (folder / "none" / "text").write_text("new")


def by_safetensors(folder: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(3)}, folder / "none" / "weights")


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (lambda folder: None, "{place}: cannot be written: No space left on device"),
        (by_pieces, "{place}/text: cannot be written: No space left on device"),
        (by_opening, "{place}: cannot be written: No such file or directory"),
        (by_safetensors, "{place}: cannot be written: "),
    ],
)
def test_what_cannot_be_written_is_told_of_the_place(
    write: Callable[[Path], None], told: str, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError) as caught, whole_folder(old) as made:
        write(made)
    assert str(caught.value).startswith(told.format(place=old))
    assert ".out" not in str(caught.value)
    assert (old / "text").read_text() == "old"
    assert names(old.parent) == ["out"]


def test_other_mistakes_stay_what_they_are(old: Path) -> None:
    with pytest.raises(DataError, match=r"^rows\.csv: row 3$"), whole_folder(old):
        raise DataError("rows.csv: row 3")
    assert (old / "text").read_text() == "old"


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()])
@pytest.mark.parametrize("fails", [1, 2])
def test_the_old_folder_stands_again_where_the_new_one_cannot(
    error: BaseException, fails: int, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = old.with_name("new")
    new.mkdir()
    renamed, rename = [], Path.rename

    def failing(self: Path, target: Path) -> Path:
        renamed.append(target)
        if len(renamed) == fails:
            raise error
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(type(error)):
        replace_folder(new, old)
    assert (old / "text").read_text() == "old"
    assert names(old.parent) == ["new", "out"]


def test_a_new_folder_takes_an_empty_place_and_an_old_one_s(tmp_path: Path) -> None:
    new, place = tmp_path / "new", tmp_path / "place"
    for turn in ("first", "second"):
        new.mkdir()
        (new / "turn").write_text(turn)
        replace_folder(new, place)
        assert (place / "turn").read_text() == turn
        assert not new.exists()
    assert [child.name for child in tmp_path.iterdir()] == ["place"]


def test_places_that_no_folder_can_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "work" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work" / "here")
    check_place(Path("a") / "b")
    check_place(tmp_path / "work" / "beside")
    for place in (Path(), Path(".."), tmp_path / "work"):
        with pytest.raises(OutputError) as caught:
            check_place(place)
        assert str(caught.value) == f"{place}: the folder that you work in cannot be replaced; name another with -o"
    with pytest.raises(OutputError, match=r"file/a/b: cannot be written: .*file is not a folder$"):
        check_place(tmp_path / "file" / "a" / "b")
    with monkeypatch.context() as patch:
        patch.setattr(os.path, "ismount", lambda path: Path(path).name == "disk")
        with pytest.raises(OutputError, match="disk: the root of a disk cannot be replaced; name a folder in it"):
            check_place(tmp_path / "disk")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OutputError, match=r"a: cannot be written: .*here does not permit it$"):
        check_place(Path("a"))
