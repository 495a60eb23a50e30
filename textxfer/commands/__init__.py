"""The commands of `python -m textxfer`: one file each, with `SUMMARY`, `add_arguments` and `execute`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from textxfer.errors import TextxferError


def run_command(execute: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    """Calls a command and gives its exit code; a user's mistake is told in its own lines, without a traceback."""
    try:
        return execute(arguments)
    except TextxferError as error:
        if int(os.environ.get("RANK", "0")) == 0:
            print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1
