"""The top of the page, and the scores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from textxfer.report import words
from textxfer.report.pieces import Card, Cards, Head, Section
from textxfer.report.reading import RunFiles
from textxfer.report.showing import count, plural, score


def head(run: RunFiles) -> Head:
    """Gives the run's name, how good its model is in words, and what was run on what."""
    return Head(run.name, tuple(_verdict(run)), dict(_facts(run)), run.notes)


def section(run: RunFiles) -> Section:
    """Gives a card for each score of the test split (else of validation)."""
    cards = [_card(run, name, value) for name, value in run.scores.items()]
    reading = "Scores are fractions from 0 to 1 unless the card says otherwise."
    if run.of_split("intervals"):
        reading += (
            " Another test set of this size would give a somewhat different score. The band is the 95 % interval: in "
            "95 of 100 test sets, a band made this way holds the score that unlimited rows of the kind would give."
        )
    return Section("scores", "Scores", [Cards(cards)] if cards else [], _leaks(run), reading if cards else "")


def _verdict(run: RunFiles) -> Iterator[str]:
    if run.split is None:
        yield "There was no test and no validation split, so nothing says how good the model is."
        return
    if run.split == "validation":
        yield "There was no test split: the model was chosen by these validation scores, so expect less elsewhere."
    scores, rows = run.scores, run.num_rows
    name = next((name for name in ("accuracy", "exact_match", *scores) if name in scores), None)
    if name is None:
        return
    between = _interval(run, name)
    shown = f"{words.within(name)} {score(scores[name])}{between}"
    if name in ("accuracy", "exact_match") and rows:
        right = count(round(scores[name] * rows))
        what = {"accuracy": "is right on", "exact_match": "answers exactly as the reference"}[name]
        of = f"{right} of {count(rows)} {run.split} rows"
        yield f"The model {what} {of}: {shown}." if name == "accuracy" else f"{of} are answered exactly: {shown}."
    else:
        yield f"The model reaches {shown} on {plural(rows, f'{run.split} row')}."
    kinds = [scores.get(f"{kind}_answer_exact_match") for kind in ("has", "no")]
    if None not in kinds:
        yield f"Exact match is {score(kinds[0])} where there is an answer and {score(kinds[1])} where there is none."
    yield from _baseline(run)
    sentence = (run.metrics.get("overfitting") or {}).get("sentence")
    if sentence:
        yield str(sentence)


def _baseline(run: RunFiles) -> Iterator[str]:
    """Says what an answer that looks at no text would reach."""
    supports = {label: row.get("support", 0) for label, row in run.of_split("per_label").items()}
    if run.of_split("confusion") and len(supports) > 1 and sum(supports.values()):
        label, most = max(supports.items(), key=lambda item: item[1])
        share = most / sum(supports.values())
        yield f"Always saying “\u2068{label}\u2069”, the most frequent label, would reach accuracy {score(share)}."


def _interval(run: RunFiles, name: str) -> str:
    low, high = run.of_split("intervals").get(name) or (None, None)
    return "" if low is None else f" (95 % interval {score(low)} to {score(high)})"


def made_of(run: RunFiles) -> Iterator[tuple[str, str]]:
    """Gives what a run was made of, by name: task, checkpoint, data and rows."""
    task, metrics = run.setting("task", "name"), run.metrics
    if task:
        kinds = [kind for kind in ("multi_label", "ordered") if run.setting("task", kind)]
        yield "Task", " · ".join(str(part).replace("_", " ") for part in (task, *kinds))
    checkpoint = run.environment.get("checkpoint") or run.setting("checkpoint", "id")
    if checkpoint:
        yield "Checkpoint", str(checkpoint)
    if run.recipe.get("dataset"):
        path = run.setting("dataset", "path")
        yield "Data", str(run.setting("dataset", "hub") or (Path(path).name if path else "rows given in Python"))
    if metrics.get("num_examples"):
        yield "Rows", " · ".join(f"{count(number)} {split}" for split, number in metrics["num_examples"].items())


def _facts(run: RunFiles) -> Iterator[tuple[str, str]]:
    yield from made_of(run)
    metrics = run.metrics
    if metrics.get("total_parameters"):
        trained, total = metrics.get("trainable_parameters", 0), metrics["total_parameters"]
        yield "Trained", f"{_millions(trained)} of {_millions(total)} parameters"
    if run.setting("small_data", "road") == "contrastive":
        yield "Weights kept", f"those after a contrastive start of {count(run.setting('small_data', 'steps'))} steps"
    elif "best_step" in metrics:
        yield "Weights kept", f"those of step {count(metrics['best_step'])} of {count(metrics.get('steps'))}"
    seconds = (metrics.get("timing") or {}).get("total_seconds")
    if seconds is not None:
        yield "Time", _duration(seconds)
    device = run.environment.get("device") or {}
    if device.get("name"):
        yield "Device", f"{device['name']} ({device.get('type')})"


def _millions(number: int) -> str:
    return f"{number / 1e6:.1f} M" if number >= 1e5 else count(number)


def _duration(seconds: float) -> str:
    from textxfer.training.observers import duration

    return duration(seconds)


def _card(run: RunFiles, name: str, value: float) -> Card:
    low, high = run.of_split("intervals").get(name) or (None, None)
    notes = []
    other = (run.metrics.get("validation") or {}).get(name)
    if run.split == "test" and other is not None:
        notes.append(f"Validation: {score(other)}.")
    least = run.of_split("detectable").get(name)
    if least is not None:
        notes.append(f"Two models must differ by about {score(least)} to be told apart by so many rows.")
    return Card(words.title(name), value, words.meaning(name), low, high, notes)


def _leaks(run: RunFiles) -> str:
    leaks: Any = run.metrics.get("without_leaks")
    if not leaks:
        return ""
    kept, leaked = leaks["rows"], run.num_rows - leaks["rows"]
    said = f"{plural(leaked, 'test row')} {'is' if leaked == 1 else 'are'} also in train, or nearly so."
    ends: Any = leaks.get("intervals", {})
    sure = {name: f" ({score(low)} to {score(high)})" for name, (low, high) in ends.items()}
    scores = ", ".join(
        f"{words.within(name)} {score(value)}{sure.get(name, '')}" for name, value in leaks["test"].items()
    )
    return f"{said} On the other {count(kept)}: {scores}." if scores else said
