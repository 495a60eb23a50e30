"""The model card: `README.md` of a model folder, with the metadata that the Hub reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textxfer.labels import LabelSet
from textxfer.recipe.schema import Recipe
from textxfer.recipe.writing import to_yaml
from textxfer.records import Splits
from textxfer.tasks import Task

JUDGED = ("validation", "test")
"""Splits whose scores the card shows."""


def model_card(recipe: Recipe, task: Task, labels: LabelSet | None, metrics: Mapping[str, Any], splits: Splits) -> str:
    """Gives the card's text: what the model does, how to load it, its scores, how it was made.

    Args:
        recipe: Of the run.
        task: Of the run.
        labels: In the order of their ids; None for answers.
        metrics: What metrics.json will say.
        splits: Of the run.
    """
    import yaml

    base = recipe.checkpoint.id or ""
    header: dict[str, Any] = {
        "library_name": "transformers",
        "pipeline_tag": task.pipeline_tag,
        "tags": ["textxfer", task.name],
    }
    if _is_hub_id(base):
        header["base_model"] = base
    if recipe.dataset.hub:
        header["datasets"] = [recipe.dataset.hub]
    if any(split in metrics for split in JUDGED):
        header["model-index"] = [_index(recipe, task, metrics)]
    parts = [
        f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---",
        f"# {recipe.name}",
        _what(task, labels, _public_name(base)),
        f"## Use\n\n```python\n{_snippet(recipe, task)}\n```",
        f"## Scores\n\n{_scores(metrics)}",
        f"## Data\n\n{_rows(recipe, splits)}",
        f"## Training\n\n```yaml\n{_training(recipe)}```",
    ]
    return "\n\n".join(parts) + "\n"


def _is_hub_id(checkpoint: str) -> bool:
    return re.fullmatch(r"[\w.-]+(/[\w.-]+)?", checkpoint) is not None and not Path(checkpoint).exists()


def _public_name(checkpoint: str) -> str:
    """Gives a Hub id or a package as it is, and of a folder no more than its name (of a run's: the run's)."""
    folder = Path(checkpoint)
    if not folder.is_absolute() and not folder.exists():
        return checkpoint
    return folder.parent.name if folder.name == "model" else folder.name


def _index(recipe: Recipe, task: Task, metrics: Mapping[str, Any]) -> dict[str, Any]:
    split = "test" if "test" in metrics else "validation"
    scores = [{"type": name, "name": name, "value": round(value, 4)} for name, value in metrics.get(split, {}).items()]
    dataset = {"name": _dataset_name(recipe), "type": recipe.dataset.hub or "local", "split": split}
    result = {"task": {"type": task.pipeline_tag}, "dataset": dataset, "metrics": scores}
    return {"name": recipe.name, "results": [result]}


def _dataset_name(recipe: Recipe) -> str:
    if recipe.dataset.hub:
        return recipe.dataset.hub
    return Path(recipe.dataset.path).stem if recipe.dataset.path else "rows given in Python"


def _what(task: Task, labels: LabelSet | None, base: str) -> str:
    kind = task.name.replace("_", " ")
    sentence = f"A model for {kind}, fine-tuned from `{base}` with textxfer."
    if labels is None:
        return sentence
    shown = ", ".join(f"`{name}`" for name in labels.names[:100])
    return f"{sentence}\n\nLabels: {shown}{', ...' if len(labels) > 100 else ''}."


def _snippet(recipe: Recipe, task: Task) -> str:
    place = f'"runs/{recipe.name}/model"  # this folder, or its id on the Hub'
    if task.pipeline_tag == "question-answering":
        call = 'answer(question="...", context="...")'
        return f"import textxfer\n\nanswer = textxfer.pipeline(\n    {place}\n)\n{call}"
    text = '{"text": "Your text.", "text_pair": "Its pair."}' if recipe.dataset.text_pair else '"Your text."'
    every = ", top_k=None" if task.predicts == "label sets" else ""
    return (
        "from transformers import pipeline\n\nclassify = pipeline(\n"
        f'    "text-classification",\n    model={place}\n)\nclassify({text}, truncation=True{every})'
    )


def _scores(metrics: Mapping[str, Any]) -> str:
    splits = [split for split in JUDGED if split in metrics]
    names = list(dict.fromkeys(name for split in splits for name in metrics[split]))
    if not names:
        return "There was no validation and no test split."
    lines = ["| metric | " + " | ".join(splits) + " |", "| --- |" + " --- |" * len(splits)]
    for name in names:
        cells = (f"{metrics[split][name]:.4f}" if name in metrics[split] else "" for split in splits)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    per_label = metrics.get("per_label", {}).get(splits[-1], {})
    if per_label:
        lines += ["", f"Per label, on {splits[-1]}:", "", "| label | precision | recall | F1 | rows |"]
        lines.append("| --- | --- | --- | --- | --- |")
        for label, row in per_label.items():
            cell = " ".join(label.split()).replace("|", "\\|")
            lines.append(
                f"| {cell} | {row['precision']:.3f} | {row['recall']:.3f} | {row['f1']:.3f} | {row['support']} |"
            )
    return "\n".join(lines)


def _rows(recipe: Recipe, splits: Splits) -> str:
    counts = ", ".join(f"{len(split)} {name}" for name, split in splits.present())
    revision = f" at revision `{recipe.dataset.revision}`" if recipe.dataset.revision else ""
    once = " The test rows were looked at once, after training." if splits.test is not None else ""
    return f"{_dataset_name(recipe)}{revision}: {counts} rows.{once}"


def _training(recipe: Recipe) -> str:
    return to_yaml({name: getattr(recipe, name).model_dump(mode="json") for name in ("task", "freeze", "train")})
