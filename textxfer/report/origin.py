"""What made the run, and how to make it again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from textxfer.report.pieces import Block, Code, Column, Section, Table
from textxfer.report.reading import RunFiles


def section(run: RunFiles) -> Section | None:
    """Gives recipe, environment and the commands that repeat the run and use its model."""
    blocks: list[Block] = []
    if run.recipe_text:
        blocks.append(Code("To run it again, in this folder", "python -m textxfer.run recipe.yaml name=again"))
    task = run.setting("task", "name")
    if task:
        call = '"Your text."'
        if run.answers or task == "question_answering":
            call = 'question="...", context="..."'
        elif run.setting("dataset", "text_pair"):
            call = '{"text": "Your text.", "text_pair": "Its pair."}'
        code = f'import textxfer\n\nmodel = textxfer.pipeline("model")\nmodel({call})'
        blocks.append(Code("To use its model, in this folder", code))
    if run.recipe_text:
        blocks.append(Code("Recipe, every default spelled out", run.recipe_text, folded=True))
    if run.environment:
        rows = list(_flat(run.environment))
        blocks.append(Table("Environment", [Column("What", "label"), Column("Value", "label")], rows, folded=True))
    timing = run.metrics.get("timing")
    if timing:
        rows = list(_flat(timing))
        blocks.append(Table("Time", [Column("What", "label"), Column("Value", "label")], rows, folded=True))
    return Section("origin", "Recipe and environment", blocks) if blocks else None


def _flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}".replace("_", " "), "–" if value is None else str(value)
