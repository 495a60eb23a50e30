from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from textxfer.__main__ import main


class Shell:
    """Runs commands in a folder, as a shell would."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capture = capture

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Gives exit code, standard output and standard error."""
        self.capture.readouterr()
        try:
            code = main(arguments)
        except SystemExit as stop:  # argparse's way
            code = int(stop.code or 0)
        out, err = self.capture.readouterr()
        assert "Traceback" not in err
        return code, out, err


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Shell]:
    """Runs `textxfer ...` in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return Shell(tmp_path, capsys)
