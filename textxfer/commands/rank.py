"""`textxfer rank RECIPE --checkpoints A B`: which checkpoint suits the recipe's training rows best, before training."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from textxfer.command_line import add_recipe_arguments
from textxfer.errors import RecipeError

SUMMARY = "rank checkpoints by what they make of the training rows, before any is trained"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    add_recipe_arguments(parser, "task.max_length=64")
    parser.add_argument(
        "--checkpoints", nargs="+", metavar="ID", help="folders or Hub ids (id@revision); default: `checkpoint.auto`"
    )
    parser.add_argument(
        "--pooling", choices=("mean", "cls", "last"), default="mean", help="how token vectors become one (mean)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def execute(arguments: argparse.Namespace) -> int:
    """Prints the ranking; gives 1 where a checkpoint could not be ranked, and names it on standard error."""
    from textxfer.recipe.loading import load_recipe
    from textxfer.recipe.merging import place_of

    names, overrides = _checkpoints(arguments)
    recipe = load_recipe(arguments.recipe, *overrides)
    names = [place_of(name, Path.cwd()) for name in names] or list(recipe.checkpoint.auto or ())
    if not names:
        raise RecipeError(f"{arguments.recipe}: say which checkpoints to rank: --checkpoints A B")
    from textxfer.commands._progress import progress
    from textxfer.training.precision import make_accelerator
    from textxfer.training.ranking import rank_checkpoints
    from textxfer.training.rows import load_rows

    rows = load_rows(recipe)
    accelerator = make_accelerator(recipe.train.precision)
    with progress("ranking") as between:
        ranking = rank_checkpoints(recipe, rows, names, accelerator, pooling=arguments.pooling, between=between)
    if arguments.json:
        print(json.dumps(ranking.to_dict(), indent=2, ensure_ascii=False))
    else:
        print(*ranking.lines(), sep="\n")
    if not ranking.failed:
        return 0
    failed = ", ".join(each.checkpoint for each in ranking.failed)
    sys.stdout.flush()
    print(f"{len(ranking.failed)} of {len(names)} checkpoints could not be ranked: {failed}", file=sys.stderr)
    return 1


def _checkpoints(arguments: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Gives the checkpoints and the overrides: `key=value` after the checkpoints is of the recipe."""
    given, overrides = list(dict.fromkeys(arguments.checkpoints or ())), list(arguments.overrides)
    names = [name for name in given if "=" not in name or Path(name).exists()]
    return names, [*overrides, *(name for name in given if name not in names)]
