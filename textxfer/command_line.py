"""What every command does alike: exit codes, messages without a traceback, arguments in any order."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from textxfer.errors import TextxferError


def run_command(execute: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    """Calls a command and gives its exit code; a user's mistake is told in its own lines, without a traceback."""
    try:
        code = execute(arguments)
        sys.stdout.flush()
        return code
    except TextxferError as error:
        sys.stdout.flush()
        if os.environ.get("RANK", "0") == "0":
            print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read us has had enough (`| head`). Python would complain when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def add_recipe_arguments(parser: argparse.ArgumentParser, example: str, what: str = "a recipe (YAML)") -> None:
    """Adds the arguments of a command that takes a recipe: the file, and fields to change."""
    parser.add_argument("recipe", help=what)
    parser.add_argument("overrides", nargs="*", default=[], metavar="key=value", help=f"fields to change: {example}")


def with_rest(parser: argparse.ArgumentParser, parsed: argparse.Namespace, rest: list[str]) -> argparse.Namespace:
    """Gives the arguments with those `key=value` texts that stand after an option, which argparse leaves over."""
    unknown = [word for word in rest if word.startswith("-")] if hasattr(parsed, "overrides") else rest
    if unknown:
        parser.error(f"unknown arguments: {' '.join(unknown)}")
    if rest:
        parsed.overrides = [*parsed.overrides, *rest]
    return parsed
