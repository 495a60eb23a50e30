"""How good the model is, how sure that is, and where it fails, as the card says it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from textxfer.publishing._facts import ANSWERS, JUDGED, LABELS, Facts, Row, inline, plain

MOST_CONFUSIONS = 3
MOST_SHOWN = 200
"""Characters of a row's text among the known errors."""


def verdict(facts: Facts) -> str:
    """Says in a sentence or two how good the model is."""
    if facts.split is None:
        return "There was neither a test nor a validation split: nothing says how good it is."
    name = next((name for name in ("accuracy", "exact_match", *facts.scores) if name in facts.scores), None)
    if name is None:
        return ""
    score, ends = facts.scores[name], facts.of_split("intervals").get(name)
    between = " (95 % interval {:.3f} to {:.3f})".format(*ends) if ends else ""
    said = f"On {facts.num_rows:,} {facts.split} rows its {name} is **{score:.3f}**{between}."
    most = _most_frequent(facts)
    if most is not None and name == "accuracy":
        said += f" Always saying the most frequent label, `{inline(most[0])}`, would reach {most[1]:.3f}."
    return said


def _most_frequent(facts: Facts) -> tuple[str, float] | None:
    """Gives the label that most rows have, and its share; None where rows have several labels, or none is known."""
    rows = {label: row["support"] for label, row in facts.of_split("per_label").items()}
    if facts.several or not sum(rows.values()):
        return None
    label = max(rows, key=rows.__getitem__)
    return label, rows[label] / sum(rows.values())


def scores(facts: Facts) -> str:
    """Gives a table of scores with their intervals, and one of labels."""
    metrics, splits = facts.metrics, [split for split in JUDGED if split in facts.metrics]
    names = list(dict.fromkeys(name for split in splits for name in metrics[split]))
    if not names:
        return "There was no validation and no test split."
    intervals = (metrics.get("intervals") or {}).get("test") or {}
    lines = _head("metric", *splits, *(["95 % interval, test"] if intervals else []))
    for name in names:
        cells = [f"{metrics[split][name]:.4f}" if name in metrics[split] else "" for split in splits]
        cells += ["{:.3f} to {:.3f}".format(*intervals[name]) if name in intervals else ""] if intervals else []
        lines.append(_line(name, *cells))
    told = ["Scores are fractions from 0 to 1."]
    if "test" in splits:
        told.append("The test rows were looked at once, after training.")
    if "validation" in splits:
        told.append("Validation chose among the weights of the run, so its scores flatter the model.")
    return "\n".join([*lines, "", " ".join(told), *_per_label(facts)])


def _per_label(facts: Facts) -> list[str]:
    per_label = facts.of_split("per_label")
    if not per_label:
        return []
    lines = ["", f"Per label, on {facts.split}:", "", *_head("label", "precision", "recall", "F1", "rows")]
    for label, row in per_label.items():
        shown = (f"{row[key]:.3f}" for key in ("precision", "recall", "f1"))
        lines.append(_line(plain(label), *shown, str(row["support"])))
    return lines


def confidence(facts: Facts) -> str:
    """Says how far the model's probabilities can be believed."""
    return " ".join(_confidence(facts)) or (
        "The probabilities were not checked against how often they are right." if facts.purpose == LABELS
        else "Scores of answers are probabilities of just these words; they were not calibrated." if facts.writes
        else "Scores of answers are probabilities among the spans of a text; they were not calibrated."
    )  # fmt: skip


def _confidence(facts: Facts) -> Iterator[str]:
    calibration, error = facts.metrics.get("calibration"), facts.scores.get("calibration_error")
    if calibration:
        temperature = calibration["temperature"]
        if temperature is None:
            yield "The probabilities are as trained; no temperature was fitted."
        else:
            by = "one for each label" if isinstance(temperature, list) else f"{temperature:.2f}"
            where = "which is no weight, and which textxfer applies" if facts.writes else "which is in the weights"
            yield f"The probabilities are calibrated on validation by a temperature ({by}), {where}."
    if error is not None:
        yield (
            f"On {facts.split} the calibration error is {error:.3f}: so far apart, on average, lie the probability "
            "that the model states and the share that is right."
        )
    surest = facts.of_split("selective").get("accuracy_at") or {}
    if surest:
        share, right = next(iter(surest.items()))
        what = "answered exactly" if facts.purpose == ANSWERS else "right"
        yield f"Of the {float(share):.0%} of rows that it is surest of, {right:.1%} are {what}."


def limits(facts: Facts) -> str:
    """Gives what somebody should know before using the model, and rows that it is surest and wrong about."""
    lines = [f"- {line}" for line in _limits(facts)]
    if facts.errors:
        lines += ["", f"Wrong, and the model is sure of it ({facts.split} rows):", ""]
        lines += list(map(_error_of_answer if facts.purpose == ANSWERS else _error, facts.errors))
    return "\n".join(lines)


def _limits(facts: Facts) -> Iterator[str]:
    yield "It was judged on rows like those that it was trained on; on other kinds of text expect less, and measure."
    if facts.split == "validation":
        yield "There was no test split: validation chose the weights, so expect less elsewhere than these scores."
    length = facts.settings.get("max_length")
    if length and facts.purpose == LABELS:
        yield f"It reads the first {length} tokens of a text; the rest is cut off."
    least = facts.of_split("detectable").get("accuracy") or facts.of_split("detectable").get("exact_match")
    if least:
        yield f"By so many test rows, two models can be told apart if their scores differ by {least:.3f} or more."
    leaks = facts.metrics.get("without_leaks")
    if leaks:
        found = ", ".join(f"{name} {value:.3f}" for name, value in leaks["test"].items())
        yield f"Some test rows stand in train too, or nearly so; on the other {leaks['rows']:,}: {found or 'no score'}."
    yield from _weakest(facts)
    yield from _confusions(facts)
    for name in ("has_answer_exact_match", "no_answer_exact_match"):
        if name in facts.scores:
            kind = "have an answer in the text" if name.startswith("has") else "have none"
            yield f"Of the questions that {kind}, {facts.scores[name]:.1%} are answered exactly."
    overfitting = (facts.metrics.get("overfitting") or {}).get("sentence")
    if overfitting:
        yield str(overfitting)
    yield from (f"Data: {plain(finding)}." for finding in facts.findings)


def _weakest(facts: Facts) -> Iterator[str]:
    rows = {label: row for label, row in facts.of_split("per_label").items() if row["support"]}
    if len(rows) > 1:
        label = min(rows, key=lambda name: rows[name]["f1"])
        found = rows[label]
        yield (
            f"The weakest label is `{inline(label)}`: it finds {found['recall']:.1%} of its {found['support']:,} rows, "
            f"and {found['precision']:.1%} of the rows that it gives this label have it."
        )


def _confusions(facts: Facts) -> Iterator[str]:
    table: Mapping[str, Any] = facts.of_split("confusion")
    if not table:
        return
    names, counts = table["labels"], table["counts"]
    pairs = [
        (count, true, said)
        for true, row in enumerate(counts)
        for said, count in enumerate(row)
        if true != said and count
    ]
    worst = sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2]))[:MOST_CONFUSIONS]
    told = (
        f"`{inline(names[true])}` taken for `{inline(names[said])}` {'once' if count == 1 else f'{count:,} times'}"
        for count, true, said in worst
    )
    if worst:
        yield f"Most frequent errors on {facts.split}: {'; '.join(told)}."


def _error(row: Row) -> str:
    true, said = (", ".join(value) or "none" if isinstance(value, list) else value for value in _pair(row))
    text = " / ".join(str(row[name]) for name in ("text", "text_pair") if row.get(name))
    sure = max(row["probabilities"].values())
    return f"- “{_cut(text)}”: `{inline(said)}` ({sure:.2f}), but it is `{inline(true)}`"


def _pair(row: Row) -> tuple[Any, Any]:
    return row["reference"], row["prediction"]


def _error_of_answer(row: Row) -> str:
    right = " or ".join(f"“{_cut(text)}”" for text in dict.fromkeys(row["references"])) or "no answer"
    said = f"“{_cut(row['answer'])}”" if row["answer"] else "no answer"
    return f"- {_cut(row.get('question') or row['id'])} {said} ({row['score']:.2f}), but it is {right}"


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return plain(line if len(line) <= MOST_SHOWN else f"{line[:MOST_SHOWN].rstrip()}…")


def _head(*names: str) -> list[str]:
    return [_line(*names), "| " + " | ".join("---" for _ in names) + " |"]


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"
