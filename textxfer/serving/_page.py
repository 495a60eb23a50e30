"""The page on which people try a model; one answer that needs nothing else and may load nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from starlette.responses import HTMLResponse

from textxfer.one_file_page import PageSource, hash_of

PAGE = Path(__file__).parent / "page"


class Page:
    """The page of one model.

    Args:
        name: Of the model.
        gives: What it gives.
        pairs: Whether it reads two texts each time.
        secured: Whether it wants a token.
    """

    def __init__(self, name: str, gives: Literal["labels", "answers"], *, pairs: bool, secured: bool) -> None:
        import textxfer

        source = PageSource(PAGE)
        self._html = source.render(
            "page.html", name=name, gives=gives, pairs=pairs, secured=secured, version=textxfer.__version__
        )
        policy = (
            f"default-src 'none'; connect-src 'self'; style-src {hash_of(source.style)}; "
            f"script-src {hash_of(source.script)}; img-src data:; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'"
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
