"""Who may begin in a run folder, what is moved aside, and what a full or closed disk does."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from textxfer.errors import OutputError
from textxfer.training.run_folder import RunFolder

RECIPE = {"name": "a", "train": {"epochs": 3}}


def begun(path: Path, recipe: dict[str, Any] = RECIPE, **flags: bool) -> RunFolder:
    """Gives a folder in which a run has begun, unlocked again."""
    folder = RunFolder(path, **flags)
    folder.claim()
    folder.begin(recipe, {"seed": 0})
    folder.release()
    return folder


def finished(path: Path, score: float = 0.5, **flags: bool) -> RunFolder:
    folder = begun(path, **flags)
    folder.finish({"score": score})
    folder.release()
    return folder


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def test_nothing_is_written_before_a_run_claims_the_folder(tmp_path: Path) -> None:
    RunFolder(tmp_path / "runs" / "a")
    assert names(tmp_path) == []


def test_a_new_run_has_its_recipe_and_its_environment(tmp_path: Path) -> None:
    folder = begun(tmp_path / "a")
    assert names(tmp_path / "a") == ["environment.json", "recipe.yaml"]
    assert names(tmp_path) == ["a"]
    assert yaml.safe_load((tmp_path / "a" / "recipe.yaml").read_text()) == RECIPE
    assert folder.read_json("environment.json") == {"seed": 0}


def test_an_empty_folder_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    begun(tmp_path / "a")
    assert (tmp_path / "a" / "recipe.yaml").is_file()


@pytest.mark.parametrize(
    ("make", "state", "go_on"),
    [(begun, "an unfinished", "goes on with it"), (finished, "a finished", "leaves it as it is")],
)
def test_where_there_is_a_run_both_flags_are_named(tmp_path: Path, make: Any, state: str, go_on: str) -> None:
    make(tmp_path / "a")
    with pytest.raises(OutputError) as caught:
        RunFolder(tmp_path / "a")
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'a'}: holds {state} run; --resume {go_on}, --overwrite begins anew")
    assert caught.value.exit_code == 2


def test_both_flags_together_make_no_sense(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="--resume and --overwrite exclude each other"):
        RunFolder(tmp_path / "a", resume=True, overwrite=True)


@pytest.mark.parametrize("flags", [{}, {"resume": True}, {"overwrite": True}])
def test_what_is_no_run_is_never_touched(tmp_path: Path, flags: dict[str, bool]) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "thesis.txt").write_text("years of work")
    with pytest.raises(
        OutputError, match=r"is no run \(it has no recipe\.yaml\); nothing of it is touched: change `name`"
    ):
        RunFolder(tmp_path / "a", **flags)
    assert names(tmp_path / "a") == ["thesis.txt"]


def test_a_file_in_the_place_of_the_folder_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("years of work")
    with pytest.raises(OutputError, match="is no run"):
        RunFolder(tmp_path / "a", overwrite=True)


def test_an_output_directory_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(OutputError) as caught:
        RunFolder(tmp_path / "runs" / "a")
    assert str(caught.value) == f"{tmp_path / 'runs' / 'a'}: {tmp_path / 'runs'} is not a folder (output.directory)"


def as_nobody(path: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Opens a run folder in a process without the rights of the administrator."""
    code = (
        "import os, sys; from pathlib import Path; from textxfer.training.run_folder import RunFolder\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "RunFolder(Path(sys.argv[1]), **{flag: True for flag in sys.argv[2:]})"
    )
    command = [sys.executable, "-c", code, str(path), *flags]
    return subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[3])


@pytest.fixture
def closed(tmp_path: Path) -> Any:
    """A folder, for all to see, that cannot be written."""
    import tempfile

    place = Path(tempfile.mkdtemp(prefix="closed-"))
    place.chmod(0o555)
    yield place
    place.chmod(0o755)
    subprocess.run(["rm", "-rf", str(place)], check=True)


@pytest.mark.skipif(sys.platform == "win32", reason="rights are another matter there")
def test_a_place_that_cannot_be_written_is_named(closed: Path) -> None:
    done = as_nobody(closed / "runs" / "a")
    assert done.stderr.splitlines()[-1].endswith(
        f"{closed / 'runs' / 'a'}: {closed} cannot be written (output.directory)"
    )
    closed.chmod(0o777)
    assert as_nobody(closed / "runs" / "a").returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="rights are another matter there")
def test_a_place_that_cannot_be_read_is_named(closed: Path) -> None:
    (closed / "runs" / "a").mkdir(parents=True)
    (closed / "runs" / "a").chmod(0o000)
    done = as_nobody(closed / "runs" / "a", "resume")
    assert "OutputError" in done.stderr
    assert "cannot be read: Permission denied (output.directory)" in done.stderr


def test_only_one_process_works_in_a_folder(tmp_path: Path) -> None:
    one, other = RunFolder(tmp_path / "a"), RunFolder(tmp_path / "a")
    one.claim()
    with pytest.raises(OutputError, match="another process is working in it; wait, or change `name`"):
        other.claim()
    other.release()  # does not take the lock away from the one that has it
    with pytest.raises(OutputError, match="another process is working in it"):
        RunFolder(tmp_path / "a").claim()
    one.begin(RECIPE, {})
    one.release()
    assert names(tmp_path) == ["a"]


def test_the_lock_of_a_killed_process_does_not_lock(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from textxfer.training.run_folder import RunFolder\n"
        "RunFolder(Path(sys.argv[1])).claim(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], cwd=Path(__file__).parents[3])
    assert names(tmp_path) == [".a.lock"]
    begun(tmp_path / "a")
    assert names(tmp_path) == ["a"]


def test_a_run_that_appears_while_another_prepares_is_not_overwritten(tmp_path: Path) -> None:
    late = RunFolder(tmp_path / "a")
    finished(tmp_path / "a", 0.9)
    with pytest.raises(OutputError, match="holds a finished run; --resume"):
        late.claim()
    late.release()
    assert late.read_json("metrics.json") == {"score": 0.9}


def test_a_run_that_another_process_finishes_meanwhile_is_not_resumed(tmp_path: Path) -> None:
    folder = begun(tmp_path / "a")
    late = RunFolder(tmp_path / "a", resume=True)
    folder.finish({"score": 0.9})
    with pytest.raises(OutputError, match="another process has finished this run in the meantime"):
        late.claim()


@pytest.mark.parametrize("flags", [{}, {"resume": True}, {"overwrite": True}])
def test_claim_says_whether_there_is_something_to_go_on_with(tmp_path: Path, flags: dict[str, bool]) -> None:
    assert not RunFolder(tmp_path / "a", **flags).claim()
    begun(tmp_path / "b")
    if flags:
        assert RunFolder(tmp_path / "b", **flags).claim() == flags.get("resume", False)


def test_the_old_run_is_kept_until_the_new_one_has_finished(tmp_path: Path) -> None:
    finished(tmp_path / "a", 0.1)
    new = begun(tmp_path / "a", overwrite=True)
    assert names(tmp_path) == [".a.previous", "a"]
    assert (tmp_path / ".a.previous" / "metrics.json").is_file()
    again = begun(tmp_path / "a", overwrite=True)  # the new one failed, and is begun again
    assert names(tmp_path) == [".a.previous", "a"]
    assert '"score": 0.1' in (tmp_path / ".a.previous" / "metrics.json").read_text()
    again.finish({"score": 0.2})
    again.release()
    assert names(tmp_path) == ["a"]
    assert new.read_json("metrics.json") == {"score": 0.2}


def test_a_finished_run_is_what_is_kept_even_if_an_older_one_was_left(tmp_path: Path) -> None:
    finished(tmp_path / "a", 0.1)
    new = begun(tmp_path / "a", overwrite=True)
    new.write_json("metrics.json", {"score": 0.2})  # killed before it let the older one go
    begun(tmp_path / "a", overwrite=True)
    assert '"score": 0.2' in (tmp_path / ".a.previous" / "metrics.json").read_text()


def test_an_unfinished_run_is_kept_too(tmp_path: Path) -> None:
    begun(tmp_path / "a", {"first": 1})
    begun(tmp_path / "a", {"second": 2}, overwrite=True)
    assert "first" in (tmp_path / ".a.previous" / "recipe.yaml").read_text()


def test_where_the_new_run_has_gone_the_old_one_stands_again(tmp_path: Path) -> None:
    finished(tmp_path / "a", 0.1)
    (tmp_path / "a").rename(tmp_path / ".a.previous")  # killed between two moves, or deleted by hand
    folder = RunFolder(tmp_path / "a")
    with pytest.raises(OutputError, match="holds a finished run"):
        folder.claim()
    assert folder.finished


def test_a_finished_run_lets_go_of_everything_else(tmp_path: Path) -> None:
    finished(tmp_path / "a", 0.1)
    folder = begun(tmp_path / "a", overwrite=True)
    (folder.path / "resume" / "state-1").mkdir(parents=True)
    (folder.path / "model").mkdir()
    for left in (".metrics.json.tmp-1", "model/.README.md.tmp-1", "notes.txt"):
        (folder.path / left).write_text("")
    (folder.path / "model.tmp-1").mkdir()
    folder.finish({"score": 0.2})
    folder.release()
    assert names(tmp_path) == ["a"]
    assert names(folder.path) == ["environment.json", "metrics.json", "model", "notes.txt", "recipe.yaml"]
    assert names(folder.path / "model") == []


def test_text_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = begun(tmp_path / "a")
    folder.write_text("report.txt", "old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"report\.txt: cannot be written: No space left on device"):
        folder.write_text("report.txt", "new")
    assert (tmp_path / "a" / "report.txt").read_text() == "old"
    assert names(tmp_path / "a") == ["environment.json", "recipe.yaml", "report.txt"]


def test_a_full_disk_at_the_beginning_leaves_the_old_run_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(tmp_path / "a", 0.1)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    folder = RunFolder(tmp_path / "a", overwrite=True)
    folder.claim()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        folder.begin(RECIPE, {})
    folder.release()
    assert names(tmp_path) == ["a"]
    assert folder.finished


def test_lone_surrogates_and_other_alphabets_can_be_written(tmp_path: Path) -> None:
    folder = begun(tmp_path / "a")
    folder.write_lines("predictions.jsonl", [{"answer": "Köln 東京 \udc80"}])
    text = (tmp_path / "a" / "predictions.jsonl").read_text(encoding="utf-8")
    assert "Köln 東京" in text
    assert json.loads(text) == {"answer": "Köln 東京 \udc80"}
