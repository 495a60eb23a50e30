"""A head that starts from a probe on what it sees of the training rows."""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trained import topics
from tests.unit.training.helpers import (
    Watcher,
    assert_same_run,
    log,
    make_recipe,
    signaller,
    splits,
    weights,
)
from textxfer.data.batching import collate
from textxfer.errors import Interrupted, RecipeError, TrainingDiverged
from textxfer.modeling.anatomy import last_linear
from textxfer.recipe.loading import load_recipe
from textxfer.run import RunResult, run_recipe
from textxfer.training import head_probe, start
from textxfer.training.assemble import Training, assemble
from textxfer.training.precision import make_accelerator
from textxfer.training.prepare import prepare

PROBE = {"head": {"start": "probe"}}
FAMILIES = ("bert", "roberta", "distilbert", "mpnet", "electra", "deberta-v2", "modernbert", "gpt2", "t5")


def ready(checkpoint: Path, given: Any, **sections: Any) -> Training:
    """Gives a run whose head is about to start."""
    recipe = load_recipe(make_recipe(checkpoint, Path("unused"), **PROBE | sections), rows_given=True)
    return assemble(prepare(recipe, given), make_accelerator("fp32"))


def started(checkpoint: Path, given: Any, **sections: Any) -> Training:
    """Gives a run whose head has started."""
    training = ready(checkpoint, given, **sections)
    training.start(True)
    return training


def penalty(notes: Sequence[str]) -> float:
    """Gives the inverse penalty that a run chose, as it says."""
    found = next(filter(None, (re.search(r"inverse penalty ([\d.e-]+)", note) for note in notes)))
    return float(found[1])


def head(training: Training) -> Any:
    return last_linear(training.model).weight.detach().clone()  # type: ignore[union-attr, operator]


@pytest.mark.parametrize("layers", [0, 1])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_logits_of_every_family_are_the_probes(
    family: str, layers: int, checkpoints: Callable[[str], Path]
) -> None:
    import torch

    from textxfer.modeling.probe import fit_probe

    training = ready(checkpoints(family), splits(60), freeze={"layers": layers}, train={"epochs": 3})
    notes = training.start(True).notes
    assert (training.network.seconds > 0) == (layers == 1 and family != "deberta-v2")
    inputs, seen = training.judge.prepared.encoded["train"], []
    batch = collate(inputs, np.arange(60), pad_token_id=training.network.pad_token_id, device="cpu")
    last_linear(training.model).register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    training.model.eval()
    with torch.no_grad():
        logits = training.model(**batch.inputs()).logits.numpy()
    features = seen[0].numpy()
    if features.ndim == 3:  # GPT-2 looks at all tokens, and takes the last
        features = features[np.arange(60), inputs.lengths - 1]
    assert inputs.targets is not None
    # Features that hardly vary leave penalties as good as equal, and rounding would choose.
    probe = fit_probe(features, inputs.targets, 2, inverse_penalty=penalty(notes))
    expected = probe.logits(features)
    size = np.abs(expected).max()
    assert size > 0
    # A layer without a bias gives the probe's logits as nearly as sixteen features allow.
    near = 0.15 if family == "gpt2" else 0.02
    np.testing.assert_allclose(logits, expected, atol=near * size)


def test_the_layer_is_scikit_learns_on_what_it_sees(bert: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    training = started(bert, splits(27))  # too few to hold some back for the penalty
    encoded, layer = training.network.encoded["train"], last_linear(training.model)
    features = head_probe.head_inputs(training.network, encoded, np.arange(27), make_accelerator("fp32"))
    size = np.sqrt((features**2).mean(axis=0))
    inputs = (features - features.mean(axis=0)) / np.maximum(features.std(axis=0), 0.1 * size)
    theirs = LogisticRegression(C=0.1, max_iter=1000, tol=1e-8).fit(inputs, encoded.targets)
    weight, bias = (value.detach().numpy() for value in (layer.weight, layer.bias))
    logits = features @ weight.T + bias
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], theirs.decision_function(inputs), atol=5e-3)


@pytest.mark.parametrize("kind", ["one label", "label sets", "pairs"])
def test_training_never_ends_below_the_probe(kind: str, bert: Path, tmp_path: Path) -> None:
    sections: dict[str, Any] = PROBE | {"train": {"learning_rate": 0.5, "epochs": 2}}  # it wrecks the model
    given: dict[str, Any] = splits(40)
    if kind != "one label":
        given = {"train": topics(), "validation": topics()[3:20]}
        sections |= {"dataset": {"text_pair": "text_pair"}}
        sections["task"] = {"name": "topic", "multi_label": kind == "label sets"}
    if kind == "pairs":
        for part in given.values():
            for row in part:
                row["label"] = "+".join(row["label"]) or "none"
    result = run_recipe(make_recipe(bert, tmp_path, **sections), splits=given)
    lines = [line for line in log(result.folder) if line.get("split") == "validation"]
    assert lines[0]["step"] == 0
    best = max(line["macro_f1"] for line in lines)
    assert result.metrics["validation"]["macro_f1"] == pytest.approx(best, abs=1e-6)
    if kind != "label sets":  # there the probe says no to all, and nothing is worse
        assert result.metrics["best_step"] == 0
        assert lines[-1]["macro_f1"] < best


@pytest.fixture
def frozen(bert: Path, tmp_path: Path) -> RunResult:
    """A run with the whole backbone frozen."""
    return run_recipe(make_recipe(bert, tmp_path, freeze={"layers": "all"}, **PROBE), splits=splits(60))


def test_with_a_frozen_backbone_no_step_is_taken(frozen: RunResult, bert: Path, tmp_path: Path) -> None:
    metrics, watcher = frozen.metrics, Watcher()
    assert (metrics["steps"], metrics["best_step"]) == (0, 0)
    assert "overfitting" not in metrics  # there is no curve
    assert metrics["timing"]["probe_seconds"] > 0
    assert metrics["timing"]["train_seconds"] >= metrics["timing"]["probe_seconds"]
    assert [line["step"] for line in log(frozen.folder)] == [0, 0]
    assert (frozen.folder / "report.html").exists()
    recipe = make_recipe(bert, tmp_path, freeze={"layers": "all"}, **PROBE)
    again = run_recipe(recipe, splits=splits(60), resume=True, observers=[watcher])
    assert again.metrics["steps"] == 0
    assert any("has finished already" in note for note in watcher.notes)
    other = run_recipe(recipe, "head.start=random", "name=random", splits=splits(60), observers=[watcher])
    assert other.metrics["steps"] == 16


def test_the_run_says_so(bert: Path, tmp_path: Path) -> None:
    watcher = Watcher()
    recipe = make_recipe(bert, tmp_path, freeze={"layers": "all"}, **PROBE)
    run_recipe(recipe, splits=splits(), observers=[watcher])
    [note] = [note for note in watcher.notes if "the head starts from a probe" in note]
    assert "28 training rows" in note
    assert "no step is taken" in note


def test_embeddings_that_are_trained_take_steps(bert: Path, tmp_path: Path) -> None:
    recipe = make_recipe(bert, tmp_path, freeze={"layers": "all", "embeddings": False}, **PROBE)
    assert run_recipe(recipe, splits=splits()).metrics["steps"] == 8


@pytest.mark.parametrize("layers", [0, "all"])
def test_a_head_that_is_kept_is_not_fitted(frozen: RunResult, tmp_path: Path, layers: Any) -> None:
    watcher = Watcher()
    recipe = make_recipe(frozen.model, tmp_path, "second", freeze={"layers": layers}, **PROBE)
    result = run_recipe(recipe, splits=splits(), observers=[watcher])
    assert result.metrics["steps"] == 8
    assert any("without a probe" in note for note in watcher.notes)
    assert not any("starts from a probe" in note for note in watcher.notes)
    first = next(line for line in log(result.folder) if "split" in line)
    assert first["step"] == 0  # it may be the best as it is


@pytest.mark.parametrize(("event", "step"), [("on_start", 0), ("on_step", 3), ("on_step", 8)])
def test_a_run_that_goes_on_keeps_its_head(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, event: str, step: int
) -> None:
    recipe = make_recipe(bert, tmp_path / "runs", freeze={"layers": 1}, **PROBE)
    whole = run_recipe(recipe, "name=whole", splits=splits())
    with pytest.raises(Interrupted):
        run_recipe(recipe, splits=splits(), observers=[signaller(event, step, signal.SIGINT)])
    monkeypatch.setattr(head_probe, "fit_probe", lambda *_, **__: pytest.fail("it was fitted again"))
    resumed = run_recipe(recipe, splits=splits(), resume=True)
    assert_same_run(resumed.folder, whole.folder)


def test_repeats_itself(bert: Path, tmp_path: Path) -> None:
    one, other = (run_recipe(make_recipe(bert, tmp_path, name, **PROBE), splits=splits()) for name in "ab")
    assert_same_run(one.folder, other.folder)


def test_label_and_example_weights_count(bert: Path, tmp_path: Path) -> None:
    plain = head(started(bert, splits()))
    assert plain.equal(head(started(bert, splits())))
    assert not plain.equal(head(started(bert, splits(), train={"class_weights": {"good": 5.0}})))
    reviewed = tmp_path / "reviewed.csv"
    reviewed.write_text("id,weight\ntrain-3,0.1\n")
    assert not plain.equal(head(started(bert, splits(), dataset={"drop": str(reviewed)})))


def test_patience_without_steps_is_a_mistake(bert: Path, tmp_path: Path) -> None:
    recipe = make_recipe(bert, tmp_path, freeze={"layers": "all"}, train={"patience": 1}, **PROBE)
    with pytest.raises(RecipeError, match=r"train\.patience: no step is taken.*head\.start: random"):
        run_recipe(recipe, splits=splits())


def test_answers_have_no_probe(bert: Path, tmp_path: Path) -> None:
    task = {"name": "question_answering", "max_length": 48, "stride": 8}
    with pytest.raises(RecipeError, match=r"head\.start: a probe foretells labels"):
        load_recipe(make_recipe(bert, tmp_path, task=task, **PROBE), rows_given=True)
    bare = {key: value for key, value in make_recipe(bert, tmp_path, task=task).items() if key != "head"}
    assert load_recipe(bare, rows_given=True).head.start == "random"
    assert load_recipe(bare | {"task": "topic"}, rows_given=True).head.start == "probe"


def test_features_that_are_not_finite_leave_the_head_as_it_is(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_probe, "vectors", lambda *_, **__: np.full((28, 16), np.nan))
    watcher = Watcher()
    run_recipe(make_recipe(bert, tmp_path, **PROBE), splits=splits(), observers=[watcher])
    assert any("the head starts at random" in note for note in watcher.notes)
    with pytest.raises(TrainingDiverged, match=r"head\.start: what the frozen backbone makes"):
        run_recipe(make_recipe(bert, tmp_path, "frozen", freeze={"layers": "all"}, **PROBE), splits=splits())
    assert not (tmp_path / "frozen").exists()


def test_many_rows_are_drawn_from_with_each_label_among_them() -> None:
    from textxfer.records import Encoded

    targets = np.zeros(100, np.int64)
    targets[[7, 93]] = 1, 2
    encoded = Encoded(np.zeros(100), np.arange(101), np.arange(100), targets=targets)
    chosen = start._some_rows(encoded, 10, 0)
    assert len(chosen) == 10
    assert {7, 93} <= set(chosen.tolist())
    assert (np.diff(chosen) > 0).all()


def test_each_label_of_a_set_is_among_the_rows_that_are_drawn() -> None:
    from textxfer.records import Encoded

    targets = np.zeros((100, 4), np.float32)
    targets[:, 0] = 1
    targets[[7, 93], [1, 2]] = 1  # beside another label; the last has no row
    encoded = Encoded(np.zeros(100), np.arange(101), np.arange(100), targets=targets)
    chosen = start._some_rows(encoded, 10, 0)
    assert len(chosen) == 10
    assert {7, 93} <= set(chosen.tolist())


def test_a_label_with_one_row(bert: Path, tmp_path: Path) -> None:
    given = splits()
    given["train"] = [*given["train"], {"text": "the library opens at nine", "label": "mixed"}]
    recipe = make_recipe(bert, tmp_path, task={"name": "topic", "labels": ["bad", "good", "mixed"]}, **PROBE)
    result = run_recipe(recipe, "train.max_steps=1", splits=given)
    assert all(np.isfinite(tensor.numpy()).all() for tensor in weights(result.folder).values())


@pytest.mark.parametrize("several", [False, True])
def test_as_many_labels_as_rows_and_more(bert: Path, tmp_path: Path, several: bool) -> None:
    given = splits()
    for part in given.values():
        for number, row in enumerate(part):
            row["label"] = [f"label {number}", f"other {number}"] if several else f"label {number}"
    recipe = make_recipe(bert, tmp_path, task={"name": "topic", "multi_label": several}, **PROBE)
    result = run_recipe(recipe, "train.max_steps=1", splits=given)
    assert len(weights(result.folder)["classifier.bias"]) == (56 if several else 28)
    assert all(np.isfinite(tensor.numpy()).all() for tensor in weights(result.folder).values())
    assert 0 <= result.metrics["test"]["accuracy"] <= 1


def test_features_that_are_all_alike(bert: Path, tmp_path: Path) -> None:
    """A backbone that makes the same of every text leaves the head the shares of the labels."""
    import torch
    import transformers

    dull = tmp_path / "dull"
    shutil.copytree(bert, dull)
    model = transformers.AutoModel.from_pretrained(dull)
    with torch.no_grad():
        model.embeddings.word_embeddings.weight.zero_()
        model.embeddings.position_embeddings.weight.zero_()
    model.save_pretrained(dull)
    given = splits()
    given["train"] = [row for row in given["train"] if row["label"] == "good"] + given["train"][1:8:2]
    recipe = make_recipe(dull, tmp_path, freeze={"layers": "all"}, calibrate="off", **PROBE)
    result = run_recipe(recipe, splits=given)
    lines = (result.folder / "predictions.jsonl").read_text().splitlines()
    for line in lines:
        assert json.loads(line)["probabilities"] == pytest.approx({"bad": 4 / 18, "good": 14 / 18}, abs=0.03)


def test_a_solver_that_is_cut_off_is_told_and_no_harm(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from textxfer.modeling import probe

    monkeypatch.setattr(probe, "MOST_ITERATIONS", 1)
    watcher = Watcher()
    result = run_recipe(make_recipe(bert, tmp_path, **PROBE), splits=splits(), observers=[watcher])
    assert any("its solver had not come to an end, which training makes good" in note for note in watcher.notes)
    frozen, watcher = make_recipe(bert, tmp_path, "frozen", freeze={"layers": "all"}, **PROBE), Watcher()
    run_recipe(frozen, splits=splits(), observers=[watcher])
    assert any("its solver had not come to an end: its scores may be a little below" in note for note in watcher.notes)
    assert not any("training makes good" in note for note in watcher.notes)
    assert all(np.isfinite(tensor.numpy()).all() for tensor in weights(result.folder).values())
