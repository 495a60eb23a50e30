"""The page on which people try a model; one answer that needs nothing else and may load nothing else."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Literal

from starlette.responses import HTMLResponse

PAGE = Path(__file__).parent / "page"


class Page:
    """The page of one model.

    Args:
        name: Of the model.
        gives: What it gives.
        secured: Whether it wants a token.
    """

    def __init__(self, name: str, gives: Literal["labels", "answers"], secured: bool) -> None:
        import jinja2
        from markupsafe import Markup

        import textxfer

        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(PAGE),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        style, script = ((PAGE / file).read_text(encoding="utf-8") for file in ("style.css", "page.js"))
        self._html = environment.get_template("page.html").render(
            name=name,
            gives=gives,
            secured=secured,
            version=textxfer.__version__,
            style=Markup(style),
            script=Markup(script),
        )
        policy = (
            f"default-src 'none'; connect-src 'self'; style-src {_hash(style)}; script-src {_hash(script)}; "
            "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        self._headers = {
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-cache",
        }

    async def response(self) -> HTMLResponse:
        """Gives the page."""
        return HTMLResponse(self._html, headers=self._headers)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
