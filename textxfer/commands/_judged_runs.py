"""Run folders as `evaluation.compare` wants them: read strictly, every mistake with its file and line."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textxfer import registry
from textxfer.errors import DataError, OutputError, TextxferError, shortened
from textxfer.training.run_folder import ENVIRONMENT, METRICS, RECIPE

if TYPE_CHECKING:
    from textxfer.evaluation.compare import JudgedRun
    from textxfer.labels import LabelSet

PREDICTIONS = "predictions.jsonl"
MOST_PROBLEMS = 3
"""Of one run."""


def seed_folders(names: Sequence[str]) -> list[str]:
    """Gives the names with `<name>` replaced by `<name>/seed-<n>`, where these are what is there."""
    found = []
    for name in names:
        seeds = [path for path in Path(name).glob("seed-*") if (path / RECIPE).is_file()]
        seeds.sort(key=lambda path: (len(path.name), path.name))
        found += [str(path) for path in seeds] or [name]
    return found


def read_runs(names: Sequence[str]) -> list[JudgedRun]:
    """Reads runs.

    Raises:
        TextxferError: Some of them cannot be compared; the message says why for each.
    """
    runs, problems = [], []
    twice = [name for place, name in enumerate(names) if _real(name) in map(_real, names[:place])]
    problems += [f"{name}: is named twice" for name in dict.fromkeys(twice)]
    for name in names:
        try:
            runs.append(_read_run(name))
        except TextxferError as error:
            problems += shortened(list(error.lines), MOST_PROBLEMS)
    if problems:
        raise DataError(*problems)
    return runs


def _real(name: str) -> str:
    return os.path.realpath(name)


def _read_run(name: str) -> JudgedRun:
    from textxfer.evaluation.compare import JudgedRun
    from textxfer.records import Predictions

    folder = Path(name)
    metrics = _metrics(folder)
    records = _records(folder / PREDICTIONS)
    number = (metrics.get("num_examples") or {}).get("test", len(records))
    if len(records) != number:
        raise DataError(
            f"{folder / PREDICTIONS}: has {len(records)} lines, but {METRICS} counts {number} test rows; run the "
            "recipe again with --overwrite"
        )
    labels = _labels(metrics, records)
    predicted, references = _judged(records, labels, folder / PREDICTIONS)
    recipe = _recipe(folder)
    return JudgedRun(
        name,
        Predictions([record["id"] for record in records], predicted, references),
        labels,
        tuple(metrics["test"]),
        select_by=_select_by(recipe),
        recipe=_what_is_learnt(folder, recipe),
        seed=_section(recipe, "train").get("seed"),
        texts=_texts(records),
        groups=[record["context"] for record in records] if "context" in records[0] else None,
    )


def _metrics(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise OutputError(f"{folder}: there is no such folder")
    if not (folder / METRICS).is_file():
        if (folder / RECIPE).is_file():
            raise OutputError(f"{folder}: the run has not finished (it has no {METRICS}); go on with it by --resume")
        raise OutputError(f"{folder}: is no run folder (it has no {METRICS})")
    metrics = _json(folder / METRICS)
    if not isinstance(metrics.get("test"), dict):
        raise DataError(
            f"{folder}: the run has no test split, so that there is nothing to compare; name `dataset.test`"
        )
    return metrics


def _json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OutputError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path}: is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise DataError(f"{path}: holds no JSON object")
    return data


def _records(path: Path) -> list[dict[str, Any]]:
    """Reads predictions.jsonl; all its lines have the keys of the first that are needed."""
    records: list[dict[str, Any]] = []
    problems = []
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                found = _record(line, records)
                if isinstance(found, str):
                    problems.append(f"{path}:{number}: {found}")
                else:
                    records.append(found)
    except FileNotFoundError:
        raise OutputError(f"{path}: there is no such file; run the recipe again with --overwrite") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if problems:
        raise DataError(*problems)
    if not records:
        raise DataError(f"{path}: is empty")
    return records


def _record(line: str, earlier: Sequence[Mapping[str, Any]]) -> dict[str, Any] | str:
    """Gives a line's record, or what is wrong with it."""
    try:
        record = json.loads(line)
    except ValueError as error:
        return f"is not JSON: {error}"
    if not isinstance(record, dict):
        return "holds no JSON object"
    kept = ("context", "question", "text", "text_pair")
    first = earlier[0] if earlier else record
    needed = ("answer", "references") if "answer" in first else ("prediction", "reference")
    missing = [key for key in ("id", *needed, *(key for key in kept if key in first)) if key not in record]
    if missing:
        return f"has no {' and no '.join(f'`{key}`' for key in missing)}"
    # The probabilities of thousands of rows and labels would fill the memory.
    return {key: record[key] for key in ("id", *needed, *kept) if key in record} | {"id": str(record["id"])}


def _labels(metrics: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> LabelSet | None:
    """Gives the labels in the order of their ids; None for answers."""
    from textxfer.labels import LabelSet, in_order

    if "answer" in records[0]:
        return None
    known = (metrics.get("per_label") or {}).get("test")
    if known:
        return LabelSet(tuple(known))
    values = [record[key] for record in records for key in ("reference", "prediction")]
    return LabelSet(in_order(name for value in values for name in (value if isinstance(value, list) else [value])))


def _judged(records: Sequence[Mapping[str, Any]], labels: LabelSet | None, path: Path) -> tuple[Any, Any]:
    """Gives predictions and references as metrics want them."""
    import numpy as np

    if labels is None:
        return [record["answer"] for record in records], [record["references"] for record in records]
    ids = labels.label2id
    several = isinstance(records[0]["reference"], list)
    problems: list[str] = []

    def numbers(key: str) -> Any:
        values = [record[key] for record in records]
        for line, value in enumerate(values, start=1):
            names = value if several else [value]
            if isinstance(value, list) != several:
                problems.append(f"{path}:{line}: the {key} {value!r} is {'no' if several else 'a'} list")
            elif strange := [name for name in names if not isinstance(name, str) or name not in ids]:
                problems.append(f"{path}:{line}: the {key} {strange[0]!r} is none of the run's labels")
        if problems:
            raise DataError(*problems)
        if not several:
            return np.array([ids[value] for value in values])
        sets = np.zeros((len(values), len(ids)), np.int64)
        for row, value in enumerate(values):
            sets[row, [ids[name] for name in value]] = 1
        return sets

    return numbers("prediction"), numbers("reference")


def _recipe(folder: Path) -> Mapping[str, Any]:
    """Gives the resolved recipe; nothing where it is missing or damaged."""
    from textxfer.recipe.reading import read_text

    try:
        return read_text((folder / RECIPE).read_text(encoding="utf-8"), RECIPE).data
    except (OSError, ValueError):
        return {}


def _section(recipe: Mapping[str, Any], name: str) -> dict[str, Any]:
    section = recipe.get(name)
    return section if isinstance(section, dict) else {}


def _select_by(recipe: Mapping[str, Any]) -> str | None:
    """Gives the metric that chose the weights: the recipe's, else its task's; None if unknown."""
    named: str | None = _section(recipe, "evaluate").get("select_by")
    task = _section(recipe, "task").get("name")
    if named is None and task in registry.names("tasks"):
        named = registry.load("tasks", task).select_by
    return named


def _what_is_learnt(folder: Path, recipe: Mapping[str, Any]) -> str | None:
    """Gives what runs share that learnt by the same recipe from the same rows, but for the seed; None if unknown."""
    from textxfer.training.environment import recipe_fingerprint

    train = _section(recipe, "train")
    if "seed" not in train:
        return None
    kept = dict(recipe) | {"train": {key: train[key] for key in train.keys() - {"seed", "seeds"}}}
    for name, key in (("dataset", "path"), ("checkpoint", "id")):
        section = _section(recipe, name)
        if str(section.get(key)).startswith("."):  # relative to the run folder
            kept[name] = section | {key: os.path.realpath(folder / section[key])}
    try:
        data = _json(folder / ENVIRONMENT)["fingerprints"]["data"]
    except (TextxferError, KeyError, TypeError):
        return None
    return f"{recipe_fingerprint(kept)} {data}"


def _texts(records: Sequence[Mapping[str, Any]]) -> list[str] | None:
    """Gives what to show of each row; None in runs from before texts were written."""
    keys = [key for key in ("question", "text", "text_pair") if key in records[0]]
    return [" | ".join(str(record[key]) for key in keys) for record in records] if keys else None
