"""The losses of four steps, pinned. A change that should not alter the mathematics leaves them as they are.

Where they must change (a new default, another loss), say why in the commit and take the new ones from the failure.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.golden import fixed
from tests.unit.training.helpers import assert_same_weights, log, weights
from textxfer.run import RunResult, run_recipe

QUESTION_ANSWERING = {"name": "question_answering", "max_length": 64, "stride": 8}
SENTIMENT = {"name": "sentiment", "max_length": 32}

GOLDEN = {
    ("bert", "sentiment"): [0.725657, 0.718264, 0.675726, 0.676854],
    ("gpt2", "sentiment"): [0.737919, 0.761958, 0.647304, 0.663722],
    ("t5", "sentiment"): [0.724164, 0.597442, 0.960806, 1.0436],
    ("bert", "question_answering"): [2.86307, 2.8356, 2.82188, 2.86167],
    ("t5", "text2text"): [24.8514, 24.6302, 20.6798, 20.6009],
}

Run = Callable[..., RunResult]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the fixed checkpoint of a family, made once."""
    folder = tmp_path_factory.mktemp("fixed")

    def get(family: str) -> Path:
        place = folder / family
        return place if place.exists() else fixed.checkpoint(place, family)

    return get


@pytest.fixture
def run(checkpoints: Callable[[str], Path], tmp_path: Path) -> Run:
    """Trains four steps in fp32 on one thread, and gives the run."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def steps(family: str, task: str, name: str = "golden", **train: Any) -> RunResult:
        recipe = {
            "name": name,
            "checkpoint": str(checkpoints(family)),
            "task": QUESTION_ANSWERING if task == "question_answering" else SENTIMENT,
            "dataset": {"validation_fraction": 0},
            "head": {"name": "text2text"} if task == "text2text" else {"start": "random"},
            "train": {"max_steps": 4, "batch_size": 8, "learning_rate": 5e-4, "log_every": 1, "precision": "fp32",
                      "seed": 3, "dropout": 0.0} | train,
            "output": {"directory": str(tmp_path)},
        }  # fmt: skip
        freeze = recipe["train"].pop("freeze", None)
        rows = fixed.questions() if task == "question_answering" else fixed.rows()
        return run_recipe(recipe | ({"freeze": freeze} if freeze else {}), splits={"train": rows})

    yield steps
    torch.set_num_threads(threads)


def losses(result: RunResult) -> list[float]:
    return [line["loss"] for line in log(result.folder)]


@pytest.mark.parametrize(("family", "task"), GOLDEN)
def test_losses_are_those_that_were_written_down(run: Run, family: str, task: str) -> None:
    assert losses(run(family, task)) == pytest.approx(GOLDEN[family, task], rel=1e-4)


@pytest.mark.parametrize(("family", "task"), GOLDEN)
def test_two_runs_are_bit_identical(run: Run, family: str, task: str) -> None:
    one, other = (run(family, task, name=name, dropout=0.2) for name in ("one", "other"))
    assert_same_weights(one.folder, other.folder)
    assert log(one.folder) == log(other.folder)


@pytest.mark.parametrize("size", [2, 3])
def test_micro_batches_do_not_change_them(run: Run, size: int) -> None:
    assert losses(run("bert", "sentiment", micro_batch_size=size)) == pytest.approx(
        GOLDEN["bert", "sentiment"], rel=1e-4
    )


FROZEN = {
    "bert": ("embeddings.", "encoder.layer.0."),
    "gpt2": ("wte.", "wpe.", "h.0."),
    "t5": ("shared.", "encoder.block.0."),
}


@pytest.mark.parametrize("family", FROZEN)
def test_frozen_parameters_are_bit_identical_after_training(
    run: Run, checkpoints: Callable[[str], Path], family: str
) -> None:
    from safetensors.torch import load_file

    result = run(family, "sentiment", freeze={"layers": 1}, dropout=0.2)
    before, after = load_file(checkpoints(family) / "model.safetensors"), weights(result.folder)

    def found(name: str) -> Any:
        return next(tensor for key, tensor in after.items() if key.endswith(f".{name}"))

    frozen = [name for name in before if name.startswith(FROZEN[family])]
    assert len(frozen) > 5
    assert all(before[name].equal(found(name)) for name in frozen)
    changed = [name for name in before if name not in frozen and not before[name].equal(found(name))]
    assert len(changed) > 10
