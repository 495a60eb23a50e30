"""`python -m textxfer COMMAND`, also the console script `textxfer`."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Sequence

from textxfer import command_line, commands


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and gives its exit code."""
    import textxfer

    parser = argparse.ArgumentParser(
        prog="textxfer", description="Transfer learning for text, from a recipe.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"textxfer {textxfer.__version__}")
    choices = parser.add_subparsers(metavar="COMMAND", required=True)
    for info in pkgutil.iter_modules(commands.__path__):
        if info.name.startswith("_"):
            continue
        command = importlib.import_module(f"textxfer.commands.{info.name}")
        own = choices.add_parser(info.name, help=command.SUMMARY, description=command.SUMMARY, allow_abbrev=False)
        command.add_arguments(own)
        own.set_defaults(execute=command.execute)
    parsed, rest = parser.parse_known_args(arguments)
    return command_line.run_command(parsed.execute, command_line.with_rest(parser, parsed, rest))


if __name__ == "__main__":
    sys.exit(main())
