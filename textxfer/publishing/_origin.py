"""How the model was made, on what, and how to make it again, as the card says it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from textxfer.publishing._facts import Facts
from textxfer.recipe.public import public_recipe
from textxfer.recipe.sections import Dataset
from textxfer.recipe.writing import to_yaml
from textxfer.training.environment import HOW_NOT_WHAT

SHOWN = ("checkpoint", "adapt", "dataset", "task", "freeze", "lora", "head", "train", "small_data", "calibrate")
"""Sections of the recipe that the card prints; recipe.yaml has all."""


def training(facts: Facts) -> str:
    """Gives rows, steps and the recipe."""
    return " ".join(_training(facts)) + f"\n\n```yaml\n{_recipe(facts)}```"


def _training(facts: Facts) -> Iterator[str]:
    metrics, revision = facts.metrics, facts.recipe["dataset"].get("revision")
    rows = ", ".join(f"{count:,} {split}" for split, count in metrics.get("num_examples", {}).items())
    yield f"Data: {facts.dataset}{f' at revision `{revision}`' if revision else ''}, {rows} rows."
    if "total_parameters" in metrics:
        trained, total = metrics["trainable_parameters"], metrics["total_parameters"]
        yield f"{trained:,} of {total:,} parameters were trained."
    if metrics.get("phases"):
        phases = "; ".join(_phase(phase) for phase in metrics["phases"] if phase["steps"])
        yield f"Layers were trained in phases: {phases}."
    few = facts.recipe.get("small_data") or {}
    if few.get("road") == "contrastive":
        yield f"The backbone was trained by a contrastive start of {few['steps']:,} steps, the head by a probe."
    elif "steps" in metrics:
        yield f"The weights are those of step {metrics['best_step']:,} of {metrics['steps']:,}."
    seconds = (metrics.get("timing") or {}).get("train_seconds")
    if seconds is not None:
        yield f"Training took {seconds:,.0f} s."


def _phase(phase: Mapping[str, Any]) -> str:
    layers = phase["frozen_layers"]
    frozen = {"all": "all layers", 0: "none", 1: "1 layer"}.get(layers, f"{layers} layers")
    return f"{frozen} frozen for {phase['steps']:,} steps"


def _recipe(facts: Facts) -> str:
    public = public_recipe(facts.recipe, facts.environment.get("files") or {})
    usual = Dataset().model_dump(mode="json")
    public["dataset"] = {key: value for key, value in public["dataset"].items() if value != usual.get(key)}
    shown = {name: _set(public[name]) for name in SHOWN if name in public}
    shown["train"] = {key: value for key, value in shown["train"].items() if key not in HOW_NOT_WHAT}
    return to_yaml({name: section for name, section in shown.items() if section not in (None, {})})


def _set(section: Any) -> Any:
    """Gives the fields of a section that say something."""
    if not isinstance(section, dict):
        return section
    return {key: value for key, value in section.items() if value not in (None, [], {})}


def environment(facts: Facts) -> str:
    """Gives versions and hardware."""
    about = facts.environment
    device, packages = about.get("device") or {}, about.get("packages") or {}
    versions = ", ".join(f"{name} {version}" for name, version in packages.items() if version)
    many = f", {device['processes']} processes" if device.get("processes", 1) > 1 else ""
    where = f"{device.get('type', 'unknown')} ({device.get('name', 'unknown')}{many})"
    return f"Python {about.get('python')}, {versions}; {about.get('precision')} on {where}."


def reproduce(facts: Facts) -> str:
    """Says how to make the model again."""
    about, local = facts.environment, facts.environment.get("files") or {}
    version = (about.get("packages") or {}).get("textxfer")
    lines = [
        "`recipe.yaml`, beside this card on the Hub and one folder up in the run, spells out every setting:",
        f"```\npip install textxfer=={version}\npython -m textxfer.run recipe.yaml name=again\n```",
    ]
    if local:
        named = ", ".join(f"`{field}`" for field in local)
        lines.append(f"It names local files by their SHA-256 ({named}): put the paths of your own copies there first.")
    data = (about.get("fingerprints") or {}).get("data")
    if data:
        lines.append(f"The rows are the same if `environment.json` of your run says `data: {data[:16]}...` too.")
    return "\n\n".join(lines)
