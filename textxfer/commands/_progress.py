"""A bar for long work, on a terminal alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(what: str) -> Iterator[Callable[[float], None]]:
    """Gives what to call with the share of the work that is done, 0 to 1; the bar is gone afterwards."""
    if not sys.stderr.isatty():
        yield lambda share: None
        return
    from tqdm import tqdm

    with tqdm(
        total=100, desc=what, file=sys.stderr, leave=False, bar_format="{desc}: {percentage:3.0f}%|{bar}|"
    ) as bar:
        yield lambda share: bar.update(round(100 * share) - bar.n) and None
