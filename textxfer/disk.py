"""Files and folders that are whole or not there at all, also after a power cut."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from textxfer.errors import OutputError


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


@contextlib.contextmanager
def whole_folder(place: Path) -> Iterator[Path]:
    """Gives an empty folder on the same disk, which takes its place once all is written; until then an old one stays.

    Where something is raised before that, nothing is left of it.

    Args:
        place: Where it is to stand; a link is followed.

    Raises:
        OutputError: It cannot be written.
    """
    there = place.resolve()
    near = next(parent for parent in there.parents if parent.exists())
    try:
        with tempfile.TemporaryDirectory(prefix=f".{there.name}-", dir=near) as temporary:
            made = Path(temporary) / there.name
            made.mkdir()
            yield made
            flush_folder(made)
            there.parent.mkdir(parents=True, exist_ok=True)
            replace_folder(made, there)
    except OSError as error:
        raise OutputError(f"{place}: cannot be written: {reason(error)}") from error


def replace_folder(new: Path, place: Path) -> None:
    """Renames a folder to its place; what stood there is deleted afterwards."""
    old = place.with_name(f".{place.name}.old")
    if place.exists():
        shutil.rmtree(old, ignore_errors=True)
        place.rename(old)
    new.rename(place)
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
