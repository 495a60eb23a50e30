"""The closing lines of a run, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def summary(folder: Path, model: Path, metrics: Mapping[str, Any], pairs: bool = False) -> str:
    """Gives the closing lines: a table of scores, where things are, and how to load the model.

    Args:
        folder: Of the run, or of the runs of several seeds.
        model: The model's folder.
        metrics: What metrics.json or seeds.json says.
        pairs: Whether the model labels pairs of texts.
    """
    if "seeds" in metrics:
        return _summary_of_seeds(folder, model, metrics)
    splits = [name for name in ("validation", "test") if name in metrics]
    names = list(dict.fromkeys(name for split in splits for name in metrics[split]))
    width = max(map(len, names), default=0)
    sure = metrics.get("intervals", {}).get("test", {})
    lines = [" " * width + "".join(f"{split:>12}" for split in splits) + ("   95 % interval" if sure else "")]
    for name in names:
        cells = (f"{metrics[split][name]:.4f}" if name in metrics[split] else "-" for split in splits)
        ends = "   {:.4f} to {:.4f}".format(*sure[name]) if name in sure else ""
        lines.append(f"{name:<{width}}" + "".join(f"{cell:>12}" for cell in cells) + ends)
    if "overfitting" in metrics:
        lines.append(metrics["overfitting"]["sentence"])
    rows = ", ".join(f"{count} {split}" for split, count in metrics["num_examples"].items())
    timing = metrics["timing"]
    lines += [
        f"rows: {rows}; best step {metrics['best_step']} of {metrics['steps']}; "
        f"{timing['train_seconds']:.0f} s of training, {timing['total_seconds']:.0f} s in all",
        f"report: {folder / 'report.html'}",
        f"model:  {model}",
        f'use:    python -c "import textxfer; print(textxfer.pipeline({str(model)!r})({_example(metrics, pairs)}))"',
    ]
    return "\n".join(lines)


def _summary_of_seeds(folder: Path, model: Path, metrics: Mapping[str, Any]) -> str:
    splits = [name for name in ("validation", "test") if name in metrics]
    names = list(dict.fromkeys(name for split in splits for name in metrics[split]))
    width = max(map(len, names), default=0)
    lines = [" " * width + "".join(f"{split:>20}" for split in splits) + "   (mean +- standard deviation)"]
    for name in names:
        cells = (metrics[split].get(name) for split in splits)
        shown = ("{mean:.4f} +- {sd:.4f}".format(**cell) if cell else "-" for cell in cells)
        lines.append(f"{name:<{width}}" + "".join(f"{cell:>20}" for cell in shown))
    seeds = ", ".join(map(str, metrics["seeds"]))
    lines += [f"seeds:  {seeds}; runs in {folder}", f"report: {folder / 'report.html'}"]
    return "\n".join([*lines, f"model:  {model} (best on validation)"])


def _example(metrics: Mapping[str, Any], pairs: bool) -> str:
    if "per_label" not in metrics:
        return "question='...', context='...'"
    return "{'text': 'your text', 'text_pair': 'its pair'}" if pairs else "'your text'"
