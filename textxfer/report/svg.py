"""matplotlib drawings as small inline SVG that takes the page's colours and fonts.

A drawing uses the inks below; on the page they become CSS variables, which differ in light and dark. Names of labels
are drawn as place holders and put in at the end: no font of matplotlib's has to know their letters, and none of their
characters is taken as mathematics.
"""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from textxfer.report.showing import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

INK, MUTED, LINE = "#000001", "#000002", "#000003"
FIRST, SECOND, THIRD = "#000011", "#000012", "#000013"
STYLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    FIRST: "var(--first)",
    SECOND: "var(--second)",
    THIRD: "var(--third)",
}
TEXT_SIZE = 11
LETTER = 6.2
"""About the width of a letter of that size, in pixels."""

_settings = threading.Lock()  # matplotlib's are global


def canvas(width: float, height: float, left: float, right: float, top: float, bottom: float) -> tuple[Drawing, Axes]:
    """Gives an empty drawing with one pair of axes; all sizes in pixels."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=(width / 72, height / 72), dpi=72)
    FigureCanvasSVG(drawing)
    axes = drawing.add_axes(
        (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
    )
    axes.set_facecolor("none")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=TEXT_SIZE, labelcolor=MUTED, pad=6)
    axes.set_axisbelow(True)
    return drawing, axes


def to_svg(drawing: Drawing, name: str, title: str, description: str, names: Sequence[str] = ()) -> Markup:
    """Gives a drawing as an inline SVG element.

    Args:
        drawing: To be shown.
        name: Begins its ids; another for each drawing of a page.
        title: Read out first.
        description: Read out next: what there is to be seen.
        names: What stands for the place holders `{0}`, `{1}` ...
    """
    import matplotlib

    file = io.StringIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with _settings, matplotlib.rc_context({"svg.fonttype": "none"}):
        drawing.savefig(file, format="svg", transparent=True, metadata=nothing)
    svg = file.getvalue()
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    assert size is not None
    body = svg[svg.index("</defs>") + len("</defs>") :]  # the first ones hold a style that would be the whole page's
    body = _cleaned(_renamed(body, name))
    body = re.sub(r"\{(\d+)\}", lambda found: str(escape(visible(names[int(found[1])]))), body)
    opening = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img" '
        'aria-labelledby="{2}-title {2}-text"><title id="{2}-title">{3}</title><desc id="{2}-text">{4}</desc>'
    ).format(size[1], size[2], name, title, visible(description))
    return opening + Markup(body)


def _renamed(body: str, name: str) -> str:
    """Keeps the ids that are referred to, in names that are the same every time and the page's only ones."""
    used = list(dict.fromkeys(re.findall(r'(?:href="|url\()#([\w.-]+)', body)))
    for number, old in enumerate(used):
        new = f"{name}-{number}"
        body = re.sub(rf"#{re.escape(old)}\b", f"#{new}", body.replace(f'id="{old}"', f'ID="{new}"'))
    return re.sub(r' id="[^"]*"', "", body).replace('ID="', 'id="')


def _cleaned(body: str) -> str:
    for ink, style in STYLES.items():
        body = body.replace(ink, style)
    body = re.sub(r" ?font-family: [^;\"]*;", "", body)
    body = re.sub(r' transform="rotate\(-?0 [^"]*\)"', "", body).replace("xlink:href", "href")
    body = re.sub(r' (?:d|x|y)="[^"]*"', lambda places: re.sub(r"(\.\d)\d+", r"\1", places[0]), body)  # of a pixel
    body = re.sub(r" ?\n\s*", " ", body).replace("> <", "><")
    return re.sub(r"<g>(<(?:path|text|use)[^<]*(?:/>|</text>))</g>", r"\1", body).strip()


def fitted(name: str, most: int) -> str:
    """Gives a name of at most `most` letters."""
    return name if len(name) <= most else name[: most - 1] + "…"
