"""`textxfer check RECIPE`: finds the mistakes that a run would, without loading a model, and looks through the rows."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from textxfer.command_line import add_recipe_arguments

if TYPE_CHECKING:
    import numpy as np

    from textxfer.training.prepare import Prepared
    from textxfer.training.rows import Rows

SUMMARY = "check a recipe and its data without loading a model, and describe the rows"

QUANTILES = (50, 90, 95, 99)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    add_recipe_arguments(parser, "task.max_length=64")
    parser.add_argument("--fast", action="store_true", help="do not look for texts that are nearly equal")


def execute(arguments: argparse.Namespace) -> int:
    """Prints what there is; raises the first kind of mistake it meets, each of its mistakes a line."""
    from textxfer.recipe.loading import load_recipe

    recipe = load_recipe(arguments.recipe, *arguments.overrides)
    from textxfer.publishing.hub import check_push
    from textxfer.training.prepare import encode_rows
    from textxfer.training.rows import load_rows
    from textxfer.training.run_folder import RunFolder

    check_push(recipe.hub)
    RunFolder(recipe.folder, overwrite=True)  # whether it can be written; a run that is there is no mistake
    rows = load_rows(recipe)
    _print(_rows_lines(rows))
    prepared = encode_rows(recipe, rows)
    _print(_token_lines(prepared))
    _print(_adapt_lines(prepared))
    findings = _findings(prepared, near=not arguments.fast)
    _print([*findings, ""] if findings else [])
    known = f", {len(findings)} things to know of the rows (above)" if findings else ""
    _print([*prepared.rows.notes, f"{arguments.recipe}: nothing is wrong{known}; {_steps(prepared)}"])
    return 0


def _steps(prepared: Prepared) -> str:
    from textxfer.training.few_rows import heads, is_open, on_road, roads
    from textxfer.training.prepare import planned_anew

    recipe = prepared.recipe
    if is_open(recipe):
        if len(roads(recipe)) > 1 or len(heads(recipe)) > 1:
            return "a run compares ways to train on so few rows (`small_data`)"
        rows = len(prepared.rows.splits.train)
        prepared = planned_anew(prepared, on_road(recipe, recipe.small_data.road, recipe.head.name, rows))
    few = prepared.recipe.small_data
    start = f"{few.steps} steps of a contrastive start, " if few.road == "contrastive" else ""
    return f"{start}{prepared.plan.steps} steps to train"


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, flush=True)


def _rows_lines(rows: Rows) -> Iterator[str]:
    splits = dict(rows.splits.present(reserved=True))
    counts = [_counts(split.rows) for split in splits.values()]
    names = rows.labels.names if rows.labels is not None else ("with an answer", "without")
    lines = [["rows", *map(len, splits.values())]]
    lines += [[f"  {name}", *(count.get(name, 0) for count in counts)] for name in names]
    yield from _table(["", *splits], lines)
    if rows.splits.reserved is not None:
        yield "reserved: rows of validation that choose nothing, on which label sets (`coverage`) are measured"
        yield ""


def _counts(rows: Any) -> dict[str, int]:
    """Gives the rows of each label, or the questions with and without an answer."""
    counts: dict[str, int] = {}
    if "label" in rows.column_names:
        names = (name for value in rows["label"][:] for name in (value if isinstance(value, list) else [value]))
    else:
        names = ("with an answer" if answers["text"] else "without" for answers in rows["answers"][:])
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return counts


def _token_lines(prepared: Prepared) -> Iterator[str]:
    import numpy as np

    task = prepared.rows.task
    windows = prepared.encoded["train"].spans is not None
    head = ["tokens", *(f"{share}%" for share in QUANTILES), "max"]
    head += ["windows a row", "most"] if windows else ["truncated"]
    lines = []
    for name, split in prepared.rows.splits.present(reserved=True):
        encoded, lengths = prepared.encoded[name], _full_lengths(prepared, name)
        cells = [*np.percentile(lengths, QUANTILES).round().astype(int), lengths.max()]
        if windows:
            each = np.bincount(encoded.rows, minlength=len(split))
            cells += [f"{each.mean():.2f}", each.max()]
        else:
            cells += [f"{encoded.truncated / len(split):.1%}"]
        lines.append([name, *cells])
    yield from _table(head, lines)
    yield f"max_length {task.max_length}" + (f", stride {getattr(task, 'stride', 0)}" if windows else "")


def _adapt_lines(prepared: Prepared) -> Iterator[str]:
    settings = prepared.recipe.adapt
    if settings is None:
        return
    from textxfer.adaptation.before_task import work_of
    from textxfer.training.precision import make_accelerator

    precision = make_accelerator(prepared.recipe.train.precision).mixed_precision
    work = work_of(settings, prepared.checkpoint, prepared.rows.splits, precision)
    texts, tokens = work.texts, len(work.encoded["train"].input_ids)
    yield from texts.notes
    yield (
        f"adapt: {len(texts.train):,} texts of {tokens:,} tokens, {work.plan.steps} steps ({work.objective.name}); "
        f"{len(texts.held_back):,} texts held back"
    )
    yield ""


def _findings(prepared: Prepared, near: bool) -> list[str]:
    """Gives what somebody should know of the rows before a score is believed."""
    from textxfer.commands._progress import progress
    from textxfer.training.scrutiny import look_at

    with progress("looking through the rows") as between:
        return look_at(prepared, near, between).lines()


def _full_lengths(prepared: Prepared, name: str) -> np.ndarray:
    """Gives the tokens of each row of a split, uncut."""
    from textxfer.modeling.checkpoint import NO_LIMIT

    unlimited = copy.copy(prepared.rows.task)
    unlimited.max_length = NO_LIMIT
    rows = getattr(prepared.rows.splits, name).rows
    return unlimited.encode(rows, prepared.checkpoint.tokenizer, prepared.rows.labels).lengths


def _table(head: Sequence[Any], lines: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Gives lines with columns of like width: the first to the left, numbers to the right."""
    cells = [[str(cell) for cell in line] for line in [head, *lines]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for first, *others in cells:
        numbers = (f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True))
        yield "  ".join([f"{first:<{max(widths[0], 10)}}", *numbers]).rstrip()
    yield ""
