"""`textxfer schema`: the recipe's JSON Schema for editors, or its reference for people."""

from __future__ import annotations

import argparse
import json

SUMMARY = "print the JSON Schema of recipes, for editors"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("--reference", action="store_true", help="print all fields as Markdown instead")


def execute(arguments: argparse.Namespace) -> int:
    """Prints the schema or the reference."""
    from textxfer.recipe import editor_schema

    if arguments.reference:
        print(editor_schema.reference(), end="")
    else:
        print(json.dumps(editor_schema.json_schema(), indent=2, ensure_ascii=False))
    return 0
