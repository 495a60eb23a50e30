"""Recipes of every kind, as mappings."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

texts = st.text(max_size=12)
names = st.lists(texts, min_size=1, max_size=4, unique=True)
paths = st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=9).filter(
    lambda path: not path.startswith("//")  # POSIX lets these mean anything
)
rates = st.floats(1e-8, 0.9)
counts = st.integers(1, 10**6)


def section(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Some of the fields."""
    return st.fixed_dictionaries({}, optional=fields)


TASKS = {
    "sentiment": section(labels=names, ordered=st.booleans(), max_length=st.integers(8, 9999)),
    "topic": section(labels=names, multi_label=st.booleans(), max_length=st.integers(8, 9999)),
    "question_answering": section(
        max_length=st.integers(200, 9999), stride=st.integers(0, 150), max_answer_length=counts
    ),
}

recipes = st.builds(
    lambda task, options, others: {"task": {"name": task} | options[task], **others},
    st.sampled_from(sorted(TASKS)),
    st.fixed_dictionaries(TASKS),
    st.fixed_dictionaries(
        {
            "checkpoint": st.one_of(
                st.fixed_dictionaries({"id": paths}).filter(lambda checkpoint: "@" not in checkpoint["id"]),
                st.fixed_dictionaries({"id": st.just("org/name"), "revision": texts}),
            ),
            "dataset": st.one_of(
                section(text=texts, label=texts, limit=counts, validation_fraction=rates).map(
                    lambda data: data | {"path": "x"}
                ),
                st.fixed_dictionaries({"path": paths}),
                section(config=texts, revision=texts, test=texts, text_pair=texts, label_delimiter=texts).map(
                    lambda data: data | {"hub": "5e5"}
                ),
            ),
        },
        optional={
            "name": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]*", fullmatch=True),
            "freeze": section(layers=st.integers(0, 99) | st.just("all"), embeddings=st.none() | st.booleans()),
            "head": section(start=st.none() | st.just("random")),
            "train": section(
                epochs=counts,
                max_steps=st.none() | counts,
                learning_rate=rates | st.just(1),
                head_learning_rate=st.none() | rates,
                layer_decay=rates | st.just(1),
                schedule=st.sampled_from(["linear", "cosine", "constant"]),
                max_grad_norm=st.none() | rates,
                dropout=st.none() | rates,
                seed=st.integers(0, 10**9),
                prefix_cache=st.just("off") | section(memory=st.just("1 GiB"), directory=texts),
                evaluate_every=st.just("epoch") | counts,
            ),
            "calibrate": st.sampled_from(["auto", "off"]),
            "output": section(directory=texts),
            "hub": section(
                repo=st.just("org/name"),
                private=st.booleans(),
                revision=st.just("next"),
                license=st.text(min_size=1, max_size=9),
                language=st.sampled_from(["no", ["en", "pt-BR"]]),
                tags=st.lists(st.text(min_size=1, max_size=9), max_size=3, unique=True),
            ),
        },
    ),
)
