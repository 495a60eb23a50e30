from collections import Counter
from itertools import chain
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from textxfer.data.splits import cut, reserve
from textxfer.errors import DataError
from textxfer.records import Splits
from textxfer.sources.memory import Memory

FRACTIONS = st.sampled_from([0.05, 0.1, 0.25, 0.5, 0.9])
LABELS = st.lists(st.sampled_from("aaaabbc"), min_size=4, max_size=60)
LABEL_SETS = st.lists(
    st.frozensets(st.sampled_from("abcdef"), max_size=4).map(lambda s: tuple(sorted(s))), min_size=4, max_size=60
)


def rows(count: int, **others: int) -> Splits:
    def numbered(name: str, size: int) -> list[dict[str, str]]:
        return [{"id": f"{name}{number}"} for number in range(size)]

    return Memory(
        {"train": numbered("", count), **{name: numbered(name, size) for name, size in others.items()}}
    ).load()


def cut_ids(splits: Splits, strata: Any = None, groups: Any = None, **options: Any) -> dict[str, list[str]]:
    settings = {"validation_fraction": 0.1, "test_fraction": 0.0, "seed": 0} | options
    return {name: split.rows["id"][:] for name, split in cut(splits, strata, groups, **settings).present()}


def try_cut(*arguments: Any, **options: Any) -> dict[str, list[str]]:
    try:
        return cut_ids(*arguments, **options)
    except DataError:
        assume(False)
        raise


@settings(deadline=None, max_examples=30)
@given(st.one_of(LABELS, LABEL_SETS), FRACTIONS, FRACTIONS, st.integers(0, 5))
def test_a_cut_by_label_partitions_the_rows_and_keeps_each_label_in_train(labels, validation, test, seed) -> None:
    options = {"validation_fraction": validation, "test_fraction": test, "seed": seed}
    found = try_cut(rows(len(labels)), labels, **options)
    assert sorted(chain(*found.values()), key=int) == [str(number) for number in range(len(labels))]
    for ids in found.values():
        assert ids == sorted(ids, key=int), "rows keep their order"
        assert ids
    in_train = {label for number in found["train"] for label in labels[int(number)]}
    assert in_train == {label for each in labels for label in each}
    assert found == cut_ids(rows(len(labels)), labels, **options), "the same seed cuts the same rows"


@settings(deadline=None, max_examples=30)
@given(LABELS, FRACTIONS, st.integers(0, 5))
def test_each_label_gives_its_share_within_one_row(labels, fraction, seed) -> None:
    found = try_cut(rows(len(labels)), labels, validation_fraction=fraction, seed=seed)
    taken = Counter(labels[int(number)] for number in found["validation"])
    capped = False
    for label, count in Counter(labels).items():
        share = min(count * fraction, count - 1)
        capped |= share < count * fraction
        assert abs(taken[label] - share) < 1
    if not capped:
        assert len(found["validation"]) == max(round(len(labels) * fraction), 1)


def test_another_seed_cuts_other_rows() -> None:
    labels = ["a", "b"] * 50
    assert cut_ids(rows(100), labels, seed=0) != cut_ids(rows(100), labels, seed=1)


@settings(deadline=None, max_examples=20)
@given(LABELS, FRACTIONS, st.integers(0, 5))
def test_the_test_rows_do_not_depend_on_the_validation_rows(labels, fraction, seed) -> None:
    options = {"test_fraction": 0.25, "seed": seed}
    found = try_cut(rows(len(labels)), labels, validation_fraction=fraction, **options)
    assert found["test"] == cut_ids(rows(len(labels)), labels, validation_fraction=0, **options)["test"]


def test_rare_labels_are_not_emptied() -> None:
    labels = ["common"] * 97 + ["rare", "pair", "pair"]
    found = cut_ids(rows(100), labels, validation_fraction=0.5)
    assert "97" in found["train"]
    assert len({"98", "99"} & set(found["train"])) == 1


def test_label_sets_that_occur_once_each_can_be_cut() -> None:
    names = [f"l{number}" for number in range(12)]
    labels = [(names[a], names[b], names[c]) for a in range(12) for b in range(a) for c in range(b)]
    assert len(set(labels)) == len(labels) == 220
    found = cut_ids(rows(220), labels)
    assert len(found["validation"]) == 22
    assert {name for number in found["train"] for name in labels[int(number)]} == set(names)


def test_splits_that_are_there_stay() -> None:
    given_splits = rows(10, validation=3, test=2)
    found = cut(given_splits, ["a", "b"] * 5, None, validation_fraction=0.5, test_fraction=0.5, seed=0)
    assert found.train is given_splits.train
    assert found.validation is given_splits.validation
    assert found.test is given_splits.test


def test_zero_cuts_nothing() -> None:
    assert list(cut_ids(rows(10), ["a"] * 10, validation_fraction=0)) == ["train"]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 6), min_size=4, max_size=60), FRACTIONS, FRACTIONS, st.integers(0, 5))
def test_a_cut_by_group_keeps_groups_whole(groups, validation, test, seed) -> None:
    options = {"validation_fraction": validation, "test_fraction": test, "seed": seed}
    found = try_cut(rows(len(groups)), None, groups, **options)
    assert sorted(chain(*found.values()), key=int) == [str(number) for number in range(len(groups))]
    places = [{groups[int(number)] for number in ids} for ids in found.values()]
    assert sum(map(len, places)) == len(set(groups)), "a group stands in two splits"
    assert found == cut_ids(rows(len(groups)), None, groups, **options)


def test_a_large_group_does_not_flood_a_small_share() -> None:
    groups = ["large"] * 60 + [f"small{number // 4}" for number in range(40)]
    for seed in range(20):
        assert len(cut_ids(rows(100), None, groups, seed=seed)["validation"]) == 8


def test_where_no_group_fits_the_smallest_is_taken() -> None:
    groups = ["a"] * 40 + ["b"] * 30 + ["c"] * 35
    assert cut_ids(rows(105), None, groups)["validation"] == [str(number) for number in range(40, 70)]


@pytest.mark.parametrize(
    ("strata", "groups", "count"),
    [(["a", "b"], None, "2 rows"), (None, ["one", "one"], "1 contexts")],
)
def test_too_few_rows(strata: Any, groups: Any, count: str) -> None:
    with pytest.raises(DataError) as caught:
        cut_ids(rows(2), strata, groups)
    assert str(caught.value) == (
        f"splits['train']: {count} are too few to cut 10% for validation; give a validation split, or say "
        "`dataset.validation_fraction`"
    )


# --- rows held back from validation


def reserved_ids(labels: list[str], seed: int = 0) -> dict[str, list[str]]:
    held = reserve(rows(5, validation=len(labels), test=2), labels, seed=seed)
    return {name: split.rows["id"][:] for name, split in held.present(reserved=True)}


@settings(deadline=None, max_examples=30)
@given(st.integers(300, 700), st.integers(1, 9), st.integers(0, 5))
def test_a_third_of_validation_is_reserved(count: int, kinds: int, seed: int) -> None:
    labels = [f"l{min(number % 17, kinds)}" for number in range(count)]
    found = reserved_ids(labels, seed)
    assert len(found["reserved"]) == count // 3
    together = [int(row.removeprefix("validation")) for row in (*found["validation"], *found["reserved"])]
    assert sorted(together) == list(range(count))
    assert (len(found["train"]), len(found["test"])) == (5, 2)
    assert found == reserved_ids(labels, seed), "the same seed takes the same rows"
    taken = Counter(labels[int(row.removeprefix("validation"))] for row in found["reserved"])
    for label, own in Counter(labels).items():
        assert abs(taken[label] - own * (count // 3) / count) < 2


def test_every_row_has_the_same_chance_to_be_reserved() -> None:
    """A rare label's rows too: what holds for the reserved rows must hold for new ones."""
    labels = ["common"] * 295 + ["rare"] * 4 + ["single"]
    draws = Counter(row for seed in range(600) for row in reserved_ids(labels, seed)["reserved"])
    for number in (0, 150, 294, 295, 298, 299):
        assert abs(draws[f"validation{number}"] / 600 - 1 / 3) < 4.5 * (2 / 9 / 600) ** 0.5


def test_fewer_than_300_rows_are_left_whole() -> None:
    splits = rows(5, validation=299)
    assert reserve(splits, ["a"] * 299, seed=0) is splits
    assert len(reserved_ids(["a"] * 300)["reserved"]) == 100


def test_two_thousand_rows_are_reserved_at_most() -> None:
    found = reserved_ids(["a", "b"] * 5000)
    assert (len(found["reserved"]), len(found["validation"])) == (2000, 8000)


def test_reserved_rows_are_given_only_where_asked_for() -> None:
    held = reserve(rows(5, validation=300), ["a"] * 300, seed=0)
    assert [name for name, _ in held.present()] == ["train", "validation"]
    assert [name for name, _ in held.present(reserved=True)] == ["train", "validation", "reserved"]
    assert [name for name, _ in rows(5).present(reserved=True)] == ["train"]
