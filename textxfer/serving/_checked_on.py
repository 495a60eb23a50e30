"""The rows that an exported model is checked on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from textxfer.data.columns import select_columns
from textxfer.errors import DataError, TextxferError
from textxfer.records import Split, Splits
from textxfer.serving._columns_to_read import OF_REFERENCES, columns_to_read
from textxfer.serving.engine import Engine
from textxfer.sources.files import Files
from textxfer.tasks import Task
from textxfer.training.run_folder import RECIPE

MOST_ROWS = 2000
SPLITS = ("validation", "test", "train")

TEXTS = (
    "A delight from the first scene to the last.",
    "the food was cold and nobody said sorry",
    "It is fine, I suppose: not good, not bad.",
    "",
    "¡Qué película tan bonita! Ça m'a plu, größtenteils.",
    "这家餐厅的服务很好。 とても良かったです。",
    "WOW!!! 10/10 🎬🎉 would watch again :-)",
    "see http://example.org/a?b=c&d=1 or write to someone@example.org",
    "[CLS] [SEP] </s> <|endoftext|> <pad> are words here",
    "line one\nline two\ttabbed   and   spaced",
    "The plot, which nobody in the room could follow, went on and on, and then on again. " * 12,
    "no",
)
QUESTIONS = (
    ("When does the library open?", "The library opens at nine and closes at six on weekdays."),
    ("Who wrote the report?", "The committee met twice. The report was written by Ada Moss, and printed in May."),
    ("Où est la gare ?", "La gare est derrière l'église, à deux pas du marché."),
    ("What colour is it?", "It weighs two kilograms."),
    (
        "How long is the river?",
        "The river crosses four counties before it reaches the sea. " * 30 + "It is 80 km long.",
    ),
    ("", "A passage without a question."),
)


@dataclass(frozen=True)
class Checked:
    """Rows with the task's columns but the label.

    Attributes:
        rows: At least one.
        what: Says what they are, after their number: "validation rows of runs/a".
        notes: What the user should know.
    """

    rows: list[dict[str, str]]
    what: str
    notes: tuple[str, ...] = ()


def rows_to_check(
    model: str, engine: Engine, data: Path | None = None, columns: Mapping[str, str] | None = None
) -> Checked:
    """Gives rows like those that the model will see.

    Args:
        model: As the user named it; the rows of a run are those its recipe names.
        engine: With the model.
        data: A file, or a folder with a file for each split, that stands in for them.
        columns: The data's names of the task's columns, where they differ.

    Raises:
        DataError: `data` are not as they must be.
    """
    task = engine.task
    if data is not None:
        name, raw = _chosen(Files(data).load() if data.is_dir() else Splits(Files(data).load().train))
        if strangers := [name for name in columns or () if name not in (*_needed(task), *_optional(task))]:
            raise DataError(f"the model has no use for --{strangers[0].replace('_', '-')}")
        split = select_columns(Splits(raw), columns_to_read(engine, raw, columns or {})).train
        return Checked(_rows(task, split), f"{name} rows of {data}" if data.is_dir() else f"rows of {data}")
    run = _run_of(model)
    if run is None:
        return built_in(engine)
    from textxfer.recipe.loading import load_recipe
    from textxfer.training.rows import load_rows

    try:
        name, split = _chosen(load_rows(load_recipe(run / RECIPE)).splits)
    except TextxferError as error:
        found = built_in(engine)
        return Checked(found.rows, found.what, (f"the rows of {run} cannot be read: {error.lines[0].splitlines()[0]}",))
    return Checked(_rows(task, split), f"{name} rows of {run}")


def built_in(engine: Engine) -> Checked:
    """Gives texts of many kinds, or pairs of them, for a model of which nothing else is known."""
    if engine.labels is None:
        rows = [{"question": question, "context": context} for question, context in QUESTIONS]
    elif engine.pairs:
        pairs = zip(TEXTS, TEXTS[5:] + TEXTS[:5], strict=True)
        return Checked([{"text": text, "text_pair": second} for text, second in pairs], "built-in pairs of texts")
    else:
        rows = [{"text": text} for text in TEXTS]
    return Checked(rows, "built-in texts")


def _needed(task: Task) -> tuple[str, ...]:
    return tuple(name for name in task.required_columns if name not in OF_REFERENCES)


def _optional(task: Task) -> tuple[str, ...]:
    return () if task.predicts == "answers" else ("text_pair",)


def _run_of(model: str) -> Path | None:
    """Gives the run that a model is of, where there is one."""
    folder = Path(model).expanduser()
    places = (folder, *((folder.absolute().parent,) if folder.name == "model" else ()))
    return next((place for place in places if (place / RECIPE).is_file()), None)


def _chosen(splits: Splits) -> tuple[str, Split]:
    there = dict(splits.present())
    name = next(name for name in SPLITS if name in there and len(there[name]))
    return name, there[name]


def _rows(task: Task, split: Split) -> list[dict[str, str]]:
    """Gives as many rows as are looked at, from all over the split."""
    count = min(len(split), MOST_ROWS)
    rows = split.rows.select([number * len(split) // count for number in range(count)])
    wanted = [name for name in (*_needed(task), *_optional(task)) if name in rows.column_names]
    found: list[dict[str, str]] = rows.select_columns(wanted).to_list()
    return found
