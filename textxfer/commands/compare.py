"""`textxfer compare RUN RUN [RUN ...]`: whether runs differ by more than chance on the same test rows."""

from __future__ import annotations

import argparse
import dataclasses
import json
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textxfer.evaluation.compare import Comparison, Pair, Side

SUMMARY = "compare finished runs on their test rows: intervals, tests, the rows where they differ"

WIDTH = 100
NAME_WIDTH = 32
CELL_WIDTH = 16
METRICS_AT_ONCE = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a finished run, or of a recipe's seeds")
    parser.add_argument("--metric", metavar="NAME", help="what the verdicts are about; default: evaluate.select_by")
    parser.add_argument("--html", metavar="FILE", type=Path, help="write a page, too")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write all figures as JSON, too")
    parser.add_argument("--rows", metavar="N", type=_count, default=5, help="most rows to show of a pair; default: 5")


def execute(arguments: argparse.Namespace) -> int:
    """Prints scores, differences, verdicts and rows; raises all that stands in the way at once."""
    from textxfer.commands._judged_runs import read_runs, seed_folders
    from textxfer.disk import write_pieces
    from textxfer.evaluation.compare import compare

    comparison = compare(read_runs(seed_folders(arguments.runs)), arguments.metric, rows=arguments.rows)
    if arguments.json is not None:
        data = json.dumps(dataclasses.asdict(comparison), indent=2, ensure_ascii=False)
        write_pieces(arguments.json, [data, "\n"])
    if arguments.html is not None:
        from textxfer.commands._compare_html import page

        write_pieces(arguments.html, [page(comparison)])
    for line in lines(comparison):
        print(line)
    return 0


def lines(comparison: Comparison) -> Iterator[str]:
    """Gives what a terminal shows of a comparison, in lines of `WIDTH` characters at most."""
    yield headline(comparison)
    yield ""
    numbers = numbered(comparison)
    for title, sides in (("run", comparison.runs), ("mean (sd) of seeds", comparison.recipes)):
        for start in range(0, len(comparison.metrics) if sides else 0, METRICS_AT_ONCE):
            metrics = comparison.metrics[start : start + METRICS_AT_ONCE]
            cells = [
                [numbers.get(side.name, ""), _end(side.name), *(score(side, name) for name in metrics)]
                for side in sides
            ]
            yield from _table([["", title, *metrics], *cells])
    yield from _table([difference_head(comparison), *difference_lines(comparison)])
    for said in (*(pair.verdict for pair in comparison.pairs), *(f"note: {note}" for note in comparison.notes)):
        yield from textwrap.wrap(said, WIDTH)
    yield ""
    for pair in comparison.pairs:
        yield from _rows(pair, numbers)


def headline(comparison: Comparison) -> str:
    """Says how many rows there are and where the intervals come from."""
    return (
        f"{comparison.num_rows:,} test rows; {comparison.level:.0%} intervals from {comparison.resamples:,} paired "
        "resamples"
    )


def numbered(comparison: Comparison) -> dict[str, str]:
    """Gives each side that is compared a number: "1", "2"."""
    names = dict.fromkeys(name for pair in comparison.pairs for name in (pair.first, pair.second))
    return {name: str(number) for number, name in enumerate(names, start=1)}


def score(side: Side, metric: str) -> str:
    """Gives a score, the deviation between seeds where there are several, and the interval."""
    low, high = side.low_high[metric]
    deviation = f" ({side.deviations[metric]:.3f})" if metric in side.deviations else ""
    return f"{side.scores[metric]:.3f}{deviation} [{low:.3f}, {high:.3f}]"


def difference_head(comparison: Comparison) -> list[str]:
    """Gives the heads of the columns of `difference_lines`."""
    return ["pair", "metric", "difference", "p" if len(comparison.pairs) == 1 else "p (Holm)"]


def difference_lines(comparison: Comparison) -> Iterator[list[str]]:
    """Gives each pair's differences, that of the verdict's metric first, and its rows that one alone has right."""
    numbers = numbered(comparison)
    for pair in comparison.pairs:
        first, second = numbers[pair.first], numbers[pair.second]
        for name in sorted(pair.differences, key=lambda name: name != comparison.metric):
            found = pair.differences[name]
            value = f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
            yield [f"{second} - {first}", name, value, p_value(found.holm_p)]
        if pair.mcnemar is not None:
            only = f"{pair.mcnemar.only_first} rows only {first}, {pair.mcnemar.only_second} rows only {second}"
            yield [f"{second} - {first}", "right (McNemar)", only, p_value(pair.mcnemar.holm_p)]


def p_value(p: float) -> str:
    """Gives a p-value with three digits."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _rows(pair: Pair, numbers: dict[str, str]) -> Iterator[str]:
    """Gives the rows on which two sides differ, each in one line."""
    if not pair.rows:
        return
    first, second = numbers[pair.first], numbers[pair.second]
    yield f"{pair.num_differing:,} rows on which {first} and {second} differ" + (
        f", {len(pair.rows)} of them:" if len(pair.rows) < pair.num_differing else ":"
    )
    cells = [["id", "reference", first, second, "text" if pair.rows[0].text is not None else ""]]
    cells += [[row.id, row.reference, row.first, row.second, row.text or ""] for row in pair.rows]
    cells = [[*(fitted(part, CELL_WIDTH) for part in parts), text] for *parts, text in cells]
    left = WIDTH - sum(max(map(len, column)) + 2 for column in list(zip(*cells, strict=True))[:-1])
    yield from _table([[*parts, fitted(text, left)] for *parts, text in cells])


def fitted(text: str, most: int) -> str:
    """Gives a text in one line of printable characters, cut to a length."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text[: 4 * most])
    plain = " ".join(plain.split())
    return plain if len(plain) <= most else plain[: most - 1] + "…"


def _end(name: str) -> str:
    """Gives a path's end."""
    return name if len(name) <= NAME_WIDTH else "…" + name[1 - NAME_WIDTH :]


def _table(cells: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
    yield ""


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of rows")
    return int(text)
