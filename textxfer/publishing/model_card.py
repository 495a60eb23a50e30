"""The model card: `README.md` of a model folder, with the metadata that the Hub reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textxfer.labels import LabelSet
from textxfer.recipe.schema import Recipe
from textxfer.records import Splits
from textxfer.tasks import Task


def model_card(
    recipe: Recipe, task: Task, labels: LabelSet | None, metrics: Mapping[str, Any], splits: Splits
) -> str:
    """Gives the card's text: what the model does, how to load it, its scores, how it was made.

    Args:
        recipe: Of the run.
        task: Of the run.
        labels: In the order of their ids; None for answers.
        metrics: What metrics.json will say.
        splits: Of the run.
    """
    import yaml

    base = _public_name(recipe.checkpoint.id)
    header: dict[str, Any] = {
        "library_name": "transformers",
        "pipeline_tag": task.pipeline_tag,
        "tags": ["textxfer", task.name],
    }
    if base == recipe.checkpoint.id:
        header["base_model"] = base
    if recipe.dataset.hub:
        header["datasets"] = [recipe.dataset.hub]
    header["model-index"] = [_index(recipe, task, metrics)]
    parts = [
        f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---",
        f"# {recipe.name}",
        _what(recipe, task, labels, base),
        f"## Use\n\n```python\n{_snippet(recipe, task)}\n```",
        f"## Scores\n\n{_scores(metrics)}",
        f"## Data\n\n{_rows(recipe, splits)}",
        f"## Training\n\n```yaml\n{_training(recipe)}```",
    ]
    return "\n\n".join(parts) + "\n"


def _public_name(checkpoint: str) -> str:
    """Gives a Hub id as it is, and of a folder its name only."""
    return Path(checkpoint).name if Path(checkpoint).is_absolute() else checkpoint


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


def _what(recipe: Recipe, task: Task, labels: LabelSet | None, base: str) -> str:
    kind = task.name.replace("_", " ")
    sentence = f"A model for {kind}, fine-tuned from `{base}` with textxfer."
    if labels is None:
        return sentence
    shown = ", ".join(f"`{name}`" for name in labels.names[:100])
    return f"{sentence}\n\nLabels: {shown}{', ...' if len(labels) > 100 else ''}."


def _snippet(recipe: Recipe, task: Task) -> str:
    place = f'"{recipe.name}/model"  # this folder, or its id on the Hub'
    if task.pipeline_tag == "question-answering":
        call = 'answer(question="...", context="...")'
        return f"import textxfer\n\nanswer = textxfer.pipeline(\n    {place}\n)\n{call}"
    return (
        "from transformers import pipeline\n\nclassify = pipeline(\n"
        f'    "text-classification",\n    model={place}\n)\nclassify("Your text.", truncation=True)'
    )


def _scores(metrics: Mapping[str, Any]) -> str:
    splits = [split for split in ("validation", "test") if split in metrics]
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
            cell = label.replace("|", "\\|")
            lines.append(f"| {cell} | {row['precision']:.3f} | {row['recall']:.3f} | {row['f1']:.3f} | {row['support']} |")
    return "\n".join(lines)


def _rows(recipe: Recipe, splits: Splits) -> str:
    counts = ", ".join(f"{len(split)} {name}" for name, split in splits.present())
    revision = f" at revision `{recipe.dataset.revision}`" if recipe.dataset.revision else ""
    return f"{_dataset_name(recipe)}{revision}: {counts} rows. The test rows were looked at once, after training."


def _training(recipe: Recipe) -> str:
    import yaml

    sections = {name: getattr(recipe, name).model_dump(mode="json") for name in ("task", "freeze", "train")}
    return yaml.safe_dump(sections, sort_keys=False, allow_unicode=True)
