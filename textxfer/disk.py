"""Files and folders that are whole or not there at all, also after a power cut."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from textxfer.errors import OutputError, TextxferError


def write_pieces(place: Path, pieces: Iterable[str]) -> None:
    """Writes a text file under another name, flushes it to disk and renames it to its place.

    Raises:
        OutputError: It cannot be written; what stood there before still does.
    """
    temporary = place.with_name(f".{place.name}.tmp-{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(place)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise OutputError(f"{place}: cannot be written: {reason(error)}") from error


def write_plainly(path: Path, pieces: Iterable[str]) -> None:
    """Writes a text file into a folder that is not in its place yet; `whole_folder` flushes it.

    Raises:
        OSError: It cannot be written.
    """
    with path.open("w", encoding="utf-8", errors="backslashreplace") as file:
        file.writelines(pieces)


@contextlib.contextmanager
def whole_folder(place: Path) -> Iterator[Path]:
    """Gives an empty folder of the same name, which takes its place once all is written; until then an old one stays.

    It lies in a hidden folder beside its place, and what is in it is flushed to disk before it goes there. Where
    something is raised before that, nothing is left of it; what a killed process has left goes with the next. Only what
    writes belongs in the `with`: an OSError there says that the place cannot be written.

    Args:
        place: Where it is to stand; a link is followed.

    Raises:
        OutputError: It cannot be written.
    """
    there = place.resolve()
    hidden = there.with_name(f".{there.name}.new")
    made = hidden / there.name
    missing: list[Path] = []
    try:
        try:
            missing += [parent for parent in there.parents if not parent.exists()]
            shutil.rmtree(hidden, ignore_errors=True)
            made.mkdir(parents=True)
            yield made
            flush_folder(made)
            replace_folder(made, there)
        finally:
            shutil.rmtree(hidden, ignore_errors=True)
            with contextlib.suppress(OSError):  # they hold something, as they should
                for parent in missing:
                    parent.rmdir()
    except TextxferError as error:
        error.reword(*(line.replace(str(made), str(place)) for line in error.lines))
        raise
    except Exception as error:
        if not is_of_the_disk(error):
            raise
        why = reason(error).replace(str(made), str(place))
        raise OutputError(f"{place}: cannot be written: {why}") from error


def check_place(place: Path) -> None:
    """Makes sure that `whole_folder` can put a folder at a place, as far as that can be told before it is made.

    Raises:
        OutputError: It is the working folder or holds that, is the root of a disk, or cannot be written.
    """
    there = place.resolve()
    if Path.cwd().is_relative_to(there):
        raise OutputError(f"{place}: the folder that you work in cannot be replaced; name another with -o")
    if os.path.ismount(there):
        raise OutputError(f"{place}: the root of a disk cannot be replaced; name a folder in it with -o")
    near = next(parent for parent in there.parents if os.path.lexists(parent))
    if not near.is_dir():
        raise OutputError(f"{place}: cannot be written: {near} is not a folder")
    if not os.access(near, os.W_OK | os.X_OK):
        raise OutputError(f"{place}: cannot be written: {near} does not permit it")


def replace_folder(new: Path, place: Path) -> None:
    """Renames a folder to its place; what stood there is deleted afterwards, and stands again where that fails."""
    old = place.with_name(f".{place.name}.old")
    try:
        if place.exists():
            shutil.rmtree(old, ignore_errors=True)
            place.rename(old)
        new.rename(place)
    except BaseException:  # Ctrl-C too
        if old.exists() and not place.exists():
            old.rename(place)
        raise
    shutil.rmtree(old, ignore_errors=True)


def flush_folder(folder: Path) -> None:
    """Asks the disk to keep a folder and its files through a power cut."""
    for path in folder.iterdir():
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())
    if os.name == "nt":  # folders cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def discard(folder: Path) -> None:
    """Deletes a folder, if it is there; it leaves its place in one move, so that half of it never stands there."""
    if folder.is_symlink():
        folder.unlink()
        return
    going = folder.with_name(f".{folder.name.lstrip('.')}.going")
    if going.exists():
        shutil.rmtree(going, ignore_errors=True)
    if folder.exists():
        folder.rename(going)
        shutil.rmtree(going, ignore_errors=True)


def reason(error: Exception) -> str:
    """Gives what went wrong in a few words: "No space left on device"."""
    return str(getattr(error, "strerror", None) or error)


def is_of_the_disk(error: Exception) -> bool:
    """Says whether an error is one of the file system; safetensors has its own way to say that the disk is full."""
    return isinstance(error, OSError) or type(error).__name__ == "SafetensorError"
