"""A user of the loopback Hub: a process with an empty cache and a token of its own."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.warm import run_python

ROOT = Path(__file__).parents[2]
HASTE = Path(__file__).parent / "haste"
ANSWER = "answer: "


@dataclass(frozen=True)
class Finished:
    """A process that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def message(self) -> str:
        """The last line on standard error: textxfer's own word, after what the Hub's client says of its retries."""
        return (self.stderr.strip().splitlines() or [""])[-1]


@dataclass
class Client:
    """Runs things as a user would, each in a process of its own.

    Attributes:
        url: The Hub.
        home: Its HF_HOME.
        folder: Where its processes run.
        token: HF_TOKEN, or None.
        settings: More environment variables.
        hasty: Whether pauses between retries are skipped.
    """

    url: str
    home: Path
    folder: Path
    token: str | None = None
    settings: dict[str, str] = field(default_factory=dict)
    hasty: bool = True

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        paths = [str(HASTE)] * self.hasty + [str(ROOT)]
        kept |= {
            "PYTHONPATH": os.pathsep.join(paths),
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(self.home),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "OMP_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "NO_PROXY": "127.0.0.1,localhost",
        }
        if self.token is not None:
            kept["HF_TOKEN"] = self.token
        return kept | self.settings

    def run(self, *arguments: str) -> Finished:
        """Runs Python with these arguments."""
        done = run_python(arguments, env=self.environment, cwd=self.folder)
        return Finished(done.returncode, done.stdout, done.stderr)

    def train(self, recipe: dict[str, Any], *more: str) -> Finished:
        """Runs a recipe by `python -m textxfer.run`."""
        file = self.folder / f"{recipe['name']}.yaml"
        file.write_text(yaml.safe_dump(recipe))
        return self.run("-m", "textxfer.run", str(file), *more)

    def call(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Calls a function of a module in a process of its own; what it takes and gives must fit into JSON."""
        given = json.dumps([function.__module__, function.__qualname__, arguments, options], default=str)
        done = self.run("-m", "tests.hub.client", given)
        assert done.code == 0, done.stderr
        return json.loads(done.stdout.rpartition(ANSWER)[2])


def _answer_call() -> None:
    import importlib

    module, name, arguments, options = json.loads(sys.argv[1])
    result = getattr(importlib.import_module(module), name)(*arguments, **options)
    print(ANSWER + json.dumps(result, default=str))


if __name__ == "__main__":
    _answer_call()
