"""Few labelled rows: which road a run takes, and that the run is the one that the road says."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.training.helpers import Watcher, metrics, prepared, rows, signaller, splits, weights
from textxfer.errors import DataError, Interrupted, RecipeError, TrainingDiverged
from textxfer.labels import LabelSet
from textxfer.recipe.loading import load_recipe
from textxfer.run import run_recipe
from textxfer.training import few_rows, roads, trials
from textxfer.training.precision import make_accelerator
from textxfer.training.prepare import Prepared
from textxfer.training.roads import choose_road

Untouched = Callable[..., dict[str, Any]]


pytestmark = pytest.mark.usefixtures("few_steps")


def told(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "choices.json").read_text()).get("road")


# how roads are compared


def test_all_roads_are_compared_on_training_rows_alone(untouched: Untouched, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    plain = trials.assemble

    def kept(run: Prepared, *others: Any) -> Any:
        seen.append(run.rows.splits.train.rows["text"][:])
        assert set(run.encoded) <= {"train", "validation", "test"}
        return plain(run, *others)

    monkeypatch.setattr(trials, "assemble", kept)
    found = choose_road(prepared(untouched()), make_accelerator("fp32"))
    head = found.head
    tried = [("mean", "probe"), ("native", "probe"), (head, "contrastive"), (head, "fine_tune")]
    assert [(score.head, score.road) for score in found.scores] == tried
    assert (head, found.road) in tried
    assert (found.rows, found.of, found.labels) == (28, 28, 2)
    whole = {row["text"] for row in rows(28)}
    assert [len(texts) for texts in seen] == [28, 28, *[14] * 4]
    assert all(set(texts) <= whole for texts in seen)
    assert list(found.lines())[-1] == f"small_data: {found.road}, with the head {head}: {found.sentence}"
    assert min(score.error for score in found.scores) == 0


def test_a_head_with_hidden_layers_is_judged_as_it_is_trained(
    untouched: Untouched, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    plain = trials.Trials._trained

    def kept(tried: trials.Trials, run: Prepared) -> Any:
        taken.append(run.plan.steps)
        return plain(tried, run)

    monkeypatch.setattr(trials.Trials, "_trained", kept)
    found = choose_road(prepared(untouched(head={"name": "mlp", "hidden": [8]})), make_accelerator("fp32"))
    assert [(score.head, score.road) for score in found.scores] == [("mlp", road) for road in few_rows.ROADS]
    assert len(taken) == 3
    assert taken[0] > 0


def test_fewer_rows_than_tell_roads_apart_go_the_usual_one(
    untouched: Untouched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roads, "LEAST_COMPARED", 100)
    found = choose_road(prepared(untouched()), make_accelerator("fp32"))
    assert found.road == "contrastive"
    assert [(score.head, score.road) for score in found.scores] == [("mean", "probe"), ("native", "probe")]
    assert "28 rows do not tell roads apart" in found.sentence


def test_of_many_rows_a_sample_tells_the_head_and_the_rate_of_a_road_that_is_named(
    untouched: Untouched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roads, "MOST_ROWS", 20)
    run = prepared(untouched(small_data="contrastive"))
    found = choose_road(run, make_accelerator("fp32"))
    assert (found.rows, found.of) == (20, 28)
    assert found.lacking < 1
    assert choose_road(prepared(untouched(small_data="auto")), make_accelerator("fp32")).rows == 28


def test_a_comparison_is_a_function_of_rows_and_seed(untouched: Untouched) -> None:
    def chosen() -> dict[str, Any]:
        found = choose_road(prepared(untouched()), make_accelerator("fp32")).to_dict()
        return found | {"seconds": 0, "scores": [each | {"seconds": 0} for each in found["scores"]]}

    assert chosen() == chosen()


def test_a_dear_road_is_left_out(untouched: Untouched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(trials.MOST_OPERATIONS, "cpu", 0.0)
    found = choose_road(prepared(untouched()), make_accelerator("fp32"))
    assert [score.road for score in found.scores] == ["probe", "probe"]
    assert "fine_tune was left out, since it would take long" in found.sentence
    monkeypatch.setattr(roads, "LEAST_COMPARED", 100)
    assert choose_road(prepared(untouched()), make_accelerator("fp32")).road == "probe"


def test_a_road_that_diverges_is_left_out(untouched: Untouched, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*_: Any, **__: Any) -> None:
        raise TrainingDiverged("step 1: the loss is nan")

    monkeypatch.setattr("textxfer.training.contrastive.fit", diverge)
    found = choose_road(prepared(untouched()), make_accelerator("fp32"))
    assert [score.road for score in found.scores] == ["probe", "probe", "fine_tune"]
    assert f"contrastive with the head {found.head} was left out (step 1: the loss is nan)" in found.sentence


# what few rows can be like


def test_a_label_with_one_row(untouched: Untouched) -> None:
    given = {"train": [*rows(24), {"text": "who wrote the book", "label": "odd"}], "test": rows(4, 50)}
    result = run_recipe(untouched(), splits=given)
    assert told(result.folder)["rows"] == 24
    assert told(result.folder)["of"] == 25


def test_more_labels_than_rows(untouched: Untouched) -> None:
    given = {"train": rows(3), "test": rows(2, 50)}
    watcher = Watcher()
    result = run_recipe(untouched(), splits=given, observers=[watcher])
    assert (told(result.folder)["head"], told(result.folder)["road"]) == ("mean", "probe")
    assert any("3 rows are too few to compare others" in note for note in watcher.notes)
    names = tuple(f"label {number}" for number in range(9))
    assert few_rows.are_few(
        load_recipe(untouched(), rows_given=True),
        prepared(untouched()).rows.task,
        LabelSet(names, (1, 2, *[0] * 7)),
    )


def test_texts_that_are_all_alike(untouched: Untouched) -> None:
    given = {"train": [{"text": "the film", "label": "good" if number % 2 else "bad"} for number in range(20)]}
    found = choose_road(prepared(untouched(), given), make_accelerator("fp32"))
    assert found.road == "probe"
    assert found.head == "mean"
    assert all(score.accuracy <= 0.7 for score in found.scores)


def test_a_rate_for_each_layer_goes_with_the_road_that_trains_them(untouched: Untouched) -> None:
    """The probes that choose its head train none."""
    for road in ("fine_tune", "auto"):
        recipe = untouched(name=road, small_data=road, train={"precision": "fp32", "layer_decay": 0.5})
        assert told(run_recipe(recipe, splits=splits()).folder)["road"] in few_rows.ROADS


def test_one_label_only(untouched: Untouched) -> None:
    with pytest.raises(DataError, match="has one label only"):
        run_recipe(untouched(), splits={"train": [row | {"label": "good"} for row in rows(12)]})


# the run


def test_an_untouched_recipe_takes_a_road_and_says_why(untouched: Untouched) -> None:
    watcher = Watcher()
    result = run_recipe(untouched(), splits=splits(), observers=[watcher])
    chosen = told(result.folder)
    notes = "\n".join(watcher.notes)
    assert "small_data: settles what is left open by cross-validation" in notes
    assert "cross-validation on 28 of 28 training rows, accuracy by head and road:  mean probe: " in notes
    assert f"small_data: {chosen['road']}, with the head {chosen['head']}: {chosen['sentence']}" in notes
    resolved = load_recipe(result.folder / "recipe.yaml", rows_given=True)
    assert (resolved.head.name, resolved.small_data.road) == (chosen["head"], chosen["road"])
    page = (result.folder / "report.html").read_text()
    assert f"the run took the road {chosen['road']}" in page


@pytest.mark.parametrize("head", few_rows.HEADS)
@pytest.mark.parametrize("road", few_rows.ROADS)
def test_the_recipe_of_a_run_repeats_it(
    road: str, head: str, untouched: Untouched, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {name: part for name, part in splits().items() if name != "validation"}
    let_win(head, road, monkeypatch)
    result = run_recipe(untouched(), splits=given)
    assert (told(result.folder)["head"], told(result.folder)["road"]) == (head, road)
    resolved = load_recipe(result.folder / "recipe.yaml", rows_given=True)
    assert (resolved.head.name, resolved.small_data.road) == (head, road)
    again = run_recipe(resolved.model_copy(update={"name": "again"}), splits=given)
    named = run_recipe(untouched(name="named", small_data=road, head=head), splits=given)
    for other in (again, named):
        assert_same_model(other.folder, result.folder)
    assert not (again.folder / "choices.json").exists()
    assert (named.folder / "choices.json").exists() == (road == "contrastive")  # whose rate is open still


def test_a_head_is_chosen_for_a_road_that_is_named(untouched: Untouched) -> None:
    result = run_recipe(untouched(small_data="contrastive"), splits=splits())
    chosen = told(result.folder)
    assert [(each["head"], each["road"]) for each in chosen["scores"]] == [("mean", "probe"), ("native", "probe")]
    assert chosen["road"] == "contrastive"
    assert "by a contrastive start of 4 steps, the head by a probe" in (result.model / "README.md").read_text()
    assert "those after a contrastive start of 4 steps" in (result.folder / "report.html").read_text()
    assert load_recipe(result.folder / "recipe.yaml", rows_given=True).head.name == chosen["head"]


@pytest.mark.parametrize("wrong", [0, 4, 14])
def test_the_rate_of_a_contrastive_start_follows_what_a_probe_lacks(
    wrong: int, untouched: Untouched, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge(self: Any, name: str, way: str) -> None:
        self.right[name, way] = np.arange(28) >= wrong
        self.seconds[name, way] = 0.0

    monkeypatch.setattr(trials.Trials, "judge", judge)
    recipe = untouched(small_data="contrastive", head="mean", train={"precision": "fp32", "learning_rate": 1e-3})
    result = run_recipe(recipe, splits=splits())
    done = load_recipe(result.folder / "recipe.yaml", rows_given=True).small_data
    assert done.learning_rate == {0: 2.5e-4, 4: 5.7e-4, 14: 1e-3}[wrong]  # of 14 that who says one label gets wrong
    sentence = told(result.folder)["sentence"]
    assert ("57% of the rate, since a probe makes 29% of the errors" in sentence) == (wrong == 4)
    assert ("of the rate" in sentence) == (wrong < 14)
    monkeypatch.setattr(trials.Trials, "judge", _never)
    few = {"small_data": {"road": "contrastive", "learning_rate": done.learning_rate}, "train": {"precision": "fp32"}}
    named = run_recipe(recipe | {"name": "named"} | few, splits=splits())
    assert not (named.folder / "choices.json").exists()
    assert_same_model(named.folder, result.folder)


@pytest.mark.parametrize("count", [16, 28])
def test_a_probe_after_a_contrastive_start_is_as_sure_with_many_rows_as_with_few(
    count: int, untouched: Untouched
) -> None:
    watcher, few = Watcher(), {"road": "contrastive", "steps": 2, "learning_rate": 1e-3}
    run_recipe(untouched(small_data=few, head="mean"), splits={"train": rows(count)}, observers=[watcher])
    penalty = 0.08 / (count / 2)
    assert any(f"({count} training rows, inverse penalty {penalty:g}, " in note for note in watcher.notes)


@pytest.mark.parametrize(("merge", "heads"), [(True, ["mean", "native"]), (False, [])])
def test_updates_of_low_rank_on_a_road_whose_head_is_open(merge: bool, heads: list[str], untouched: Untouched) -> None:
    """An adapter that is kept goes with the native head only."""
    pytest.importorskip("peft")
    recipe = untouched(small_data="fine_tune", lora={"rank": 2, "merge": merge})
    result = run_recipe(recipe, splits=splits())
    done = load_recipe(result.folder / "recipe.yaml", rows_given=True)
    assert done.lora is not None
    if heads:
        assert [each["head"] for each in told(result.folder)["scores"]] == heads
    else:
        assert done.head.name == "native"
        assert (result.folder / "adapter").is_dir()
        assert not (result.folder / "choices.json").exists()


@pytest.mark.parametrize(("road", "kept"), [("probe", []), ("contrastive", []), ("fine_tune", ["epochs", "patience"])])
def test_what_the_chosen_road_does_not_use_is_told(
    road: str, kept: list[str], untouched: Untouched, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_win("native", road, monkeypatch)
    train = {"epochs": 4, "patience": 2, "seed": 1, "weight_decay": 0.01}
    watcher, recipe = Watcher(), untouched(small_data="auto", train=train)
    result = run_recipe(recipe, splits=splits(), observers=[watcher])
    note = f"not used: train.epochs, train.patience; the road {road} takes no steps on labels"
    assert (note in watcher.notes) == (not kept)
    done = load_recipe(result.folder / "recipe.yaml", rows_given=True)
    assert (done.train.epochs, done.train.patience) == ((4, 2) if kept else (3, None))
    assert (result.metrics["steps"] > 0) == bool(kept)


def test_patience_is_held_against_the_epochs_that_the_road_takes(untouched: Untouched) -> None:
    recipe = untouched(small_data="fine_tune", head={"name": "native"}, train={"patience": 4})
    assert run_recipe(recipe, splits=splits()).metrics["steps"] >= 4
    both = untouched(name="both", small_data="fine_tune", train={"patience": 4, "evaluate_every": 1})
    assert told(run_recipe(both, splits=splits()).folder)["road"] == "fine_tune"
    endless = untouched(name="endless", small_data="auto", train={"patience": 5000})
    with pytest.raises(RecipeError, match="it can never fire"):
        run_recipe(endless, splits=splits())


def let_win(head: str, road: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a head and a road come out best, without a look at the rows."""

    def judge(self: Any, name: str, way: str) -> None:
        self.right[name, way] = np.full(28, name == head and way in ("probe", road)) & (
            np.arange(28) < 20 + (way == road)
        )
        self.seconds[name, way] = 0.0

    monkeypatch.setattr(trials.Trials, "judge", judge)


def assert_same_model(one: Path, other: Path) -> None:
    """Compares the models and scores of two runs, bit for bit."""
    names = {path.name for path in (one / "model").glob("*.safetensors")}
    assert names == {path.name for path in (other / "model").glob("*.safetensors")}
    for name in names:
        assert (one / "model" / name).read_bytes() == (other / "model" / name).read_bytes()
    assert metrics(one) == metrics(other)
    assert (one / "predictions.jsonl").read_text() == (other / "predictions.jsonl").read_text()


def test_each_road_trains_what_it_says(untouched: Untouched, bert: Path) -> None:
    from safetensors.torch import load_file

    before = load_file(bert / "model.safetensors")
    layer = "encoder.layer.0.output.dense.weight"
    changed, steps = {}, {}
    given = {"train": rows(28), "test": rows(5, 200)}
    for road in few_rows.ROADS:
        result = run_recipe(untouched(name=road, small_data=road, head="native"), splits=given)
        changed[road] = not weights(result.folder)[f"bert.{layer}"].equal(before[layer])
        steps[road] = (result.metrics["steps"], result.metrics["trainable_parameters"] > 100)
    assert changed == {"probe": False, "contrastive": True, "fine_tune": True}
    assert steps == {"probe": (0, True), "contrastive": (0, True), "fine_tune": (5, True)}


def test_a_contrastive_start_leaves_frozen_layers_alone(untouched: Untouched, bert: Path) -> None:
    from safetensors.torch import load_file

    before = load_file(bert / "model.safetensors")
    few = {"road": "contrastive", "steps": 3, "learning_rate": 1e-3}
    result = run_recipe(untouched(small_data=few, head="native", freeze={"layers": 1}), splits=splits())
    after = weights(result.folder)
    for number, same in ((0, True), (1, False)):
        name = f"encoder.layer.{number}.output.dense.weight"
        assert after[f"bert.{name}"].equal(before[name]) == same


def test_steps_and_rate_of_the_contrastive_start_count(untouched: Untouched) -> None:
    found = []
    for number, change in enumerate(({}, {"steps": 2}, {"learning_rate": 1e-4})):
        few = {"road": "contrastive", "steps": 3, "learning_rate": 1e-3} | change
        watcher = Watcher()
        recipe = untouched(name=f"n{number}", small_data=few, head="native")
        result = run_recipe(recipe, splits=splits(), observers=[watcher])
        assert watcher.steps == list(range(1, few["steps"] + 1))
        found.append(weights(result.folder)["bert.encoder.layer.0.output.dense.weight"])
    assert not found[1].equal(found[0])
    assert not found[2].equal(found[0])


def test_a_run_that_is_stopped_goes_on_by_the_same_road(untouched: Untouched, monkeypatch: pytest.MonkeyPatch) -> None:
    let_win("native", "fine_tune", monkeypatch)
    with pytest.raises(Interrupted):
        run_recipe(untouched(), splits=splits(), observers=[signaller("on_step", 2, signal.SIGINT)])
    monkeypatch.setattr(trials.Trials, "judge", _never)
    resumed = run_recipe(untouched(), splits=splits(), resume=True)
    whole = run_recipe(untouched(name="whole", small_data="fine_tune", head="native"), splits=splits())
    assert metrics(resumed.folder) == metrics(whole.folder)


def test_a_contrastive_start_that_is_stopped_begins_again(untouched: Untouched, tmp_path: Path) -> None:
    few = untouched(small_data={"road": "contrastive", "steps": 6}, head="native")
    with pytest.raises(Interrupted, match="nothing was written"):
        run_recipe(few, splits=splits(), observers=[signaller("on_step", 2, signal.SIGINT)])
    resumed = run_recipe(few, splits=splits(), resume=True)
    whole = run_recipe(few | {"name": "whole"}, splits=splits())
    assert_same_model(resumed.folder, whole.folder)


def test_seeds_share_the_road(untouched: Untouched, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    plain = roads.parts_to_judge
    monkeypatch.setattr(roads, "parts_to_judge", lambda targets: calls.append(1) or plain(targets))
    result = run_recipe(untouched(train={"seeds": [1, 2], "precision": "fp32"}), splits=splits())
    assert calls == [1]
    assert told(result.folder / "seed-2") == told(result.folder / "seed-1")


def test_a_head_that_knows_the_labels_is_kept(untouched: Untouched) -> None:
    first = run_recipe(untouched(small_data="probe", head="native"), splits=splits())
    more = untouched(name="more", checkpoint=str(first.folder))
    assert prepared(more).recipe.small_data.road == "off"
    with pytest.raises(RecipeError, match="head knows these labels and is kept"):
        prepared(more | {"small_data": "contrastive"})


def _never(*_: Any) -> Any:
    raise AssertionError("chosen again")
