"""`textxfer suspects RECIPE`: lists the training rows whose label is probably wrong, to be reviewed."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from textxfer.command_line import add_recipe_arguments
from textxfer.errors import OutputError, RecipeError

if TYPE_CHECKING:
    from textxfer.evaluation.suspects import Suspects

SUMMARY = "list the training rows whose label is probably wrong, to be reviewed"

SHOWN = 10
WIDTH = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    add_recipe_arguments(parser, "task.max_length=64", what="a recipe (YAML), or the folder of a finished run")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="where it goes; default: suspects.csv, in a run's own folder"
    )
    parser.add_argument("--top", type=int, metavar="N", help="how many rows; default: as many as the evidence bears")
    parser.add_argument("--overwrite", action="store_true", help="replace a list that is there")


def execute(arguments: argparse.Namespace) -> int:
    """Writes the list and prints its first rows; the list of a run goes into its report."""
    from textxfer.recipe.loading import load_recipe
    from textxfer.training.run_folder import METRICS, RECIPE, SUSPECTS

    place = Path(arguments.recipe)
    if place.is_dir() and not (place / METRICS).is_file():
        raise OutputError(f"{place}: holds no finished run ({METRICS} is missing); name one, or a recipe")
    source, path = (place / RECIPE, place / SUSPECTS) if place.is_dir() else (place, Path(SUSPECTS))
    recipe, path = load_recipe(source, *arguments.overrides), arguments.output or path
    if arguments.top is not None and arguments.top < 1:
        raise RecipeError(f"--top: must be 1 or more, not {arguments.top}")
    if path.exists() and not arguments.overwrite:
        raise OutputError(
            f"{path}: is there already, perhaps with marks in it; --overwrite replaces it, -o names another"
        )
    from textxfer.training.rows import load_rows

    rows = load_rows(recipe)
    if rows.task.predicts != "labels":
        raise RecipeError(f"{source}: suspects can be found where each row has one label; its task is another")
    from textxfer.commands._progress import progress
    from textxfer.evaluation.suspects import write
    from textxfer.training.prepare import encode_rows
    from textxfer.training.scrutiny import find_suspects, write_suspects

    prepared = encode_rows(recipe, rows)
    with progress("looking for suspects") as between:
        found = find_suspects(prepared, arguments.top, between=between)
    if path == place / SUSPECTS:
        write_suspects(found, place)
    else:
        write(found, path)
    for line in _lines(found, path):
        print(line)
    if path == place / SUSPECTS:
        from textxfer.report.html import write_report

        print(write_report(place))
    return 0


def _lines(found: Suspects, path: Path) -> Iterator[str]:
    from textxfer.data.reviewed import cell

    yield found.told
    if found.unjudged:
        yield f"not judged, for they have fewer than 5 rows: {', '.join(map(cell, found.unjudged))}"
    if found.found:
        yield f"\n{'score':>6}  given -> suggested  id  text"
    for each in found.found[:SHOWN]:
        text = cell(each.text)
        shown = f"{text[:WIDTH]}..." if len(text) > WIDTH else text
        yield f"{each.score:6.3f}  {cell(each.given)} -> {cell(each.suggested)}  {cell(each.id)}  {shown}"
    yield f"\n{path}: {len(found.found):,} rows, the most doubtful first (--top N: as many as you say). Write x in the"
    yield "column `drop` of those to leave out, or a number such as 0.3 in `weight` of those that count less, and put"
    yield f"`drop: {path.name}` under `dataset:` in the recipe (a path relative to it). Mark a copy that lies outside"
    yield "of run folders: `--overwrite` replaces those as a whole."
