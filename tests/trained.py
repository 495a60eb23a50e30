"""Small models of every family, trained for some steps by a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

GOOD = ("the film was a delight", "we loved the room", "the cast was fine", "a delight, the view and the breakfast")
BAD = ("a dull story told badly", "the soup came cold", "the waiter was rude", "no end in sight, dull and cold")
WINDOW = {"max_length": 32, "stride": 8, "max_answer_length": 8}


def reviews() -> list[dict[str, Any]]:
    """Forty short texts with two labels, whose names are not in the order of the alphabet's ids by accident."""
    return [
        {"text": f"{texts[number % 4]} {'so ' * (number % 5)}", "label": label}
        for number in range(20)
        for texts, label in ((GOOD, "good"), (BAD, "bad"))
    ]


def topics() -> list[dict[str, Any]]:
    """Forty pairs of texts with any number of three labels."""
    kinds = (["food"], ["room", "view"], [], ["view"])
    return [
        {"text": (GOOD + BAD)[number % 8], "text_pair": GOOD[number % 3], "label": kinds[number % 4]}
        for number in range(40)
    ]


def questions(unanswerable: bool = True) -> list[dict[str, Any]]:
    """Twenty questions on ten contexts of two windows; a fifth has no answer where `unanswerable`."""
    rows = []
    for number in range(10):
        hour = ("nine", "six", "the old library", "weekdays")[number % 4]
        context = (
            f"note {number}: the library opens at {hour} and closes at night. we loved the view and the breakfast."
        )
        found = {"text": [hour], "answer_start": [context.index(hour)]}
        view = {"text": ["the view"], "answer_start": [context.index("the view")]}
        second = {"text": [], "answer_start": []} if unanswerable and number % 5 < 2 else view
        rows.append({"id": f"q{number}a", "question": "when opens the library?", "context": context, "answers": found})
        rows.append({"id": f"q{number}b", "question": "what was loved?", "context": context, "answers": second})
    return rows


ROWS = {"sentiment": reviews, "topic": topics, "question_answering": questions}
TASKS: dict[str, dict[str, Any]] = {
    "sentiment": {"name": "sentiment", "max_length": 32},
    "topic": {"name": "topic", "max_length": 32, "multi_label": True},
    "question_answering": {"name": "question_answering", **WINDOW},
}


def train(checkpoint: Path, task: str, runs: Path, settings: Mapping[str, Any] | None = None, **sections: Any) -> Path:
    """Runs a recipe on a tiny checkpoint and gives the run's folder.

    Args:
        checkpoint: Where to start.
        task: Of `ROWS`.
        runs: Where the run's folder goes.
        settings: Of the task, beside the usual ones.
        **sections: Of the recipe, instead of the usual ones.
    """
    import textxfer

    rows = ROWS[task]()
    recipe: dict[str, Any] = {
        "name": task,
        "checkpoint": str(checkpoint),
        "task": {**TASKS[task], **(settings or {})},
        "train": {"epochs": 3, "batch_size": 8, "learning_rate": 5e-3, "precision": "fp32"},
        # What a random backbone makes of texts hardly differs: a fitted head has huge weights, which magnify rounding.
        "head": {"start": "random"},
        "output": {"directory": str(runs)},
    }
    if task == "topic":
        recipe["dataset"] = {"text_pair": "text_pair"}
    splits = {"train": rows, "validation": rows[:10], "test": rows[10:]}
    return textxfer.run_recipe(recipe | sections, splits=splits, overwrite=True).folder
