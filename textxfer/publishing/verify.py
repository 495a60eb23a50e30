"""Whether a model folder still is what the run made: what it says of some rows, then and now."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textxfer.data.columns import TEXT_COLUMNS
from textxfer.errors import PushError
from textxfer.publishing import _reload

if TYPE_CHECKING:
    import datasets

    from textxfer.labels import LabelSet

VERIFICATION = "verification.json"
MOST_ROWS = 8
TOLERANCE = 1e-4
"""Of the largest logit, or of 1: what other hardware may make of the same weights."""
SECRETS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


@dataclass(frozen=True)
class Said:
    """What a model says of a few rows.

    Attributes:
        labels: Names in the order of their ids; None for answers.
        max_length: In tokens.
        rows: The texts of each row.
        logits: Of each row; for answers those of starts, then those of ends.
    """

    labels: Sequence[str] | None
    max_length: int
    rows: Sequence[Sequence[str]]
    logits: Sequence[Sequence[float]]

    def to_dict(self) -> dict[str, Any]:
        """Gives it as verification.json has it."""
        return asdict(self)


def remember(model: Any, tokenizer: Any, rows: datasets.Dataset, labels: LabelSet | None, max_length: int) -> Said:
    """Gives what a model that has just been trained says of the first rows, to be compared with what was saved.

    Args:
        model: Stock or a `Headed`, fp32.
        tokenizer: Its own.
        rows: Of the split that its predictions are of.
        labels: None for answers.
        max_length: In tokens.
    """
    names = [name for name in TEXT_COLUMNS if name in rows.column_names]
    texts = [[row[name] for name in names] for row in rows.select(range(min(MOST_ROWS, len(rows))))]
    logits = _reload.logits_of(getattr(model, "stock", model), tokenizer, texts, max_length)
    return Said(labels.names if labels is not None else None, max_length, texts, logits)


def verify(run: Path) -> float:
    """Loads a run's model in a process of its own, and compares its logits with the run's.

    A stock model is loaded without textxfer there.

    Returns:
        The largest difference between two logits.

    Raises:
        PushError: They differ, it cannot be loaded, or its labels have other names.
    """
    known, model = _read(run / VERIFICATION), run / "model"
    found = _ask(model, known, _plugins(run))
    if known.labels is not None and list(known.labels) != found["labels"]:
        now, then = (", ".join(map(str, names)) or "none" for names in (found["labels"], known.labels))
        raise PushError(f"{model / 'config.json'}: names the labels {now}, and those of the run were {then}{_TO_DO}")
    return _compared(model, known.logits, found["logits"])


_TO_DO = "; put the files of the run back, or run the recipe again. Nothing was uploaded"


def _compared(model: Path, then: Sequence[Sequence[float]], now: Sequence[Sequence[float]]) -> float:
    largest = 0.0
    for row, (old, new) in enumerate(zip(then, now, strict=True)):
        if len(old) != len(new):
            what = f"gives {len(new)} numbers for a text of which the run's model gave {len(old)}"
            raise PushError(f"{model}: {what}: the folder was changed after the run{_TO_DO}")
        apart = max((abs(a - b) for a, b in zip(old, new, strict=True)), default=0.0)
        if not apart <= TOLERANCE * max(1.0, *map(abs, old)):  # so written, NaN is no match
            raise PushError(
                f"{model}: loaded anew, it gives other logits than at the end of the run ({apart:.2g} apart on row "
                f"{row + 1} of {VERIFICATION}): the folder was changed after the run{_TO_DO}"
            )
        largest = max(largest, apart)
    return largest


def _read(path: Path) -> Said:
    try:
        data: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        said = Said(data["labels"], int(data["max_length"]), data["rows"], data["logits"])
        finite = all(math.isfinite(logit) for row in said.logits for logit in row)
        if not finite or len(said.rows) != len(said.logits) or not said.rows:
            raise ValueError("rows and logits do not fit each other")
    except FileNotFoundError:
        raise PushError(
            f"{path}: there is no such file, so nothing says what the run's model gave; run the recipe again"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PushError(f"{path}: cannot be used: {error}; run the recipe again") from error
    return said


def _plugins(run: Path) -> list[str]:
    """Gives the plugins of a run's recipe, any of which may have brought the model's head."""
    from textxfer.recipe.reading import read_text

    try:
        data = read_text((run / "recipe.yaml").read_text(encoding="utf-8"), "recipe.yaml").data
    except OSError:
        return []
    plugins = data.get("plugins")
    return [str((run / plugin).resolve()) for plugin in (plugins if isinstance(plugins, list) else ())]


def _ask(model: Path, known: Said, plugins: Sequence[str]) -> dict[str, Any]:
    """Runs `_reload` in a process that sees no GPU, no network and no token."""
    question = {"folder": str(model.resolve()), "rows": known.rows, "max_length": known.max_length}
    question["plugins"] = list(plugins)
    environment = {name: value for name, value in os.environ.items() if name not in SECRETS}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_TOKEN_PATH": os.devnull, "CUDA_VISIBLE_DEVICES": ""}
    environment |= {"TRANSFORMERS_VERBOSITY": "error"}
    done = subprocess.run(
        [sys.executable, "-P", _reload.__file__],
        input=json.dumps(question),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["its process ended early"])[-1]
        by = "textxfer" if (model / "head.json").is_file() else "transformers"
        raise PushError(f"{model}: {by} cannot load it: {reason}{_TO_DO}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer
