"""`textxfer push`: what is wrong with a run or a name is said before anybody is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none", "me/it"], "none: there is no such folder; name that of a finished run: runs/NAME"),
        (["."], "is no run (it has no recipe.yaml)"),
        ([], "arguments are required: run"),
        (["RUN"], "its recipe has no `hub.repo`; say where to: textxfer push"),
        (["RUN", "me/a..b"], "`me/a..b` cannot be a repository's name"),
        (["RUN", "me/it", "--tag", "a b", "--revision", "..."], "`a b` cannot name a branch or tag"),
    ],
)
def test_mistakes_are_exit_code_2(words: list[str], message: str, shell: Callable[..., Any], trained: Any) -> None:
    run = str(trained("bert"))
    code, out, err = shell("push", *(run if word == "RUN" else word for word in words))
    assert (code, out) == (2, "")
    assert message in err


def test_all_wrong_names_are_told_at_once(shell: Callable[..., Any], trained: Any) -> None:
    _, _, err = shell("push", str(trained("bert")), "it", "--tag", "a b", "--revision", "c..d")
    assert [line.split("`")[1] for line in err.splitlines()] == ["it", "c..d", "a b"]


def test_an_unfinished_run_is_not_pushed(shell: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").write_text("name: run\n")
    code, _, err = shell("push", "run", "me/it")
    assert code == 2
    assert "the run has not finished; go on with it by --resume, then push" in err
