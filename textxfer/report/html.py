"""The page: `render` gives its text, `write_report` puts it into the run folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from textxfer.one_file_page import PageSource
from textxfer.report import choices, confidence, data, labels, learning, mistakes, origin, seeds, slices, summary
from textxfer.report.pieces import Head, Section
from textxfer.report.reading import RunFiles, read_run
from textxfer.report.showing import breakable, count, isolated, score, unfolding, visible

REPORT = "report.html"
PAGE = Path(__file__).parent / "page"
SECTIONS: tuple[Callable[[RunFiles], Section | None], ...] = (
    summary.section,
    learning.section,
    choices.section,
    labels.confusion,
    labels.per_label,
    confidence.section,
    slices.section,
    mistakes.section,
    data.findings,
    data.suspects,
    origin.section,
)
"""In the order of the page; each is left out where its data are not there."""


def render(folder: Path) -> str:
    """Gives the report of a finished run or of several seeds: one HTML page that needs nothing else.

    It is the same for the same files.

    Args:
        folder: The run's, where only metrics.json must be there; or that of several seeds, where only seeds.json must.

    Raises:
        OutputError: The folder holds no finished run.
    """
    if seeds.has_seeds(folder):
        found = seeds.read_seeds(folder)
        return _page(seeds.head(found), list(seeds.sections(found)))
    run = read_run(folder)
    return _page(summary.head(run), [section for section in (make(run) for make in SECTIONS) if section is not None])


def _page(head: Head, sections: Sequence[Section]) -> str:
    filters = {
        "score": score,
        "count": count,
        "isolated": isolated,
        "breakable": breakable,
        "unfolding": unfolding,
    }
    source = PageSource(PAGE)
    return source.render("template.html", filters=filters, finalize=_shown, head=head, sections=sections)


def write_report(folder: Path) -> Path:
    """Writes the report.html of a finished run, or of several seeds, whole or not at all, and gives its path.

    Raises:
        OutputError: The folder holds no finished run, or cannot be written.
    """
    from textxfer.disk import write_pieces

    path = Path(folder) / REPORT
    write_pieces(path, [render(Path(folder))])
    return path


def _shown(value: Any) -> Any:
    """Makes control characters visible in every text that goes into the page."""
    return visible(value) if type(value) is str else value
