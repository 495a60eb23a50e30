"""Pages of one file, which load nothing: a folder's template, with its style and its script put in."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2


@dataclass(frozen=True)
class PageSource:
    """What pages are made of.

    Attributes:
        folder: With the template, `style.css` and `page.js`.
    """

    folder: Path

    @property
    def style(self) -> str:
        """The style."""
        return (self.folder / "style.css").read_text(encoding="utf-8")

    @property
    def script(self) -> str:
        """The script."""
        return (self.folder / "page.js").read_text(encoding="utf-8")

    def render(
        self,
        template: str,
        *,
        filters: Mapping[str, Callable[..., Any]] | None = None,
        finalize: Callable[[Any], Any] | None = None,
        **values: Any,
    ) -> str:
        """Gives a page; texts are escaped, and a value that a template names and nobody gave is an error.

        Args:
            template: Its file.
            filters: Of the template, beside Jinja's own.
            finalize: Called with every value that goes into the page.
            **values: Of the template, beside `style`, `script` and `script_hash`.
        """
        from markupsafe import Markup

        environment = _environment(self.folder, tuple((filters or {}).items()), finalize)
        style, script = self.style, self.script
        put_in = {"style": Markup(style), "script": Markup(script), "script_hash": Markup(hash_of(script))}
        return environment.get_template(template).render(**put_in, **values)


@lru_cache(maxsize=8)
def _environment(
    folder: Path, filters: tuple[tuple[str, Callable[..., Any]], ...], finalize: Callable[[Any], Any] | None
) -> jinja2.Environment:
    """Gives what renders a folder's templates; kept, since it reads a template once."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=finalize,
    )
    environment.filters |= dict(filters)
    return environment


def hash_of(text: str) -> str:
    """Gives how a Content-Security-Policy names a style or a script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
