"""`textxfer adapt CHECKPOINT --texts FILE -o FOLDER`: goes on with a checkpoint's pretraining on bare texts."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textxfer.errors import OutputError, RecipeError

if TYPE_CHECKING:
    from textxfer.adaptation.adapt import Adapted

SUMMARY = "go on with a checkpoint's pretraining on texts of a domain, without labels"
NUMBERS = {
    "epochs": (int, "passes over the texts"),
    "steps": (int, "optimizer steps at most"),
    "batch-size": (int, "texts of a step"),
    "learning-rate": (float, "the highest"),
    "mask-rate": (float, "share of the tokens that are hidden"),
    "max-length": (int, "longest piece of a text, in tokens"),
    "seed": (int, "of the masks and a new head"),
}
"""Fields of `adapt` with options of their own."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "checkpoint",
        help="a folder, package:NAME/FOLDER or Hub id; or a recipe (.yaml), whose texts of the test are kept out",
    )
    parser.add_argument(
        "--texts",
        nargs="+",
        metavar="PLACE",
        help="files, folders, Hub ids; `task`: a recipe's own; default: the recipe's",
    )
    parser.add_argument("--text", metavar="COLUMN", help="column of the text; default: text")
    for name, (kind, help_text) in NUMBERS.items():
        parser.add_argument(
            f"--{name}", type=kind, metavar="N", help=f"{help_text}; see `adapt.{name.replace('-', '_')}`"
        )
    parser.add_argument("-o", "--output", type=Path, help="folder; needed without a recipe, whose runs find it else")
    parser.add_argument("--resume", action="store_true", help="go on with an unfinished adaptation")
    parser.add_argument("--overwrite", action="store_true", help="begin anew where there is one")
    parser.add_argument("--quiet", action="store_true", help="show the perplexities only")


def execute(arguments: argparse.Namespace) -> int:
    """Adapts; prints what happens to standard error, the perplexities to standard output."""
    from textxfer.training.observers import Console

    observers = [] if arguments.quiet else [Console()]
    is_recipe = arguments.checkpoint.lower().endswith((".yaml", ".yml"))
    result = (_of_recipe if is_recipe else _of_checkpoint)(arguments, observers)
    if os.environ.get("RANK", "0") == "0":
        print(result, f"checkpoint: {result.model}", sep="\n")
    return 0


def _of_recipe(arguments: argparse.Namespace, observers: list[Any]) -> Adapted:
    from textxfer.recipe.loading import load_recipe

    recipe = load_recipe(arguments.checkpoint, *(f"adapt.{name}={_said(value)}" for name, value in _given(arguments)))
    if recipe.adapt is None:
        raise RecipeError(f"{arguments.checkpoint}: has no `adapt` section; say --texts")
    from textxfer.adaptation.adapt import adapt
    from textxfer.adaptation.before_task import place_of, work_of
    from textxfer.modeling.checkpoint import open_checkpoint
    from textxfer.training.precision import make_accelerator
    from textxfer.training.rows import load_rows

    if recipe.checkpoint.id is None:
        raise RecipeError(f"{arguments.checkpoint}: leaves the checkpoint open (checkpoint.auto); name one in it")
    splits = load_rows(recipe).splits
    accelerator = make_accelerator(recipe.train.precision)
    checkpoint = open_checkpoint(recipe.checkpoint.id, recipe.checkpoint.revision)
    work = work_of(recipe.adapt, checkpoint, splits, accelerator.mixed_precision)
    ours = arguments.output is None and not arguments.overwrite
    folder = arguments.output or place_of(Path(recipe.output.directory), work)
    return adapt(
        work, folder, accelerator, resume=arguments.resume or ours, overwrite=arguments.overwrite, observers=observers
    )


def _of_checkpoint(arguments: argparse.Namespace, observers: list[Any]) -> Adapted:
    from textxfer.recipe.loading import load_section
    from textxfer.recipe.sections import Adapt

    if arguments.texts is None:
        raise RecipeError("--texts: is missing; say where the texts are, or name a recipe")
    if arguments.output is None:
        raise OutputError("--output: is missing; say in which folder the adapted checkpoint goes")
    settings = load_section("adapt", Adapt, dict(_given(arguments)))
    from textxfer.adaptation.adapt import adapt
    from textxfer.adaptation.before_task import work_of
    from textxfer.modeling.checkpoint import open_checkpoint
    from textxfer.recipe.merging import id_and_revision, place_of
    from textxfer.training.precision import make_accelerator

    checkpoint = open_checkpoint(*id_and_revision(place_of(arguments.checkpoint, Path.cwd())))
    accelerator = make_accelerator()
    work, folder = work_of(settings, checkpoint, None, accelerator.mixed_precision), arguments.output
    return adapt(work, folder, accelerator, resume=arguments.resume, overwrite=arguments.overwrite, observers=observers)


def _given(arguments: argparse.Namespace) -> list[tuple[str, Any]]:
    """Gives the fields of `adapt` that stand on the command line."""
    names = ("texts", "text", *(name.replace("-", "_") for name in NUMBERS))
    return [(name, value) for name in names if (value := getattr(arguments, name)) is not None]


def _said(value: Any) -> str:
    import json

    return json.dumps(value)
