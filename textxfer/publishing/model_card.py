"""The model card: `README.md` of a model folder, with the metadata that the Hub reads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from textxfer.publishing import _evidence, _origin, _use
from textxfer.publishing._facts import ANSWERS, LABELS, Facts, read_facts

README = "README.md"


def model_card(run: Path, metrics: Mapping[str, Any] | None = None) -> str:
    """Gives the card of a run's model: what it does, how to use it, how far to trust it, how it was made.

    It is the same for the same run: it says nothing of when or where the model is pushed.

    Args:
        run: Its folder, with everything in it but the card.
        metrics: What metrics.json will say, while it is not there.

    Raises:
        PushError: A file that a run has is missing or damaged.
    """
    import yaml

    facts = read_facts(run, metrics)
    header = yaml.safe_dump(dict(_metadata(facts)), sort_keys=False, allow_unicode=True, width=10_000)
    parts = [
        f"---\n{header}---",
        f"# {facts.name}",
        _use.purpose(facts),
        _evidence.verdict(facts),
        f"## Use\n\n{_use.snippets(facts)}",
        f"## Scores\n\n{_evidence.scores(facts)}",
        f"## Confidence\n\n{_evidence.confidence(facts)}",
        f"## Limits and known errors\n\n{_evidence.limits(facts)}",
        f"## Training\n\n{_origin.training(facts)}",
        f"## Environment\n\n{_origin.environment(facts)}",
        f"## Reproduce\n\n{_origin.reproduce(facts)}",
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def at_home(card: str, repo: str) -> str:
    """Gives a card whose snippets load the model from a repository instead of from the folder that the card is in."""
    return re.sub(_use.PLACE_LINE, f"model = {repo!r}".replace("'", '"'), card, flags=re.MULTILINE)


def is_hub_id(checkpoint: str) -> bool:
    """Says whether a checkpoint is a Hub id."""
    return re.fullmatch(r"[\w][\w.-]*(/[\w.-]+)?", checkpoint) is not None


def _metadata(facts: Facts) -> Iterator[tuple[str, Any]]:
    hub, base = facts.recipe.get("hub") or {}, str(facts.recipe["checkpoint"]["id"])
    languages = list(hub.get("language") or ())
    if languages:
        yield "language", languages if len(languages) > 1 else languages[0]
    if hub.get("license"):
        yield "license", hub["license"]
    yield "library_name", "textxfer" if facts.needs_textxfer else "transformers"
    yield "pipeline_tag", facts.purpose
    if is_hub_id(base):
        yield "base_model", base
    if facts.recipe["dataset"].get("hub"):
        yield "datasets", [facts.recipe["dataset"]["hub"]]
    yield "tags", list(dict.fromkeys(["textxfer", str(facts.recipe["task"]["name"]), *(hub.get("tags") or ())]))
    if facts.scores:
        yield "model-index", [_index(facts)]
    widget = list(_widget(facts))
    if widget:
        yield "widget", widget


def _index(facts: Facts) -> dict[str, Any]:
    hub, intervals = facts.recipe["dataset"].get("hub"), facts.of_split("intervals")
    scores = []
    for name, value in facts.scores.items():
        score: dict[str, Any] = {"type": name, "name": name, "value": round(value, 4)}
        if name in intervals:
            low, high = (round(end, 4) for end in intervals[name])
            score |= {"name": f"{name} (95 % interval {low:.3f} to {high:.3f})", "args": {"interval_95": [low, high]}}
        scores.append(score)
    dataset = {"name": facts.dataset, "type": hub or "local", "split": facts.split}
    dataset |= {key: facts.recipe["dataset"][key] for key in ("config", "revision") if facts.recipe["dataset"].get(key)}
    return {"name": facts.name, "results": [{"task": {"type": facts.purpose}, "dataset": dataset, "metrics": scores}]}


def _widget(facts: Facts) -> Iterator[dict[str, str]]:
    for number, row in enumerate(facts.examples):
        if facts.purpose == ANSWERS:
            yield {"text": row["question"], "context": row["context"], "example_title": f"Question {number + 1}"}
        elif facts.purpose == LABELS and not facts.pairs:
            said = row["prediction"]
            yield {"text": row["text"], "example_title": said if isinstance(said, str) else ", ".join(said)}
