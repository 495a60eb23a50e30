"""The texts to adapt to: gathered from their places, each once, none of them a validation or test row's."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from textxfer import registry
from textxfer.data.duplicates import plain
from textxfer.errors import DataError, shortened
from textxfer.recipe.sections import TASK_TEXTS, Adapt
from textxfer.records import Split, Splits
from textxfer.sources.files import READERS, read_file
from textxfer.sources.hub import Hub

LEAST_TEXTS = 20
LEAST_HELD_BACK = 50
SMALL = 5
"""Where there are few texts, one of so many is enough."""
COLUMNS = ("text", "text_pair", "context")
"""Of a task's rows."""


@dataclass(frozen=True)
class Texts:
    """Texts to adapt to.

    Attributes:
        train: To learn from.
        held_back: To measure the perplexity on; none of them is in `train`.
        notes: What the user should know, a sentence each.
    """

    train: list[str]
    held_back: list[str]
    notes: tuple[str, ...]


def collect(settings: Adapt, splits: Splits | None = None) -> Texts:
    """Gathers texts, leaves out repeated and empty ones, and holds some back.

    Args:
        settings: Where they are, and how many are held back.
        splits: Of the task that comes after; None where there is none.

    Raises:
        DataError: One line for each place that cannot be read, for texts of validation or test, for too few texts.
    """
    found: dict[str, str] = {}
    problems: list[str] = []
    count, dropped = 0, 0
    known = _judging(splits)
    for place in settings.texts:
        try:
            pieces = list(_pieces(place, settings.text, splits))
        except DataError as error:
            problems.extend(line.replace("dataset.path", "adapt.texts") for line in error.lines)
            continue
        for origin, texts in pieces:
            keys = [plain(text) for text in texts]
            shared = [row for row, key in enumerate(keys) if key in known]
            if shared and settings.shared == "error" and place != TASK_TEXTS:
                problems.append(_leak(origin, shared, known[keys[shared[0]]]))
            dropped += len(shared)
            count += sum(map(bool, keys)) - len(shared)
            for key, text in zip(keys, texts, strict=True):
                if key and key not in known:
                    found.setdefault(key, text)
    if not problems and len(found) < LEAST_TEXTS:
        problems.append(
            f"adapt.texts: {len(found)} different texts are too few to adapt to; give {LEAST_TEXTS} at least"
        )
    if problems:
        raise DataError(*shortened(problems))
    notes = [f"{dropped:,} texts to adapt to are left out: they stand in validation or test too"] if dropped else []
    if count > len(found):
        notes.append(f"{count - len(found):,} repeated texts to adapt to are left out")
    return _cut(list(found.values()), settings, tuple(notes))


def _cut(texts: list[str], settings: Adapt, notes: tuple[str, ...]) -> Texts:
    import numpy as np

    least = min(LEAST_HELD_BACK, len(texts) // SMALL)
    held_back = min(max(round(settings.held_back * len(texts)), least), len(texts) - 1)
    order = np.random.default_rng(0).permutation(len(texts))
    chosen = sorted(order[:held_back].tolist())
    rest = sorted(order[held_back:].tolist())
    return Texts([texts[place] for place in rest], [texts[place] for place in chosen], notes)


def _judging(splits: Splits | None) -> Mapping[str, str]:
    """Gives the texts that judge the task, as they are compared, each with the name of its split."""
    named = ((name, split) for name, split in (splits.present(reserved=True) if splits else ()) if name != "train")
    names = {"reserved": "validation"}
    texts = ((name, plain(text)) for name, split in named for column in _columns(split) for text in column)
    return {key: names.get(name, name) for name, key in texts if key}


def _columns(split: Split) -> Iterator[list[str]]:
    yield from (split.rows[name][:] for name in COLUMNS if name in split.rows.column_names)


def _leak(origin: str, rows: list[int], split: str) -> str:
    what = f"{len(rows):,} of its texts are" if len(rows) > 1 else "one of its texts is"
    return (
        f"{origin}: {what} in the task's {split} split too (the first is row {rows[0] + 1}), and a model must not have "
        "seen what it is judged on; take them out, or say `adapt.shared: drop`"
    )


def _of_hub(line: str, place: str) -> str:
    """Gives a sentence about a data set of the Hub as one about `adapt.texts`, which names an id and a revision."""
    line = line.replace("Check `dataset.hub` and `dataset.revision`", "Check `adapt.texts`")
    line = line.replace("say `dataset.train`", "download its files and name them in `adapt.texts`")
    line = re.sub(r"dataset\.(path|hub|revision)", "adapt.texts", line)
    if "Config name is missing" in line:
        line += " `adapt.texts` has no place for the name of a configuration: download its files and name them there."
    if "/" not in place:
        line += f" No file or folder has the name `{place}` either."
    return line


def _pieces(place: str, column: str, splits: Splits | None) -> Iterator[tuple[str, list[str]]]:
    """Gives the name of each file, or of what else the texts are in, and its texts."""
    if place == TASK_TEXTS:
        if splits is None:
            raise DataError(
                f"adapt.texts: `{TASK_TEXTS}` stands for the training texts of a recipe's task; name a recipe"
            )
        yield splits.train.origin, [text for texts in _columns(splits.train) for text in texts]
    elif os.path.isabs(place):
        for file in _files(Path(place)):
            yield str(file), _texts(read_file(file), "text" if file.suffix.lower() == ".txt" else column)
    else:
        name, _, revision = place.partition("@")
        try:
            split = Hub(name, revision=revision or None).load().train
        except DataError as error:
            raise DataError(*(_of_hub(line, place) for line in error.lines)) from error
        yield place, _texts(split, column)


def _files(place: Path) -> list[Path]:
    if not place.is_dir():
        if not place.exists():
            raise DataError(f"{place}: there is no such file or folder (adapt.texts)")
        return [place]
    files = sorted(file for file in place.iterdir() if file.suffix.lower() in READERS)
    if not files:
        raise DataError(f"{place}: has no file that textxfer reads ({' '.join(sorted(READERS))}; adapt.texts)")
    return files


def _texts(split: Split, column: str) -> list[str]:
    if column not in split.rows.column_names:
        there = registry.unknown(column, split.rows.column_names, "column")
        raise DataError(f"{split.origin}: has {there}; say `adapt.text`")
    values: Iterable[object] = split.rows.with_format(None)[column][:]
    texts = ["" if value is None else value for value in values]
    wrong = next((row for row, text in enumerate(texts) if not isinstance(text, str)), None)
    if wrong is not None:
        raise DataError(f"{split.where(wrong)}: column `{column}` holds {texts[wrong]!r:.40}, not text (adapt.text)")
    return [text for text in texts if isinstance(text, str)]
