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

    shape = "{desc}: {percentage:3.0f}%|{bar}|"
    with tqdm(total=100, desc=what, file=sys.stderr, leave=False, bar_format=shape) as bar:

        def tell(share: float) -> None:
            bar.update(round(100 * share) - bar.n)

        yield tell
