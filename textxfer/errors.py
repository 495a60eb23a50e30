"""The errors that textxfer raises.

TextxferError                 every error a user can mend; `exit_code` is what the command returns
├── RecipeError               the recipe, or an override on the command line
├── DataError                 a file, a column, a label, an answer
├── CheckpointError           a checkpoint that cannot be found, read or used
├── OutputError               the run folder: it exists, cannot be written, the disk is full
├── TrainingDiverged          a loss or a gradient that is not finite
├── PushError                 the Hub: a name, rights, the line; or a model that is not the one the run made
├── MissingExtra              a package of an optional extra is not installed
└── Interrupted               Ctrl-C or SIGTERM, after the run was saved
"""

from __future__ import annotations

from collections.abc import Callable


class TextxferError(Exception):
    """An error that the user can mend, as one line per mistake.

    Args:
        *lines: What is wrong, where, and what to do; one mistake a line.
    """

    exit_code = 2

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines

    def reword(self, *lines: str) -> None:
        """Says it in other lines: for one that is raised again, its traceback as it was."""
        self.lines, self.args = lines, ("\n".join(lines),)

    @property
    def in_one_line(self) -> str:
        """All mistakes, one after the other, for a place where there is one line."""
        return "; ".join(self.lines)


class RecipeError(TextxferError):
    """The recipe is wrong."""


class DataError(TextxferError):
    """The data are wrong."""


class CheckpointError(TextxferError):
    """The checkpoint cannot be found, read or used."""


class OutputError(TextxferError):
    """The run folder cannot be used."""


class TrainingDiverged(TextxferError):
    """A loss or a gradient was not finite."""


class PushError(TextxferError):
    """The model cannot go to the Hub."""


class MissingExtra(TextxferError):
    """A package that belongs to an optional extra is not installed."""


class Interrupted(TextxferError):
    """The run was asked to stop by a signal, and was saved.

    Args:
        signal_number: The signal: 2 (Ctrl-C) or 15 (SIGTERM).
        *lines: What was saved and how to go on.
    """

    def __init__(self, signal_number: int, *lines: str) -> None:
        super().__init__(*lines)
        self.exit_code = 128 + signal_number


def all_at_once(*checks: Callable[[], object]) -> None:
    """Carries out checks that do not build on each other, and raises all that they find as one error.

    Raises:
        TextxferError: Of the kind of the first that was raised, with the lines of all, each once.
    """
    found: list[TextxferError] = []
    for check in checks:
        try:
            check()
        except TextxferError as error:
            found.append(error)
    if len(found) == 1:
        raise found[0]
    if found:
        raise type(found[0])(*dict.fromkeys(line for error in found for line in error.lines)) from found[0]


def shortened(lines: list[str], most: int = 5) -> list[str]:
    """Gives the first `most` lines, and a last one that counts the rest."""
    if len(lines) <= most:
        return lines
    return [*lines[:most], f"... and {len(lines) - most} more like this"]
