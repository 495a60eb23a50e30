"""States on disk are whole or not used, and a run goes on only as the run that it was."""

from __future__ import annotations

import errno
import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.training.helpers import Watcher, assert_same_run, signaller, splits, weights
from textxfer.errors import Interrupted, OutputError
from textxfer.run import RunResult, run_recipe
from textxfer.training import resume
from textxfer.training.progress import Progress
from textxfer.training.resume import State, read_state, write_state

Small = Callable[..., dict[str, Any]]


def a_state(step: int) -> State:
    """Gives a small state of a step, its tensors filled with the step's number."""
    ones = {"layer.weight": torch.full((2, 3), float(step)), "layer.bias": torch.full((3,), float(step))}
    moments = {
        f"{name}/{moment}": value.clone() for name, value in ones.items() for moment in ("exp_avg", "exp_avg_sq")
    }
    progress = Progress(
        step=step, evaluated_step=step - 1, best_step=1, best_score=0.25, recent=[0.1, 0.2], seconds=1.5
    )
    return State(progress, ones, moments, {}, {})


def states(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_state(tmp_path, a_state(3))
    read = read_state(tmp_path)
    assert read is not None
    assert read.progress == a_state(3).progress
    assert read.best == {}
    for name, tensor in a_state(3).weights.items():
        assert read.weights[name].equal(tensor)
    for name, tensor in a_state(3).optimizer.items():
        assert read.optimizer[name].equal(tensor)


def test_two_states_are_kept_and_the_newest_is_read(tmp_path: Path) -> None:
    for step in (1, 2, 3, 3):
        write_state(tmp_path, a_state(step))
    assert states(tmp_path) == ["state-3", "state-4"]
    read = read_state(tmp_path)
    assert read is not None
    assert read.progress.step == 3


def test_states_are_counted_not_sorted_by_letters(tmp_path: Path) -> None:
    for step in range(1, 12):
        write_state(tmp_path, a_state(step))
    assert states(tmp_path) == ["state-10", "state-11"]
    read = read_state(tmp_path)
    assert read is not None
    assert read.progress.step == 11


def test_there_is_no_state_in_an_empty_or_missing_folder(tmp_path: Path) -> None:
    assert read_state(tmp_path) is None
    assert read_state(tmp_path / "missing") is None


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES: list[Callable[[Path], None]] = [truncate, flip_a_bit, Path.unlink, lambda path: path.write_bytes(b"")]
PARTS = ["weights.safetensors", "optimizer.safetensors", "best.safetensors", "state.json", "manifest.json"]


@pytest.mark.parametrize("damage", DAMAGES, ids=["truncated", "bit flipped", "missing", "empty"])
@pytest.mark.parametrize("part", PARTS)
def test_a_damaged_state_is_never_read(tmp_path: Path, part: str, damage: Callable[[Path], None]) -> None:
    write_state(tmp_path, a_state(1))
    write_state(tmp_path, a_state(2))
    damage(tmp_path / "state-2" / part)
    older = read_state(tmp_path)
    assert older is not None
    assert older.progress.step == 1
    damage(tmp_path / "state-1" / part)
    assert read_state(tmp_path) is None


@pytest.mark.parametrize("content", ["[]", "{}", "null", '{"state.json": 3}', '{"state.json": {"size": 1}}'])
def test_a_strange_manifest_is_no_manifest(tmp_path: Path, content: str) -> None:
    write_state(tmp_path, a_state(1))
    (tmp_path / "state-1" / "manifest.json").write_text(content)
    assert read_state(tmp_path) is None


def test_a_state_of_another_format_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "FORMAT", 2)
    write_state(tmp_path, a_state(1))
    monkeypatch.undo()
    assert read_state(tmp_path) is None


def test_half_a_state_of_a_killed_process_is_swept_and_not_read(tmp_path: Path) -> None:
    write_state(tmp_path, a_state(1))
    shutil.copytree(tmp_path / "state-1", tmp_path / "tmp-state-2")
    read = read_state(tmp_path)
    assert read is not None
    assert read.progress.step == 1
    write_state(tmp_path, a_state(2))
    assert states(tmp_path) == ["state-1", "state-2"]


def test_a_full_disk_leaves_earlier_states_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_state(tmp_path, a_state(1))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(resume, "flush_folder", full)
    with pytest.raises(OutputError, match="the state of the run cannot be saved: No space left on device"):
        write_state(tmp_path, a_state(2))
    assert states(tmp_path) == ["state-1"]
    read = read_state(tmp_path)
    assert read is not None
    assert read.progress.step == 1


def test_an_own_mistake_is_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    broken = State(Progress(), {"weight": "no tensor"}, {}, {}, {})  # type: ignore[dict-item]
    with pytest.raises(AttributeError):
        write_state(tmp_path, broken)
    assert states(tmp_path) == []


# A whole run


@pytest.fixture
def stopped(small: Small) -> Path:
    """The folder of a run that was stopped after step 5 and has states of steps 4 and 5."""
    recipe = small(train={"save_every": 4})
    with pytest.raises(Interrupted):
        run_recipe(recipe, splits=splits(), observers=[signaller("on_step", 5, signal.SIGINT)])
    return Path(recipe["output"]["directory"]) / "tiny"


def test_where_the_newest_state_is_damaged_the_older_one_is_gone_on_from(
    small: Small, stopped: Path, whole_run: RunResult
) -> None:
    flip_a_bit(stopped / "resume" / "state-2" / "weights.safetensors")
    watcher = Watcher()
    resumed = run_recipe(small(), splits=splits(), resume=True, observers=[watcher])
    assert "goes on after step 4" in watcher.notes
    assert_same_run(resumed.folder, whole_run.folder)


def test_where_no_state_is_whole_the_run_starts_anew_and_says_so(
    small: Small, stopped: Path, whole_run: RunResult
) -> None:
    for state in (stopped / "resume").iterdir():
        truncate(state / "optimizer.safetensors")
    watcher = Watcher()
    resumed = run_recipe(small(), splits=splits(), resume=True, observers=[watcher])
    assert f"{stopped}: holds no whole saved state: the run starts anew" in watcher.notes
    assert watcher.steps == list(range(1, 9))
    assert_same_run(resumed.folder, whole_run.folder)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"train": {"learning_rate": 2e-3}}, "the recipe changed"),
        ({"freeze": {"layers": 1}}, "the recipe changed"),
        ({"task": {"name": "sentiment", "max_length": 16}}, "the recipe changed"),
    ],
)
def test_another_recipe_is_refused(small: Small, stopped: Path, change: dict[str, Any], what: str) -> None:
    before = sorted(stopped.rglob("*"))
    with pytest.raises(OutputError) as caught:
        run_recipe(small(**change), splits=splits(), resume=True)
    assert str(caught.value).startswith(f"{stopped}: cannot be resumed: {what} since the run began; --overwrite")
    assert sorted(stopped.rglob("*")) == before


def test_another_recipe_is_refused_where_nothing_was_saved_yet(small: Small, stopped: Path) -> None:
    shutil.rmtree(stopped / "resume")
    with pytest.raises(OutputError, match="the recipe changed"):
        run_recipe(small(train={"epochs": 3}), splits=splits(), resume=True)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_other_rows_are_refused(small: Small, stopped: Path, split: str) -> None:
    rows = splits()
    rows[split][0]["text"] += " indeed"
    with pytest.raises(OutputError, match="the data changed since the run began"):
        run_recipe(small(), splits=rows, resume=True)


def test_another_checkpoint_in_the_same_place_is_refused(small: Small, bert: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    place = tmp_path / "bert"
    shutil.copytree(bert, place)
    with pytest.raises(Interrupted):
        run_recipe(small(checkpoint=str(place)), splits=splits(), observers=[signaller("on_step", 2, signal.SIGINT)])
    tensors = load_file(place / "model.safetensors")
    tensors["embeddings.LayerNorm.bias"][0] += 1e-6
    save_file(tensors, place / "model.safetensors", {"format": "pt"})
    with pytest.raises(OutputError, match="the checkpoint's weights changed since the run began"):
        run_recipe(small(checkpoint=str(place)), splits=splits(), resume=True)


def test_what_does_not_change_the_model_may_change(small: Small, stopped: Path, whole_run: RunResult) -> None:
    resumed = run_recipe(small(train={"log_every": 1, "save_every": "never"}), splits=splits(), resume=True)
    assert weights(resumed.folder).keys() == weights(whole_run.folder).keys()
    for name, tensor in weights(whole_run.folder).items():
        assert tensor.equal(weights(resumed.folder)[name])


def test_a_damaged_environment_is_an_error_that_says_what_to_do(small: Small, stopped: Path) -> None:
    (stopped / "environment.json").write_text('{"fingerprints": ')
    with pytest.raises(OutputError, match=r"environment\.json: cannot be read: .*; --overwrite begins the run anew"):
        run_recipe(small(), splits=splits(), resume=True)


def test_half_a_line_of_the_log_is_dropped(small: Small, stopped: Path, whole_run: RunResult) -> None:
    with (stopped / "log.jsonl").open("a") as file:
        file.write('{"step": 5, "epoch": 1.2')
    resumed = run_recipe(small(), splits=splits(), resume=True)
    assert_same_run(resumed.folder, whole_run.folder)


def test_the_state_is_saved_as_often_as_the_recipe_says(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []
    write = resume.write_state
    monkeypatch.setattr(
        resume, "write_state", lambda folder, state: (saved.append(state.progress.step), write(folder, state))
    )

    def steps_saved(every: Any) -> list[int]:
        saved.clear()
        run_recipe(small(train={"save_every": every}), splits=splits(), overwrite=True)
        return list(saved)

    assert steps_saved(3) == [3, 6, 8]
    assert steps_saved("never") == []
    assert steps_saved("epoch") == []  # at most once a minute
    monkeypatch.setattr("textxfer.training.keeper.SECONDS_BETWEEN_SAVES", 0.0)
    assert steps_saved("epoch") == [4, 8]


def test_a_state_holds_no_pickle(stopped: Path) -> None:
    files = {path.name for path in (stopped / "resume" / "state-1").iterdir()}
    assert files == {"weights.safetensors", "optimizer.safetensors", "best.safetensors", "state.json", "manifest.json"}
    json.loads((stopped / "resume" / "state-1" / "state.json").read_text())


def test_other_arithmetic_is_told(small: Small) -> None:
    with pytest.raises(Interrupted):
        run_recipe(small(), splits=splits(), observers=[signaller("on_step", 3, signal.SIGINT)])
    file = Path(small()["output"]["directory"]) / "tiny" / "environment.json"
    about = json.loads(file.read_text())
    file.write_text(json.dumps(about | {"precision": "bf16", "device": about["device"] | {"type": "cuda"}}))
    watcher = Watcher()
    run_recipe(small(), splits=splits(), resume=True, observers=[watcher])
    told = "it began in bf16 on cuda and goes on in fp32 on cpu: the run goes on, but not bit for bit"
    assert any(told in note for note in watcher.notes)
