from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@dataclass
class Tab:
    """An open page, and what it did.

    Attributes:
        page: Playwright's.
        said: Lines of its console and errors of its scripts.
        asked: Addresses that it asked for.
    """

    page: Any
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Tab]]:
    """Opens a file in a window of some width; what was opened is closed after the test."""
    opened = []

    def open_(path: Path, width: int = 1280, scheme: str = "light", **settings: Any) -> Tab:
        tab = Tab(browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme, **settings))
        opened.append(tab)
        tab.page.on("console", lambda message: tab.said.append(message.text))
        tab.page.on("pageerror", lambda error: tab.said.append(str(error)))
        tab.page.on("request", lambda request: tab.asked.append(request.url))
        tab.page.goto(path.as_uri())
        return tab

    yield open_
    for tab in opened:
        tab.page.close()
