"""Runs against each other: the tests' arithmetic, what a verdict says, seeds, and runs that do not fit together."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from textxfer.errors import DataError
from textxfer.evaluation._pairs import holm
from textxfer.evaluation.compare import Comparison, JudgedRun, Pair, compare
from textxfer.labels import LabelSet
from textxfer.records import Predictions

NAMES = ("calm", "loud", "rude")


def run(name: str, predicted: Any, references: Any, **more: Any) -> JudgedRun:
    """Gives a run of labels (ids), sets or answers, with ids test-0, test-1, ..."""
    ids = [f"test-{number}" for number in range(len(references))]
    more = {"labels": LabelSet(NAMES), "metrics": ("accuracy", "macro_f1")} | more
    if more["labels"] is not None:
        predicted, references = np.asarray(predicted), np.asarray(references)
    return JudgedRun(name, Predictions(ids, predicted, references), **more)


def with_right(name: str, right: Sequence[int], **more: Any) -> JudgedRun:
    """Gives a run of which rows are right (1) or wrong (0); references go round the labels."""
    references = np.arange(len(right)) % 3
    return run(name, np.where(right, references, (references + 1) % 3), references, **more)


def answering(name: str, answers: list[str], references: list[list[str]], **more: Any) -> JudgedRun:
    return run(name, answers, references, labels=None, metrics=("exact_match", "answer_f1"), **more)


def only_pair(comparison: Comparison) -> Pair:
    [pair] = comparison.pairs
    return pair


def random_right(rows: int, share: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(rows) < share


# Arithmetic


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    [(1, 6, 2 * (1 + 7) / 2**7), (0, 5, 2 / 2**5), (6, 1, 0.125), (4, 4, 1.0), (0, 1, 1.0), (0, 0, 1.0)],
)
def test_mcnemar_by_hand(only_first: int, only_second: int, p: float) -> None:
    first = [1] * only_first + [0] * only_second + [1] * 20 + [0] * 5
    second = [0] * only_first + [1] * only_second + [1] * 20 + [0] * 5
    found = only_pair(compare([with_right("a", first), with_right("b", second)], resamples=50)).mcnemar
    assert found is not None
    assert (found.only_first, found.only_second) == (only_first, only_second)
    assert found.p == found.holm_p == pytest.approx(p)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40))
def test_mcnemar_as_in_scipy(rows: list[tuple[int, int]]) -> None:
    first, second = zip(*rows, strict=True)
    found = only_pair(compare([with_right("a", first), with_right("b", second)], resamples=20)).mcnemar
    apart = [second > first for first, second in rows if first != second]
    assert found is not None
    assert found.p == pytest.approx(scipy.stats.binomtest(sum(apart), len(apart)).pvalue if apart else 1.0)


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm(ps: list[float]) -> None:
    order = sorted(range(len(ps)), key=lambda place: ps[place])
    raised = [min(1.0, (len(ps) - rank) * ps[place]) for rank, place in enumerate(order)]
    assert [holm(ps)[place] for place in order] == [max(raised[: rank + 1]) for rank in range(len(ps))]


def test_holm_by_hand() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])


def test_the_interval_of_a_difference_as_in_scipy() -> None:
    right = [random_right(400, 0.8, 0), random_right(400, 0.85, 1)]
    runs = [
        answering(name, ["nine" if each else "" for each in rows], [["nine"]] * 400)
        for name, rows in zip("ab", right, strict=True)
    ]
    found = only_pair(compare(runs, resamples=9999)).differences["exact_match"]
    each = right[1].astype(float) - right[0]
    theirs = scipy.stats.bootstrap((each,), np.mean, method="percentile", rng=0).confidence_interval
    assert found.value == pytest.approx(each.mean())
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.006)
    z = scipy.stats.norm.ppf
    assert found.detectable == pytest.approx((z(0.975) + z(0.8)) * each.std() / 20, rel=0.05)
    assert found.p == pytest.approx(2 * scipy.stats.norm.sf(each.mean() / each.std() * 20), abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("rows", [100, 400])
def test_like_runs_are_rarely_told_apart(rows: int) -> None:
    rng, times, told = np.random.default_rng(rows), 300, 0
    for number in range(times):
        shared, base = rng.random(rows) < 0.5, rng.random(rows) < 0.8
        runs = [with_right(name, np.where(shared, base, rng.random(rows) < 0.8)) for name in "ab"]
        told += only_pair(compare(runs, resamples=400, seed=number, rows=0)).differences["accuracy"].p < 0.05
    assert told / times < 0.085


# Verdicts


def test_a_clear_difference() -> None:
    runs = [with_right("runs/a", random_right(600, 0.7, 0)), with_right("runs/b", random_right(600, 0.85, 1))]
    comparison = compare(runs, "accuracy")
    found = only_pair(comparison).differences["accuracy"]
    assert only_pair(comparison).verdict == (
        f"runs/b is better than runs/a: +{found.value:.3f} accuracy [{found.low:.3f}, {found.high:.3f}], p < 0.001"
    )
    assert found.low < found.value < found.high
    other_way = only_pair(compare(runs[::-1], "accuracy"))
    told = rf"runs/b is better than runs/a: \+{found.value:.3f} accuracy \[0.1\d+, 0.2\d+\]"
    assert re.match(told, other_way.verdict)
    assert other_way.differences["accuracy"].value == -found.value


def test_a_difference_that_so_few_rows_cannot_show() -> None:
    runs = [with_right("a", random_right(50, 0.7, 0)), with_right("b", random_right(50, 0.72, 2))]
    pair = only_pair(compare(runs, "accuracy"))
    seen = pair.differences["accuracy"].detectable
    told = f"differences under {seen:.2g} accuracy cannot be seen with 50 rows"
    assert pair.verdict == f"b and a: not distinguishable at this test size; {told}"
    assert pair.differences["accuracy"].p > 0.05


def test_less_is_better_for_a_distance() -> None:
    references = np.zeros(200, int)
    far, near = np.where(random_right(200, 0.5, 0), 0, 2), np.where(random_right(200, 0.9, 1), 0, 1)
    runs = [run(name, said, references, metrics=("mean_distance",)) for name, said in (("far", far), ("near", near))]
    assert only_pair(compare(runs)).verdict.startswith("near is better than far: -1.0")


def test_the_metric_of_the_verdict() -> None:
    right = random_right(60, 0.8, 0)

    def found(metric: str | None, **more: Any) -> str:
        return compare([with_right(name, right, **more) for name in "ab"], metric, resamples=20).metric

    assert found(None) == "accuracy"
    assert found(None, select_by="macro_f1") == "macro_f1"
    assert found(None, select_by="answer_f1") == "accuracy"
    assert found("macro_f1") == "macro_f1"


@pytest.mark.parametrize("share", [0.8, 1.0], ids=["some errors", "no error"])
def test_the_same_predictions(share: float) -> None:
    right = random_right(400, share, 0)
    pair = only_pair(compare([with_right("a", right), with_right("b", right)]))
    assert pair.verdict == "a and b predict the same on all 400 rows"
    assert (pair.num_differing, pair.rows) == (0, ())
    assert pair.mcnemar is not None
    assert pair.mcnemar.p == 1
    for difference in pair.differences.values():
        assert (difference.value, difference.p) == (0, 1)
        assert -0.01 < difference.low < 0 < difference.high < 0.01  # 400 rows cannot show that there is none


def test_one_label() -> None:
    runs = [run(name, said, np.zeros(40, int)) for name, said in (("a", np.zeros(40, int)), ("b", np.arange(40) % 2))]
    pair = only_pair(compare(runs))
    assert pair.differences["accuracy"].value == -0.5
    assert pair.verdict.startswith("a is better than b: +0.500 accuracy")


def test_a_thousand_labels() -> None:
    names = LabelSet(tuple(f"intent {number}" for number in range(1000)))
    references = np.arange(3000) % 1000
    runs = [
        run(name, np.where(random_right(3000, share, seed), references, 0), references, labels=names)
        for seed, (name, share) in enumerate((("a", 0.8), ("b", 0.9)))
    ]
    assert only_pair(compare(runs, resamples=500)).verdict.startswith("b is better than a: +0.")


def test_label_sets() -> None:
    rng = np.random.default_rng(0)
    references = (rng.random((300, 3)) < 0.4).astype(int)
    sides = [np.where(rng.random((300, 3)) < share, references, 1 - references) for share in (0.75, 0.95)]
    pair = only_pair(compare([run(name, said, references) for name, said in zip("ab", sides, strict=True)]))
    assert pair.verdict.startswith("b is better than a: +0.")
    right = [(said == references).all(axis=1) for said in sides]
    assert pair.mcnemar is not None
    assert pair.mcnemar.only_second == (right[1] & ~right[0]).sum()
    row = pair.rows[0]
    number = int(row.id.removeprefix("test-"))
    chosen = [name for name, has in zip(NAMES, references[number], strict=True) if has]
    assert row.reference == (", ".join(chosen) or "(none)")


def test_answers_are_drawn_by_context() -> None:
    right = [np.repeat(random_right(40, share, seed), 5) for seed, share in enumerate((0.6, 0.75))]
    contexts = [f"note {number // 5}" for number in range(200)]
    said = [["nine" if each else "six" for each in rows] for rows in right]

    def found(**more: Any) -> Comparison:
        gold = [["nine"]] * 200
        return compare([answering(name, given, gold, **more) for name, given in zip("ab", said, strict=True)])

    together, alone = found(groups=contexts), found()
    assert only_pair(together).mcnemar is None
    width = [pair.differences["exact_match"].detectable for pair in (only_pair(together), only_pair(alone))]
    assert width[0] == pytest.approx(math.sqrt(5) * width[1], rel=0.1)
    assert together.notes == ()
    assert alone.notes == ("the runs do not hold their contexts: questions on one context are taken as independent",)


# Rows that differ


def test_rows_that_differ_come_with_their_texts_and_the_decided_ones_first() -> None:
    references = [0, 1, 2, 0]
    texts = ["one", "two", "three", "four"]
    runs = [run("a", [1, 1, 2, 0], references), run("b", [2, 1, 0, 0], references, texts=texts)]
    pair = only_pair(compare(runs, resamples=20))
    assert pair.num_differing == 2
    assert [dataclasses.astuple(row) for row in pair.rows] == [
        ("test-2", "rude", "rude", "calm", -1.0, "three"),
        ("test-0", "calm", "loud", "rude", 0.0, "one"),
    ]
    fewer = only_pair(compare(runs, resamples=20, rows=1))
    assert (fewer.num_differing, len(fewer.rows)) == (2, 1)


def test_answers_that_differ() -> None:
    gold = [["nine", "at nine"], []]
    pair = only_pair(compare([answering("a", ["at six", "six"], gold), answering("b", ["nine", ""], gold)]))
    assert [(row.reference, row.first, row.second, row.gain) for row in pair.rows] == [
        ("(no answer)", "six", "(no answer)", 1.0),
        ("nine | at nine", "at six", "nine", 0.5),
    ]


# Several runs


def test_p_values_of_several_pairs_are_corrected() -> None:
    rows = {"a": range(70), "b": range(4, 83), "c": [*range(10), *range(12, 70), 83, 84]}
    comparison = compare([with_right(name, np.isin(np.arange(100), list(right))) for name, right in rows.items()])
    assert [(pair.first, pair.second) for pair in comparison.pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    found = [pair.differences["accuracy"] for pair in comparison.pairs]
    assert [each.holm_p for each in found] == holm([each.p for each in found])
    tests = [pair.mcnemar for pair in comparison.pairs if pair.mcnemar]
    assert [each.holm_p for each in tests] == holm([each.p for each in tests])
    assert found[0].p < 0.05 < found[0].holm_p  # a difference by itself, not among three
    assert "not distinguishable" in comparison.pairs[0].verdict


def seeds(recipe: str, share: float, number: int, rows: int = 300, spread: float = 0.0) -> list[JudgedRun]:
    rng = np.random.default_rng(len(recipe) + number)
    return [
        with_right(
            f"runs/{recipe}/seed-{seed}",
            random_right(rows, share + spread * rng.normal(), 100 * number + seed),
            recipe=recipe,
            seed=seed,
        )
        for seed in range(number)
    ]


def test_seeds_of_a_recipe_are_one_side() -> None:
    runs = [*seeds("small", 0.7, 3), *seeds("large", 0.8, 4)]
    comparison = compare(runs, "accuracy")
    small, large = comparison.recipes
    assert (small.name, large.name) == ("runs/small", "runs/large")
    assert small.runs == tuple(one.name for one in runs[:3])
    each = [side.scores["accuracy"] for side in comparison.runs]
    assert small.scores["accuracy"] == pytest.approx(np.mean(each[:3]))
    assert large.deviations["accuracy"] == pytest.approx(np.std(each[3:], ddof=1))
    assert small.low_high["accuracy"][0] < small.scores["accuracy"] < small.low_high["accuracy"][1]
    pair = only_pair(comparison)
    assert pair.verdict.startswith("runs/large is better than runs/small: +0.")
    assert pair.mcnemar is None
    assert comparison.notes == ()
    differing = [row for row in pair.rows if "of 3)" in row.first]
    assert differing
    assert all(abs(row.gain) <= 1 for row in pair.rows)


def test_seeds_that_differ_widen_the_interval() -> None:
    calm, wild = (compare([*seeds("a", 0.75, 4), *seeds("bb", 0.75, 4, spread=by)], "accuracy") for by in (0.0, 0.1))
    widths = [only_pair(each).differences["accuracy"] for each in (calm, wild)]
    assert widths[1].high - widths[1].low > 2 * (widths[0].high - widths[0].low)


def test_few_seeds_are_cautioned() -> None:
    comparison = compare([*seeds("small", 0.7, 2), *seeds("large", 0.8, 1), *seeds("base", 0.8, 3)])
    assert len(comparison.pairs) == 3
    [note] = comparison.notes
    assert note.startswith("fewer than 3 seeds of runs/small (2), runs/large/seed-0 (1): with 1 the spread")


def test_seeds_of_one_recipe_alone_are_compared_one_by_one() -> None:
    comparison = compare(seeds("small", 0.7, 3))
    assert [side.name for side in comparison.recipes] == ["runs/small"]
    assert len(comparison.pairs) == 3
    assert comparison.notes == (
        "the runs are seeds of one recipe: they differ by chance, whatever a test of two of them says",
    )


def test_runs_of_one_recipe_and_one_seed_stay_apart() -> None:
    right = random_right(60, 0.8, 0)
    comparison = compare([with_right(name, right, recipe="same", seed=1) for name in "ab"])
    assert (comparison.recipes, comparison.notes, len(comparison.pairs)) == ((), (), 1)


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.0, 0.03])
def test_like_recipes_are_rarely_told_apart(spread: float) -> None:
    rng, times, told = np.random.default_rng(0), 200, 0
    for number in range(times):
        base = rng.random(300)
        runs = [
            with_right(f"{recipe}/seed-{seed}", chances < 0.8 + spread * rng.normal(), recipe=recipe, seed=seed)
            for recipe in "ab"
            for seed in range(3)
            for chances in [np.where(rng.random(300) < 0.6, base, rng.random(300))]
        ]
        told += only_pair(compare(runs, resamples=400, seed=number, rows=0)).differences["accuracy"].p < 0.05
    assert told / times < 0.09


# Runs that do not fit together


def shuffled(one: JudgedRun, order: Sequence[int], labels: tuple[str, ...]) -> JudgedRun:
    """Gives the same run with its rows and its labels in other orders."""
    own = LabelSet(labels)
    ids = np.array([own.label2id[name] for name in NAMES])
    said = one.predictions
    moved = Predictions(
        [said.ids[row] for row in order], ids[said.predicted][list(order)], ids[said.references][list(order)]
    )
    return dataclasses.replace(one, predictions=moved, labels=own)


def test_the_order_of_labels_in_sets_does_not_matter() -> None:
    sets = np.array([[1, 0, 0], [0, 1, 1], [1, 1, 0], [0, 0, 0]])
    first, second = run("a", sets, sets), run("b", sets[:, ::-1], sets)
    moved = Predictions(second.predictions.ids, sets, sets[:, ::-1])
    other = dataclasses.replace(second, predictions=moved, labels=LabelSet(NAMES[::-1]))
    assert compare([first, other]) == compare([first, second])


def test_the_order_of_rows_and_labels_does_not_matter() -> None:
    metrics = ("accuracy", "macro_f1", "matthews")
    first, second = (
        with_right(name, random_right(90, share, seed), metrics=metrics)
        for seed, (name, share) in enumerate((("a", 0.7), ("b", 0.9)))
    )
    other = shuffled(second, np.random.default_rng(0).permutation(90).tolist(), ("rude", "calm", "loud"))
    assert compare([first, other]) == compare([first, second])


def test_metrics_that_need_the_labels_in_order_are_left_out_where_orders_differ() -> None:
    metrics = ("accuracy", "mean_distance")
    first = with_right("a", random_right(30, 0.7, 0), metrics=metrics)
    other = shuffled(dataclasses.replace(first, name="b"), range(30), ("rude", "calm", "loud"))
    comparison = compare([first, other])
    assert comparison.metrics == ("accuracy",)
    assert comparison.notes == (
        "the runs do not have the same labels in the same order: mean_distance cannot be compared",
    )


def test_ids_that_stand_twice_are_matched_in_their_order() -> None:
    def twice(name: str, predicted: list[int]) -> JudgedRun:
        said = Predictions(["x", "x", "y"], np.array(predicted), np.array([0, 1, 2]))
        return JudgedRun(name, said, LabelSet(NAMES), ("accuracy",))

    assert only_pair(compare([twice("a", [0, 1, 2]), twice("b", [0, 2, 2])], resamples=20)).num_differing == 1


SAME = "only runs with the same test rows can be compared"


def problems(*runs: JudgedRun, metric: str | None = None) -> list[str]:
    with pytest.raises(DataError) as caught:
        compare(runs, metric)
    return str(caught.value).splitlines()


def test_other_rows() -> None:
    right = random_right(30, 0.8, 0)
    fewer = with_right("b", right[:27])
    other = dataclasses.replace(
        with_right("c", right),
        predictions=dataclasses.replace(
            with_right("c", right).predictions, ids=[f"dev-{number}" for number in range(30)]
        ),
    )
    assert problems(with_right("a", right), fewer, other) == [
        "a and b have different test rows: 3 of 30 rows are in a only (the first: id 'test-27')",
        "a and c have different test rows: 30 of 30 rows are in a only (the first: id 'test-0'); 30 of 30 rows are in "
        "c only (the first: id 'dev-0')",
        SAME,
    ]


def test_other_references() -> None:
    first, second = run("a", [0, 0, 0], [0, 1, 2]), run("b", [0, 0, 0], [0, 2, 1])
    assert problems(first, second) == [
        "a and b have different references in 2 of 3 rows (the first: id 'test-1', 'loud' against 'rude')",
        SAME,
    ]
    gold = answering("a", ["x", "y"], [["nine"], []]), answering("b", ["x", "y"], [["nine"], ["six"]])
    assert problems(*gold) == [
        "a and b have different references in 1 of 2 rows (the first: id 'test-1', '(no answer)' against 'six')",
        SAME,
    ]


def test_other_texts() -> None:
    runs = [run(name, [0, 0], [0, 1], texts=["one", text]) for name, text in (("a", "two"), ("b", "2" * 500))]
    assert problems(*runs) == [
        f"a and b have different texts in 1 of 2 rows (the first: id 'test-1', 'two' against '{'2' * 40}')",
        SAME,
    ]


def test_texts_of_new_runs_do_not_shut_out_old_ones() -> None:
    assert compare([run("a", [0, 0], [0, 1], texts=["one", "two"]), run("b", [0, 0], [0, 1])]).num_rows == 2


def test_labels_against_answers() -> None:
    sets = run("c", np.eye(3, dtype=int), np.eye(3, dtype=int))
    assert problems(run("a", [0, 0], [0, 1]), answering("b", ["x", "y"], [["x"], []]), sets) == [
        "b predicts answers, a labels: they cannot be compared",
        "c predicts any number of labels, a labels: they cannot be compared",
    ]


def test_one_run() -> None:
    assert problems(run("a", [0], [0])) == ["one run alone cannot be compared: name two or more"]


def test_metrics_that_runs_do_not_share() -> None:
    one, other = (run(name, [0, 1], [0, 1], metrics=("accuracy", name)) for name in ("f1", "calibration_error"))
    assert problems(one, other, metric="macro_f1") == ["unknown metric of these runs `macro_f1` (there are: accuracy)"]
    lonely = [run(name, [0, 1], [0, 1], metrics=(name,)) for name in ("macro_f1", "accuracy")]
    assert problems(*lonely) == ["the runs share no metric that can be compared"]


def test_settings_are_used() -> None:
    runs = [with_right("a", [1] * 53 + [0] * 27), with_right("b", [0] * 3 + [1] * 56 + [0] * 21)]

    def found(**settings: Any) -> Comparison:
        return compare(runs, **settings)

    usual = found()
    assert (usual.resamples, usual.level) == (5000, 0.95)
    assert found() == usual
    for settings_ in ({"seed": 1}, {"resamples": 100}, {"level": 0.5}):
        assert only_pair(found(**settings_)).differences != only_pair(usual).differences
    assert "is better" in only_pair(found(level=0.5)).verdict
    assert "not distinguishable" in only_pair(usual).verdict
