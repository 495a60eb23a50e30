"""Pages of one file: escaped, whole, and allowed to run their own script alone."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import jinja2
import pytest

from textxfer.one_file_page import PageSource, hash_of


@pytest.fixture
def source(tmp_path: Path) -> PageSource:
    (tmp_path / "style.css").write_text("a > b {}")
    (tmp_path / "page.js").write_text("1 < 2")
    page = '<meta content="{{ script_hash }}"><style>{{ style }}</style><script>{{ script }}</script>{{ name }}'
    (tmp_path / "page.html").write_text(page)
    return PageSource(tmp_path)


def test_texts_are_escaped_and_style_and_script_are_not(source: PageSource) -> None:
    page = source.render("page.html", name="<b>")
    digest = base64.b64encode(hashlib.sha256(b"1 < 2").digest()).decode()
    assert page == (f"<meta content=\"'sha256-{digest}'\"><style>a > b {{}}</style><script>1 < 2</script>&lt;b&gt;")
    assert hash_of(source.script) == f"'sha256-{digest}'"


def test_every_value_passes_through_finalize(source: PageSource) -> None:
    page = source.render("page.html", finalize=lambda value: str(value)[:3], name="abcdef")
    assert page.endswith("abc")


def test_a_value_that_nobody_gave_is_an_error(source: PageSource) -> None:
    with pytest.raises(jinja2.UndefinedError, match="name"):
        source.render("page.html")
