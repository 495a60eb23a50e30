"""A comparison as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from textxfer.commands.compare import difference_head, difference_lines, headline, numbered, score
from textxfer.report.showing import isolated, shortened

if TYPE_CHECKING:
    from textxfer.evaluation.compare import Comparison, Pair

MOST_OF_A_TEXT = 500

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Comparison of runs</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 70rem; margin: auto; padding: 1rem; overflow-wrap: anywhere; }}
div {{ overflow-x: auto; }}
table {{ border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }}
th, td {{ text-align: start; vertical-align: top; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #8886; }}
td {{ min-width: 3rem; }}
</style>
<h1>Comparison of runs</h1>
<p>{headline}</p>
{body}
</html>
"""


def page(comparison: Comparison) -> str:
    """Gives the page: verdicts, scores, differences, and the rows that differ."""
    from markupsafe import Markup

    numbers = numbered(comparison)
    parts = [_list([pair.verdict for pair in comparison.pairs]), _list(comparison.notes)]
    for title, sides in (("Run", comparison.runs), ("Mean (sd) of seeds", comparison.recipes)):
        rows = [
            [numbers.get(side.name, ""), side.name, *(score(side, name) for name in comparison.metrics)]
            for side in sides
        ]
        parts.append(_table(["", title, *comparison.metrics], rows))
    parts.append(_table(difference_head(comparison), difference_lines(comparison)))
    parts += [_differing(pair, numbers) for pair in comparison.pairs]
    return str(Markup(PAGE).format(headline=headline(comparison), body=Markup("\n").join(parts)))


def _differing(pair: Pair, numbers: dict[str, str]) -> Any:
    from markupsafe import Markup

    first, second = numbers[pair.first], numbers[pair.second]
    rows = [(row.id, row.reference, row.first, row.second, row.text or "") for row in pair.rows]
    if not rows:
        return Markup("")
    head = Markup("<h2>Rows on which {} and {} differ: {} of {:,}</h2>\n")
    return head.format(first, second, len(rows), pair.num_differing) + _table(
        ["Id", "Reference", pair.first, pair.second, "Text"], rows
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Any:
    from markupsafe import Markup

    lines = [_cells("td", row) for row in rows]
    if not lines:
        return Markup("")
    return Markup("<div><table>\n{}\n{}\n</table></div>").format(_cells("th", head), Markup("\n").join(lines))


def _cells(tag: str, texts: Sequence[str]) -> Any:
    from markupsafe import Markup

    cell = Markup("<{0}>{1}</{0}>")
    return Markup("<tr>{}</tr>").format(
        Markup("").join(cell.format(tag, isolated(shortened(text, MOST_OF_A_TEXT))) for text in texts)
    )


def _list(sentences: Sequence[str]) -> Any:
    from markupsafe import Markup

    items = Markup("").join(Markup("<li>{}</li>").format(isolated(sentence)) for sentence in sentences)
    return Markup("<ul>{}</ul>").format(items) if sentences else Markup("")
