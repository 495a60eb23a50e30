"""What a model card is made of: the files of a run."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from textxfer import registry
from textxfer.errors import PushError
from textxfer.recipe.public import public_name
from textxfer.recipe.reading import read_text
from textxfer.section import TEXT2TEXT

ANSWERS, LABELS, MASKS = "question-answering", "text-classification", "fill-mask"
"""The Hub's words for what models do."""
JUDGED = ("validation", "test")
"""Splits whose scores the card shows."""
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Facts:
    """A run as its card tells it.

    Attributes:
        recipe: The resolved recipe.
        metrics: What metrics.json says, or will say.
        environment: environment.json.
        config: config.json of the model.
        needs_textxfer: Whether transformers alone does not load the model: its head is one of textxfer's.
        findings: What the data checks found, a sentence each.
        rows: predictions.jsonl.
    """

    recipe: Mapping[str, Any]
    metrics: Mapping[str, Any]
    environment: Mapping[str, Any]
    config: Mapping[str, Any]
    needs_textxfer: bool
    findings: Sequence[str]
    rows: Sequence[Row]

    @property
    def name(self) -> str:
        """Of the model: as it is to be called on the Hub, else the run's."""
        repo = self.recipe.get("hub", {}).get("repo")
        return str(repo.split("/")[1] if repo else self.recipe["name"])

    @property
    def task(self) -> str:
        """Its name, in words."""
        return str(self.recipe["task"]["name"]).replace("_", " ")

    @property
    def base(self) -> str:
        """The checkpoint that was fine-tuned."""
        return public_name(str(self.recipe["checkpoint"]["id"]))

    @property
    def dataset(self) -> str:
        """What the rows were."""
        data = self.recipe["dataset"]
        if data.get("hub"):
            return str(data["hub"])
        return public_name(data["path"]).removesuffix(".csv") if data.get("path") else "rows given in Python"

    @property
    def purpose(self) -> str:
        """The Hub's word for what the model does."""
        if self.writes:
            return LABELS if "words" in self.settings else ANSWERS
        architecture = (self.config.get("architectures") or [""])[0]
        kinds = {"ForQuestionAnswering": ANSWERS, "ForMaskedLM": MASKS}
        return next((purpose for ending, purpose in kinds.items() if architecture.endswith(ending)), LABELS)

    @property
    def writes(self) -> bool:
        """Whether the model writes labels' words, or answers."""
        return self.settings.get("head") == TEXT2TEXT

    @property
    def labels(self) -> tuple[str, ...]:
        """Names in the order of their ids; none for answers."""
        names = self.config.get("id2label") or {} if self.purpose == LABELS else {}
        return tuple(names[number] for number in sorted(names, key=int))

    @property
    def several(self) -> bool:
        """Whether a text can have several labels, or none."""
        return self.config.get("problem_type") == "multi_label_classification"

    @property
    def pairs(self) -> bool:
        """Whether texts come in pairs."""
        return bool(self.recipe["dataset"].get("text_pair"))

    @property
    def settings(self) -> Mapping[str, Any]:
        """What textxfer notes in config.json: max_length, stride, thresholds."""
        return dict(self.config.get("textxfer") or {})

    @property
    def split(self) -> str | None:
        """The split that the model is judged by: test, else validation."""
        return next((split for split in reversed(JUDGED) if split in self.metrics), None)

    @property
    def scores(self) -> Mapping[str, float]:
        """The scores on that split."""
        return dict(self.metrics.get(self.split, {})) if self.split else {}

    def of_split(self, key: str) -> Mapping[str, Any]:
        """Gives the part of a section of the metrics that is about that split; empty where there is none."""
        return (self.metrics.get(key) or {}).get(self.split) or {}

    @property
    def num_rows(self) -> int:
        """The rows of that split."""
        return int(self.metrics.get("num_examples", {}).get(self.split, 0))

    @cached_property
    def examples(self) -> list[Row]:
        """A short row for each label (four at most) that the model is right about, the surest one; of answers three."""
        short = [row for row in self.rows if _is_short(row) and row.keys() & {"text", "question"}]
        if self.purpose == ANSWERS:
            right = [row for row in short if row["answer"] and row["answer"] in row["references"]]
            return sorted(right, key=lambda row: -row["score"])[:3]
        found: dict[Any, Row] = {}
        for row in sorted(short, key=_confidence, reverse=True):
            said = row["prediction"]
            if said and said == row["reference"]:
                found.setdefault(tuple(said) if isinstance(said, list) else said, row)
        return [found[said] for said in sorted(found, key=str)][:4]

    @cached_property
    def errors(self) -> list[Row]:
        """Three rows that the model is surest and wrong about."""
        if self.purpose == ANSWERS:
            exact = registry.load("metrics", "exact_match").each
            right = exact([row["answer"] for row in self.rows], [row["references"] for row in self.rows])
            wrong = [row for row, hit in zip(self.rows, right, strict=True) if hit != 1]
            return sorted(wrong, key=lambda row: -row["score"])[:3]
        wrong = [row for row in self.rows if row.get("reference") is not None and row["prediction"] != row["reference"]]
        return sorted(wrong, key=_confidence, reverse=True)[:3]


MOST_CHARACTERS = 160
"""Of an example."""


def read_facts(run: Path, metrics: Mapping[str, Any] | None = None) -> Facts:
    """Gives what the card of a run is made of.

    Args:
        run: Its folder, with everything in it but the card.
        metrics: What metrics.json will say, while it is not there.

    Raises:
        PushError: A file that a run has is missing or damaged.
    """
    try:
        document = read_text((run / "recipe.yaml").read_text(encoding="utf-8"), str(run / "recipe.yaml"))
        if document.problems:
            raise ValueError(document.problems[0])
        findings = _json(run / "findings.json").get("findings", []) if (run / "findings.json").is_file() else []
        return Facts(
            recipe=document.data,
            metrics=metrics if metrics is not None else _json(run / "metrics.json"),
            environment=_json(run / "environment.json"),
            config=_json(run / "model" / "config.json"),
            needs_textxfer=(run / "model" / "head.json").is_file(),
            findings=[str(found["message"]) for found in findings],
            rows=_lines(run / "predictions.jsonl"),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PushError(f"{run}: its card cannot be written: {error}") from error


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _lines(path: Path) -> list[Row]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def inline(text: str) -> str:
    """Gives a text as it may stand in a line or a cell of Markdown."""
    return " ".join(text.split()).replace("|", "\\|").replace("`", "'")


def plain(text: str) -> str:
    """Gives a text as it may stand in running Markdown: what it holds of markup is shown, and means nothing."""
    escaped = html.escape(" ".join(text.split()), quote=False)
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", escaped)


def _is_short(row: Row) -> bool:
    """Says whether a row can be shown in a line of code."""
    texts = [row.get(name) or "" for name in ("text", "text_pair", "question", "context")]
    return sum(map(len, texts)) <= MOST_CHARACTERS and not any("```" in text for text in texts)


def _confidence(row: Row) -> float:
    """Gives how sure the model is: of its label, or of the label of a set that it is surest of."""
    return float(max(row["probabilities"].values(), default=0.0))
